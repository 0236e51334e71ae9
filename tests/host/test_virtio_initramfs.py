"""Virtio in an initramfs: what is missing, what is added, and when nothing can be."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from hypersdkd.host.cpio import Member, archive
from hypersdkd.host.initramfs import read_initramfs
from hypersdkd.host.kernel_modules import KernelModules
from hypersdkd.host.virtio_initramfs import addition, is_release, missing, modules_place, obstacle, unindexed
from tests.initramfs import DEP, RELEASE, VMWARE, compressed, initramfs_tree, module_files

MODULES = KernelModules.parse(DEP.encode(), b"")
FILES = module_files("")
DEP_ONLY = frozenset({"modules.dep"})


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("compression", ["gzip", "lz4"])
def test_what_is_missing_is_added_once_where_the_initramfs_has_its_modules(merged: bool, compression: str) -> None:
    data = compressed(compression, archive(initramfs_tree(*VMWARE, merged=merged)))
    before = read_initramfs(data, DEP_ONLY)
    files = missing(before, RELEASE, MODULES)
    assert len(files) == 10 and not set(files) & set(VMWARE)
    assert unindexed(before, RELEASE, MODULES) == ("virtio_pci", "virtio_blk", "virtio_net")
    data += addition(data, before, RELEASE, files, lambda path: FILES.get(f"/{path}"))
    after = read_initramfs(data, DEP_ONLY)
    assert missing(after, RELEASE, MODULES) == () == unindexed(after, RELEASE, MODULES)
    place = f"{'usr/' if merged else ''}lib/modules/{RELEASE}"
    assert modules_place(after, RELEASE) == place
    assert after.members[f"{place}/modules.dep"].content == DEP.encode()
    links = {name for name, member in after.members.items() if stat.S_ISLNK(member.mode)}
    assert links == ({"lib"} if merged else set())
    directories = {name for name, member in after.members.items() if stat.S_ISDIR(member.mode)}
    assert all(name.rpartition("/")[0] in directories for name in after.members if "/" in name)


def test_a_module_that_is_there_in_another_compression_counts() -> None:
    packed = KernelModules.parse(DEP.replace(".ko", ".ko.xz").encode(), b"")
    tree = initramfs_tree(*packed.closure(packed.files))
    initramfs = read_initramfs(archive([replace(member, name=member.name.removesuffix(".xz")) for member in tree]))
    assert missing(initramfs, RELEASE, packed) == ()
    assert "compressed in another way" in obstacle(initramfs, RELEASE, packed)


@pytest.mark.parametrize(
    ("compression", "release", "obstructed"),
    [("lz4", "5.4.0-99-generic", True), ("lz4", "5.11.0", False), ("gzip", "3.10.0-1160.el7", False)],
)
def test_old_kernels_stop_after_lz4(compression: str, release: str, obstructed: bool) -> None:
    initramfs = read_initramfs(compressed(compression, archive([Member("init", stat.S_IFREG, 0, b"")])))
    assert bool(obstacle(initramfs, release, MODULES)) is obstructed


def test_an_image_within_hides_what_is_beside_it() -> None:
    initramfs = read_initramfs(archive([Member("squashfs-root.img", stat.S_IFREG, 0, b"hsqs")]))
    assert "image within" in obstacle(initramfs, RELEASE, MODULES)


@pytest.mark.parametrize("text", ["", "..", "a/b", "-k", "x\n", "."])
def test_what_is_no_release_is_given_to_no_program(text: str) -> None:
    assert not is_release(text)
    assert is_release(RELEASE)
