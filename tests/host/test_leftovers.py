"""What a former hypervisor leaves in texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host import leftovers


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (".host:/ /mnt/hgfs fuse.vmhgfs-fuse defaults 0 0", ".host:/ /mnt/hgfs fuse.vmhgfs-fuse defaults,nofail 0 0"),
        ("share /media/sf vboxsf rw", "share /media/sf vboxsf rw,nofail"),
        (".host:/ /mnt vmhgfs rw,nofail 0 0", None),
        (".host:/ /mnt vmhgfs noauto 0 0", None),
        ("#.host:/ /mnt vmhgfs rw 0 0", None),
        ("UUID=x / ext4 defaults 0 1", None),
    ],
)
def test_shares_need_not_be_there(before: str, after: str | None) -> None:
    assert leftovers.shares_optional(before) == (after or before)


def test_the_display() -> None:
    text = 'Section "Device"\n  Driver "vmware"\n# Driver "vmware"\n  Driver  "VBoxVideo"\n Driver "vmmouse"\n'
    expected = text.replace('  Driver "vmware"', '  Driver "modesetting"').replace("VBoxVideo", "modesetting")
    assert leftovers.display_driver_replaced(text) == expected


def test_virtio_is_not_kept_out() -> None:
    text = "blacklist virtio_net\n install virtio_blk /bin/true\nblacklist floppy\n# blacklist virtio_scsi\n"
    expected = "# blacklist virtio_net\n#  install virtio_blk /bin/true\nblacklist floppy\n# blacklist virtio_scsi\n"
    assert leftovers.virtio_unblocked(text) == expected


def test_who_wants_a_unit() -> None:
    text = "[Install]\nWantedBy=dev-virtio\\x2dports-org.qemu.guest_agent.0.device multi-user.target\n"
    text += "WantedBy=../../x /etc\n"
    assert list(leftovers.wanted_by(text)) == [
        "dev-virtio\\x2dports-org.qemu.guest_agent.0.device",
        "multi-user.target",
    ]


def test_services_by_their_files() -> None:
    assert leftovers.service_of("open-vm-tools.service") == "open-vm-tools"
    assert leftovers.service_of("run-vmblock\\x2dfuse.mount")
    assert leftovers.service_of("sshd.service") == leftovers.service_of("my-open-vm-tools.service") == ""
    assert leftovers.stopped_link("S20vmware-tools") == "K20vmware-tools"
    assert leftovers.stopped_link("K20vmware-tools") == leftovers.stopped_link("S20sshd") == ""


words = st.sampled_from(
    [".host:/ /m vmhgfs ", "defaults", ",nofail", "blacklist virtio_net", ' Driver "vmware"', "\n", " ", "#"]
)


@given(st.lists(st.one_of(words, st.text(max_size=3))).map("".join))
def test_a_second_time_changes_nothing(text: str) -> None:
    for change in (leftovers.shares_optional, leftovers.display_driver_replaced, leftovers.virtio_unblocked):
        assert change(change(text)) == change(text)
