"""fstab and its relatives, as texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.fstab import (
    stabilized_crypttab,
    stabilized_fstab,
    stabilized_resume,
    virtio_accepted,
)
from hypersdkd.host.stable_names import StableNames
from tests.host.test_stable_names import BARE, DATA, ROOT, SWAP

NAMES = StableNames((ROOT, SWAP, BARE, DATA))

DEBIAN = """# /etc/fstab: static file system information.
#
# / was on /dev/sda1 during installation
/dev/sda1\t/               ext4    errors=remount-ro 0       1
  /dev/sda5 none            swap    sw              0       0
/dev/sr0        /media/cdrom0   udf,iso9660 user,noauto     0       0
/dev/mapper/vg0-home /home ext4 defaults 0 2
/dev/vg0/var  /var  ext4  defaults 0 2
LABEL=backup /backup ext4 nofail 0 2
UUID=1234-ABCD /boot/efi vfat umask=0077 0 1
nas:/export /srv nfs defaults 0 0
tmpfs /tmp tmpfs defaults 0 0
/srv/a /srv/b none bind 0 0
/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part1 /data xfs logdev=/dev/sda6,noatime 0 0
something that is no line
"""

STABLE = (
    DEBIAN.replace("/dev/sda1\t/ ", "UUID=aaaa-1\t/ ")
    .replace("  /dev/sda5", "  UUID=aaaa-5")
    .replace("/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part1", "UUID=bbbb-1")
    .replace("logdev=/dev/sda6", "logdev=/dev/disk/by-partuuid/deadbeef-06")
)


def test_all_names_by_bus_become_uuids_and_all_else_stays() -> None:
    assert stabilized_fstab(DEBIAN, NAMES) == (STABLE, ())


def test_only_by_path() -> None:
    text, unknown = stabilized_fstab(DEBIAN, NAMES, only_by_path=True)
    assert (text, unknown) == (DEBIAN.replace(DEBIAN.split("\n")[13].split()[0], "UUID=bbbb-1"), ())


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("/dev/sdc1 /more ext4 defaults 0 2", ("/dev/sdc1",)),
        ("/dev/sdc1 /more ext4 defaults,nofail 0 2", ()),
        ("/dev/sdc1 /media/usb auto noauto 0 0", ()),
        ("/dev/sda1 / btrfs subvol=@ 0 0", ("/dev/sda1",)),
        ("/dev/sdc1 /short", ()),
    ],
)
def test_a_device_that_is_not_there_is_left_and_told(line: str, unknown: tuple[str, ...]) -> None:
    assert stabilized_fstab(line, NAMES) == (line, unknown)


def test_two_buses_that_seem_to_mean_one_partition_are_not_guessed_at() -> None:
    text = "/dev/sda1 / ext4 defaults 0 1\n/dev/nvme0n1p1 /data ext4 defaults 0 2\n"
    assert stabilized_fstab(text, NAMES) == (text, ("/dev/sda1", "/dev/nvme0n1p1"))


def test_a_device_may_be_mounted_twice() -> None:
    text = "/dev/sda1 / ext4 defaults 0 1\n/dev/sda1 /again ext4 defaults 0 2\n"
    assert stabilized_fstab(text, NAMES)[0].count("UUID=aaaa-1") == 2


words = st.sampled_from(
    ["/dev/sda1", "/dev/sda5", "/dev/sdb1", "/dev/sdz9", "UUID=x", "#", "/", "ext4", "xfs", "swap", "defaults", "auto",
     "logdev=/dev/sda6", "/dev/disk/by-path/pci-0-part1", "RESUME=/dev/sda5", "\\040", "0"]
)  # fmt: skip
texts = st.lists(
    st.one_of(words, st.sampled_from([" ", "\t", "\n", "\r\n", "\r", "\x0b"]), st.text(max_size=4)), max_size=30
).map("".join)


@pytest.mark.parametrize("change", [stabilized_fstab, stabilized_crypttab, stabilized_resume])
@given(text=texts)
def test_a_second_time_changes_nothing(change: object, text: str) -> None:
    assert callable(change)
    once, _ = change(text, NAMES)
    again, _ = change(once, NAMES)
    assert again == once
    assert once.count("\n") == text.count("\n")


@given(text=texts)
def test_without_names_by_bus_nothing_is_touched(text: str) -> None:
    text = text.replace("/dev/", "/")
    for change in (stabilized_fstab, stabilized_crypttab, stabilized_resume):
        assert change(text, NAMES) == (text, ())


def test_crypttab_names_what_stays_the_same() -> None:
    text = """# <target> <source> <key> <options>
sda5_crypt /dev/sda5 none luks,discard
swap  /dev/sda5  /dev/urandom swap,cipher=aes-xts-plain64
temp /dev/sda6 /dev/random tmp
other UUID=x none luks
gone /dev/sdz1 none luks
"""
    expected = (
        text.replace("sda5_crypt /dev/sda5", "sda5_crypt UUID=aaaa-5")
        .replace("swap  /dev/sda5", "swap  PARTUUID=deadbeef-05")
        .replace("/dev/sda6", "PARTUUID=deadbeef-06")
    )
    assert stabilized_crypttab(text, NAMES) == (expected, ("/dev/sdz1",))


def test_resume_files() -> None:
    assert stabilized_resume("RESUME=/dev/sda5\n", NAMES) == ("RESUME=UUID=aaaa-5\n", ())
    assert stabilized_resume('RESUME="/dev/sda5"\n', NAMES) == ('RESUME="UUID=aaaa-5"\n', ())
    assert stabilized_resume("RESUME=none\n#RESUME=/dev/sda5\n", NAMES) == ("RESUME=none\n#RESUME=/dev/sda5\n", ())
    assert stabilized_resume("RESUME=/dev/sda1\n", NAMES) == ("RESUME=/dev/sda1\n", ("/dev/sda1",))
    expected = "resume device = /dev/disk/by-partuuid/deadbeef-05\n"
    assert stabilized_resume("resume device = /dev/sda5\n", NAMES) == (expected, ())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '\tfilter = [ "a|/dev/sda|", "r|.*|" ]',
            '\tfilter = [ "a|^/dev/vd[a-z]+[0-9]*$|", "a|/dev/sda|", "r|.*|" ]',
        ),
        ('\t# filter = [ "a|/dev/sda|" ]', None),
        ('\tfilter = [ "a|.*|" ]', None),
        ('\tfilter = [ "r|/dev/cdrom|" ]', None),
        ('\tglobal_filter = [ "a|/dev/vda|", "a|/dev/sda|" ]', None),
    ],
)
def test_an_lvm_filter_accepts_virtio_where_it_accepts_scsi(before: str, after: str | None) -> None:
    assert virtio_accepted(before) == (after or before)
    assert virtio_accepted(virtio_accepted(before)) == virtio_accepted(before)
