"""The next initramfs has virtio too: the tools' own configuration, all else in it untouched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.initramfs_settings import dracut_drivers, initramfs_tools_modules, mkinitcpio_modules

WANTED = ("virtio_blk", "virtio_net")


def test_initramfs_tools() -> None:
    text = "# List of modules\nvmw_pvscsi\nvirtio-blk cow_size=1  # there\n#virtio_net\n"
    assert initramfs_tools_modules(text, WANTED) == text + "virtio_net\n"
    assert initramfs_tools_modules("no_newline", WANTED) == "no_newline\nvirtio_blk\nvirtio_net\n"
    assert initramfs_tools_modules("", ()) == ""


def test_dracut() -> None:
    assert dracut_drivers("", WANTED).splitlines()[-1] == 'add_drivers+=" virtio_blk virtio_net "'


def test_dracut_keeps_what_an_administrator_wrote_there() -> None:
    once = dracut_drivers('add_drivers+=" virtio_scsi "', WANTED)
    assert once.startswith('add_drivers+=" virtio_scsi "\n')
    assert dracut_drivers(once, WANTED) == once


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("MODULES=()\nHOOKS=(base udev)\n", "MODULES=(virtio_blk virtio_net)\nHOOKS=(base udev)\n"),
        ("# MODULES=(a)\nMODULES=(ext4 virtio-net)\n", "# MODULES=(a)\nMODULES=(ext4 virtio-net virtio_blk)\n"),
        ('MODULES="btrfs"\nFILES=()', 'MODULES="btrfs virtio_blk virtio_net"\nFILES=()'),
        ("MODULES=(a)\nMODULES=(b)\n", "MODULES=(a)\nMODULES=(b virtio_blk virtio_net)\n"),
        ("HOOKS=(base)", "HOOKS=(base)\nMODULES+=(virtio_blk virtio_net)\n"),
        (
            "MODULES=(\n  ext4\n  xfs # (root)\n)\nX=()\n",
            "MODULES=(\n  ext4\n  xfs # (root)\nvirtio_blk virtio_net\n)\nX=()\n",
        ),
        ("MODULES=('ext4' \"virtio_net\")\n", "MODULES=('ext4' \"virtio_net\" virtio_blk)\n"),
        ("MODULES=(a)\nMODULES+=(b)\n", "MODULES=(a)\nMODULES+=(b virtio_blk virtio_net)\n"),
    ],
)
def test_mkinitcpio(text: str, after: str) -> None:
    assert mkinitcpio_modules(text, WANTED) == after


LINES = st.lists(
    st.sampled_from(
        [
            "MODULES=(a b)",
            "MODULES=(",
            "a # b)",
            ")",
            "MODULES+=('q')",
            'MODULES="x"',
            "# MODULES=()",
            "virtio_net",
            "virtio-blk",
            "",
            " x ",
            "é",
        ]
    )
    | st.text()
)


@given(LINES)
def test_a_second_time_changes_nothing(lines: list[str]) -> None:
    text = "\n".join(lines)
    for edit in (initramfs_tools_modules, mkinitcpio_modules):
        once = edit(text, WANTED)
        assert edit(once, WANTED) == once
