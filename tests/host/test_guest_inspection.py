"""Systems that cannot be had in a test's time: Windows, several systems, damaged file systems."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hypersdkd.host.guest_inspection import Inspected, inspect
from tests.host.paper_guestfs import PaperGuestfs
from tests.problems import raises_problem

LINUX: dict[str, object] = {
    "type": "linux",
    "distro": "unknown",
    "product_name": "Some\nLinux",
    "major_version": 12,
    "minor_version": 0,
    "mountpoints": {"/": "/dev/sda1", "/boot": "/dev/sda2", "/a/../b": "/dev/sda3"},
}
WINDOWS: dict[str, object] = {"type": "windows", "product_name": "Windows 10", "mountpoints": {"C:": "/dev/sda1"}}


def inspected(guestfs: PaperGuestfs) -> Inspected:
    return inspect(guestfs, ())  # type: ignore[arg-type]


def test_what_is_said_and_mounted() -> None:
    guestfs = PaperGuestfs(systems={"/dev/sda1": LINUX}, partitions=("/dev/sda1", "/dev/sda2"))
    found = inspected(guestfs)
    facts = found.facts
    assert (facts.distro, facts.product, facts.version, facts.hostname) == ("", r"Some\nLinux", "12.0", "")
    assert facts.mounts == {"/": "/dev/sda1", "/boot": "/dev/sda2"}
    assert guestfs.mounted == list(facts.mounts.items())
    assert [device.free for device in facts.devices] == [4096000, 4096000]
    assert found.warnings == ()


def test_a_subvolume_is_a_device_of_its_own() -> None:
    root = "btrfsvol:/dev/sda1/@"
    system = {**LINUX, "mountpoints": {"/": root, "/home": "btrfsvol:/dev/sda1/@home"}}
    facts = inspected(PaperGuestfs(systems={root: system}, partitions=("/dev/sda1",))).facts
    assert facts.root == root
    found = facts.device_of(root)
    assert found is not None
    assert (found.content, found.free) == ("btrfs", 4096000)


def test_of_several_systems_the_linux_is_taken() -> None:
    found = inspected(PaperGuestfs(systems={"/dev/sda1": WINDOWS, "/dev/sdb1": {**LINUX, "mountpoints": {}}}))
    assert (found.facts.os_type, found.facts.root) == ("linux", "/dev/sdb1")
    assert [problem.code for problem in found.warnings] == ["guest-no-system"]
    assert r"fixed is Some\nLinux, not Windows 10" in found.warnings[0].message


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"systems": {}}, "guest-no-system", "on 1 disk$"),
        (
            {"systems": {}, "blkids": {"/dev/sda": {"TYPE": "crypto_LUKS"}}},
            "guest-encrypted",
            "/dev/sda cannot be opened",
        ),
        (
            {"systems": {"/dev/sda1": LINUX}, "unmountable": {"/dev/sda1": "bad superblock"}},
            "guest-damaged",
            "superblock",
        ),
        ({"systems": {"/dev/sda1": WINDOWS}, "unmountable": {"/dev/sda1": "unclean"}}, "guest-hibernated", "unclean"),
        ({"systems": {"/dev/sda1": WINDOWS}, "flag": 1}, "guest-hibernated", "can only be read"),
    ],
)
def test_what_cannot_be_used(fields: dict[str, Any], code: str, words: str) -> None:
    with raises_problem(code, words) as caught:
        inspected(PaperGuestfs(**fields))
    if code == "guest-hibernated":
        assert "powercfg /h off" in caught[0].remedy


def test_what_fix_can_do_without_is_told() -> None:
    guestfs = PaperGuestfs(
        {"/dev/sdb": {"TYPE": "crypto_LUKS"}},
        disks=("/dev/sda", "/dev/sdb"),
        systems={"/dev/sda1": LINUX},
        unmountable={"/dev/sda2": "dirty\x1blog"},
    )
    found = inspected(guestfs)
    assert [problem.code for problem in found.warnings] == ["guest-encrypted", "guest-damaged"]
    assert r"dirty\x1blog" in found.warnings[1].message
    assert found.facts.mounts == {"/": "/dev/sda1"}


def test_a_windows_that_was_shut_down() -> None:
    facts = inspected(PaperGuestfs(systems={"/dev/sda1": WINDOWS})).facts
    assert (facts.os_type, facts.mounts) == ("windows", {"/": "/dev/sda1"})
    assert replace(facts).as_dict()["product"] == "Windows 10"
