"""A real appliance over a hostile guest: found out, mounted, read and written, and nothing of it gets out.

One launch, which takes longer than all that is done in it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypersdkd.host import qemu_img
from hypersdkd.host.appliance import Appliance, prepare
from hypersdkd.host.appliance_guest import ApplianceGuest
from hypersdkd.host.guest_devices import block_devices
from hypersdkd.host.guest_inspection import inspect
from hypersdkd.host.guest_software import kernels, product
from hypersdkd.host.guest_system import RecordedSystem
from tests.guests.tiny import MIB, encrypted_disk, tiny_guest
from tests.problems import raises_problem


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """The guest's disk, and an encrypted one."""
    place = tmp_path_factory.mktemp("appliance")
    disk = tiny_guest(place / "disk.raw")
    before = _checksum(disk)
    overlays = [place / "overlay.qcow2", place / "second.qcow2"]
    qemu_img.make_overlay(overlays[0], qemu_img.reference(disk, "raw"), "raw", disk.stat().st_size)
    qemu_img.make_overlay(
        overlays[1], qemu_img.reference(encrypted_disk(place / "luks.raw", "sesame"), "raw"), "raw", 32 * MIB
    )
    with Appliance.launch(
        overlays, place, prepare(Path(os.environ["LIBGUESTFS_CACHEDIR"], "hypersdkd-appliance"))
    ) as made:
        yield made
        made.shut_down()
    assert _checksum(disk) == before


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="module")
def system(appliance: Appliance, tmp_path_factory: pytest.TempPathFactory) -> RecordedSystem:
    found = inspect(appliance.guestfs, ())
    assert [problem.code for problem in found.warnings] == ["guest-encrypted", "guest-damaged"]
    assert "/srv of the guest cannot be mounted" in found.warnings[1].message
    return RecordedSystem(ApplianceGuest(appliance, tmp_path_factory.mktemp("scratch")), found.facts)


def test_it_is_found_out_and_escaped(system: RecordedSystem) -> None:
    facts = system.facts
    assert (facts.os_type, facts.distro, facts.firmware, facts.partition_table) == ("linux", "debian", "bios", "msdos")
    assert facts.hostname == r"web\x07\x1b]0;owned\x07"
    assert product(system) == r"Evil\x1b[2J <b>Linux</b>"
    root = facts.device_of(facts.root)
    assert root is not None
    assert (root.content, root.label, root.disk, root.partition) == ("ext4", "root", 0, 1)
    assert root.free is not None
    assert root.free < root.size
    assert [kernel.initramfs for kernel in kernels(system)] == ["/boot/initrd.img-6.1.0-1-amd64"]
    assert all(text.isprintable() for text in _texts(facts.as_dict()))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for part in pair for text in _texts(part))
    elif isinstance(value, list):
        yield from (text for part in value for text in _texts(part))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/etc/key", "link to /etc/shadow"),
        ("/etc/loop", "cannot be followed"),
        ("/etc/pipe", "device or the like"),
        ("/etc/huge", "68719476736 bytes"),
        ("/etc", "directory"),
    ],
)
def test_what_is_unusual_is_refused(system: RecordedSystem, path: str, words: str) -> None:
    with raises_problem("guest-file-unusual", words):
        system.read(path)


def test_a_link_leads_nowhere_but_into_the_guest(system: RecordedSystem) -> None:
    assert system.read("/etc/out") is None  # the host has an /etc/passwd, the guest has none
    assert system.read("/etc/dead") is None
    assert system.target("/etc/out") == "../../../../../../etc/passwd"
    assert system.read("/etc/sysconfig/grub") == b"GRUB_CMDLINE_LINUX=root=/dev/sda1\n"


def test_names_that_are_no_text_are_left_out(system: RecordedSystem) -> None:
    names = system.names("/etc")
    assert "fstab" in names
    assert all(name.isascii() for name in names)
    assert system.names("/etc/fstab") == ()
    assert system.names("/etc/nothing/at/all") == ()


def test_files_are_written_and_keep_what_they_are(system: RecordedSystem, appliance: Appliance) -> None:
    before = len(system.changes)
    large = bytes(range(256)) * (5 * MIB // 256)  # more than one message of libguestfs takes
    system.write("/etc/shadow", b"root:*:\n")
    system.write("/etc/new/deep", large, 0o640)
    system.append("/etc/new/deep", b"end")
    system.link("/etc/new/link", "deep")
    system.remove("/home/data")
    assert system.read("/etc/new/deep", 8 * MIB) == large + b"end"
    assert system.kind("/home/data") == ""
    assert system.target("/etc/new/link") == "deep"
    assert appliance.guestfs.lstatns("/etc/new/deep")["st_mode"] & 0o7777 == 0o640
    assert [change.action for change in system.changes[before:]] == [
        "written",
        "written",
        "appended",
        "linked",
        "removed",
    ]
    assert system.free("/") < 40 * MIB
    system.remove("/etc/new/deep")
    with raises_problem("guest-no-space"):
        system.write("/etc/new/huge", bytes(48 * MIB))
    system.remove("/etc/new/huge")


def test_a_program_of_the_guest_that_fails_says_what_it_said(system: RecordedSystem) -> None:
    with raises_problem("guest-command-failed", "/usr/sbin/tool in the guest failed") as caught:
        system.run(["/usr/sbin/tool", "argument"])  # there is no shell to run it
    assert "/usr/sbin/tool" in caught[0].detail


def test_an_encrypted_volume_is_opened_by_its_key(appliance: Appliance) -> None:
    assert block_devices(appliance.guestfs, ("wrong",)).locked == ("/dev/sdb",)
    devices = block_devices(appliance.guestfs, ("sesame",))
    assert devices.locked == ()
    encrypted = next(device for device in devices.devices if device.content == "crypto_LUKS")
    assert (encrypted.disk, encrypted.partition) == (1, 0)
    assert f"/dev/mapper/luks-{encrypted.uuid}" in {device.device for device in devices.devices}


def test_an_fstab_that_leads_to_secrets_is_told_without_them(system: RecordedSystem, appliance: Appliance) -> None:
    """The last one: nothing is mounted after it."""
    system.remove("/etc/fstab")
    system.link("/etc/fstab", "shadow")
    appliance.guestfs.umount_all()
    with raises_problem("guest-file-unusual", "cannot be understood") as caught:
        inspect(appliance.guestfs, ())
    assert "root:" not in repr(caught)
