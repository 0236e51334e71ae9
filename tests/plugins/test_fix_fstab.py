"""fstab and the like, in a guest."""

from __future__ import annotations

from hypersdkd_plugins.fix_fstab import fix_fstab

from hypersdkd.model.guest_facts import GuestFacts
from tests.plugins.distributions import DEBIAN
from tests.plugins.paper_system import Link, PaperContext, PaperSystem

BY_PATH = "/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part4"


def test_only_by_path_leaves_all_other_files_alone() -> None:
    files = {
        "/etc/fstab": f"/dev/sda3 / ext4 defaults 0 1\n{BY_PATH} none swap sw 0 0\n",
        "/etc/crypttab": "a /dev/sda3\n",
    }
    system = PaperSystem(files, DEBIAN.facts)
    fix_fstab(PaperContext(system, {"mode": "bypath-only"}))
    assert system.text("/etc/fstab") == "/dev/sda3 / ext4 defaults 0 1\nUUID=swap-uuid none swap sw 0 0\n"
    assert [change.path for change in system.changes] == ["/etc/fstab"]


def test_a_disk_that_was_not_converted_is_a_warning() -> None:
    system = PaperSystem({"/etc/fstab": "/dev/sdb1 /srv\x1b ext4 defaults 0 2\n"}, DEBIAN.facts)
    context = PaperContext(system)
    fix_fstab(context)
    [warning] = context.warnings
    assert warning.code == "guest-device-unknown"
    assert warning.message == "/etc/fstab names devices that are not known for certain: /dev/sdb1"
    assert system.changes == ()


def test_a_link_to_a_secret_is_left_and_the_other_files_are_mended() -> None:
    files = {
        "/etc/fstab": Link("/etc/shadow"),
        "/etc/shadow": "root:$6$secret:1::\n",
        "/etc/crypttab": "swap /dev/sda4 /dev/urandom swap\n",
    }
    system = PaperSystem(files, DEBIAN.facts)
    context = PaperContext(system)
    fix_fstab(context)
    assert [warning.code for warning in context.warnings] == ["guest-file-unusual"]
    assert system.text("/etc/crypttab") == "swap PARTUUID=p-4 /dev/urandom swap\n"
    assert "secret" not in repr((context.warnings, system.changes))


def test_bytes_that_are_no_text_stay() -> None:
    system = PaperSystem({"/etc/fstab": b"# caf\xe9\r\n/dev/sda3 / ext4 defaults 0 1\r\n"}, DEBIAN.facts)
    fix_fstab(PaperContext(system))
    assert system.files["/etc/fstab"] == b"# caf\xe9\r\nUUID=root-uuid / ext4 defaults 0 1\r\n"


def test_a_guest_without_any_of_it() -> None:
    system = PaperSystem({}, GuestFacts(os_type="linux"))
    fix_fstab(PaperContext(system))
    assert system.changes == ()
