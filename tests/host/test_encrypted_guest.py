"""A real appliance over a guest whose only partition is encrypted: without its key, with a wrong one, and with it.

One launch, which takes longer than all that is done in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypersdkd.host import qemu_img
from hypersdkd.host.appliance import Appliance, prepare
from hypersdkd.host.appliance_guest import ApplianceGuest
from hypersdkd.host.guest_inspection import inspect
from hypersdkd.host.guest_system import RecordedSystem
from hypersdkd.model.guest_space import space_problem
from tests.guests.tiny import MIB, SIZE, encrypted_guest
from tests.problems import raises_problem

KEY = "sesame öffne dich"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    place = tmp_path_factory.mktemp("encrypted")
    disk = encrypted_guest(place / "disk.raw", KEY)
    overlay = place / "overlay.qcow2"
    qemu_img.make_overlay(overlay, qemu_img.reference(disk, "raw"), "raw", SIZE)
    files = prepare(Path(os.environ["LIBGUESTFS_CACHEDIR"], "hypersdkd-appliance"))
    with Appliance.launch([overlay], place, files) as made:
        yield made


@pytest.mark.parametrize("keys", [(), ("wrong", "not this one")])
def test_without_its_key_it_is_told_what_is_encrypted(appliance: Appliance, keys: tuple[str, ...]) -> None:
    with raises_problem("guest-encrypted", "/dev/sda1 cannot be opened") as caught:
        inspect(appliance.guestfs, keys)
    assert "luks_key_file" in caught[0].remedy
    assert not any(key in repr(caught) for key in keys)


def test_with_its_key_it_is_found_and_changed_and_its_space_is_known(appliance: Appliance, tmp_path: Path) -> None:
    found = inspect(appliance.guestfs, ("wrong", KEY))
    facts = found.facts
    assert (facts.os_type, facts.distro) == ("linux", "debian")
    assert facts.root.startswith("/dev/mapper/luks-")
    outer = next(device for device in facts.devices if device.content == "crypto_LUKS")
    assert (outer.device, outer.disk, outer.partition) == ("/dev/sda1", 0, 1)
    system = RecordedSystem(ApplianceGuest(appliance, tmp_path), facts)
    system.write("/etc/hosts", b"127.0.0.1 other\n")
    assert system.read("/etc/hosts") == b"127.0.0.1 other\n"
    root = facts.device_of(facts.root)
    assert root is not None and root.free is not None and 0 < root.free < 16 * MIB
    lack = space_problem(facts)
    assert lack is not None and lack.code == "guest-no-space"
    assert f"/ of the guest has {root.free} bytes free" in lack.message
