"""What depmod wrote is read as modprobe reads it."""

from __future__ import annotations

from hypersdkd.host.kernel_modules import KernelModules, is_module, module_name
from tests.initramfs import DEP

MODULES = KernelModules.parse(DEP.encode(), b"kernel/drivers/virtio/virtio-rng.ko\nkernel/fs/ext4/ext4.ko\n")


def test_all_that_a_module_needs_comes_before_it_and_once() -> None:
    files = MODULES.closure(["virtio_blk", "virtio_net", "virtio"])
    assert files == (
        "kernel/drivers/virtio/virtio_ring.ko",
        "kernel/drivers/virtio/virtio.ko",
        "kernel/drivers/block/virtio_blk.ko",
        "kernel/net/core/failover.ko",
        "kernel/drivers/net/net_failover.ko",
        "kernel/drivers/net/virtio_net.ko",
    )


def test_what_is_built_in_is_not_lacking() -> None:
    assert MODULES.lacking(["virtio_rng", "ext4", "virtio_blk", "xen_blkfront"]) == ("xen_blkfront",)
    assert MODULES.closure(["ext4", "unknown"]) == ()


def test_names() -> None:
    names = ["kernel/x/virtio-rng.ko.xz", "virtio_rng.ko", "a/virtio-rng.ko.zst", "virtio_rng.ko.gz"]
    assert {module_name(name) for name in names} == {"virtio_rng"}
    assert [is_module(name) for name in (*names, "modules.dep", "x.ko.txt")] == [True] * 4 + [False] * 2


def test_paths_that_lead_elsewhere_are_passed_over() -> None:
    dep = b"../../etc/shadow.ko:\n/etc/x.ko: y\na.ko: ../b.ko /c.ko d.ko\nno colon\n"
    assert KernelModules.parse(dep, b"").needs == {"a.ko": ("d.ko",)}
