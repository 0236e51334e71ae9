"""Names of network cards in the initramfs of an older systemd."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest
from hypersdkd_plugins.fix_network_early import fix_network_early, hypersdkd_fixers

from hypersdkd.host.cpio import Member, archive
from hypersdkd.host.initramfs import read_initramfs
from hypersdkd.model.guest_facts import GuestFacts
from tests.initramfs import compressed
from tests.plugins.distributions import UBUNTU
from tests.plugins.paper_system import PaperContext, PaperSystem

IMAGE = "/boot/initrd.img-6.1"
LINK = "/etc/systemd/network/10-hypersdkd-ens192.link"
TEXT = b"[Match]\nMACAddress=00:50:56:aa:bb:01\n[Link]\nName=ens192\n"
RULES = Member("usr/lib/udev/rules.d/80-net-setup-link.rules", stat.S_IFREG | 0o644, 1, b"#")
NAMING = compressed("gzip", archive([Member("etc", stat.S_IFDIR | 0o755, 0), RULES]))


def run(initramfs: bytes = NAMING, library: str = "libsystemd-shared-237.so", free: int = 1 << 20) -> PaperContext:
    files = {LINK: TEXT, f"/lib/systemd/{library}": b"", IMAGE: initramfs}
    context = PaperContext(PaperSystem(files, UBUNTU.facts, free=free))
    fix_network_early(context)
    return context


def image(context: PaperContext) -> bytes:
    return context.system.paper.read(IMAGE)


def test_the_link_is_in_the_initramfs_once() -> None:
    context = run()
    members = read_initramfs(image(context), frozenset({"10-hypersdkd-ens192.link"})).members
    assert members[LINK[1:]].content == TEXT
    assert {"etc/systemd", "etc/systemd/network", RULES.name} <= set(members)
    assert [change.path for change in context.system.changes] == [IMAGE]
    assert run(image(context)).system.changes == ()


@pytest.mark.parametrize(
    "context",
    [
        lambda: run(library="libsystemd-shared-240.so"),
        lambda: run(library="libsystemd-shared-252-13.el9.so"),
        lambda: run(compressed("gzip", archive([Member("etc", stat.S_IFDIR | 0o755, 0)]))),
    ],
)
def test_where_the_name_does_not_stay_nothing_is_added(context: object) -> None:
    assert callable(context)
    assert context().system.changes == ()


def test_what_cannot_be_added_to_is_a_warning() -> None:
    for initramfs in (compressed("lz4", archive([RULES])), b"\x1f\x8bbroken"):
        context = run(initramfs)
        assert context.system.changes == ()
        assert [warning.code in {"guest-network", "guest-file-unusual"} for warning in context.warnings] == [True]


def test_only_where_there_is_an_initramfs() -> None:
    [fixer] = hypersdkd_fixers()
    assert fixer.applies(UBUNTU.facts)
    assert not fixer.applies(replace(UBUNTU.facts, kernels=()))
    assert not fixer.applies(GuestFacts(os_type="windows"))
