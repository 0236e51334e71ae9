"""FIX of the initramfs: every kernel's, now and at its next update, once; and the check that says so."""

from __future__ import annotations

import stat
from collections.abc import Sequence

import pytest
from hypersdkd_plugins.fix_initramfs import check_initramfs, fix_initramfs

from hypersdkd.host.cpio import Member, archive
from hypersdkd.host.initramfs import read_initramfs
from hypersdkd.model.guest import Guest
from hypersdkd.model.guest_facts import GuestFacts, Kernel
from tests.initramfs import RELEASE, VMWARE, compressed, initramfs_tree, module_files
from tests.plugins.paper_system import Entry, PaperContext, PaperSystem, Program
from tests.problems import raises_problem

IMAGE = f"/boot/initrd.img-{RELEASE}"
MODULES = f"/usr/lib/modules/{RELEASE}"
KERNEL = Kernel(RELEASE, f"/boot/vmlinuz-{RELEASE}", IMAGE, MODULES)
VMWARES = compressed("gzip", archive(initramfs_tree(*VMWARE)))


def guest(
    tool: str = "initramfs-tools",
    initramfs: bytes = VMWARES,
    kernels: Sequence[Kernel] = (KERNEL,),
    fix: dict[str, object] | None = None,
    free: int = 1 << 30,
    programs: dict[str, Program] | None = None,
    **files: Entry,
) -> PaperContext:
    facts = GuestFacts(os_type="linux", kernels=tuple(kernels), initramfs_tool=tool)
    system = PaperSystem({IMAGE: initramfs, **module_files(), **files}, facts, programs, free)
    return PaperContext(system, options={"regenerate": True}, guest=Guest("web01", (), fix={} if fix is None else fix))


def image(context: PaperContext) -> bytes:
    content = context.system.files[IMAGE]
    assert isinstance(content, bytes)
    return content


def check(context: PaperContext) -> list[tuple[str, bool, str]]:
    context.checks.clear()
    check_initramfs(context)
    return context.checks


def test_virtio_is_appended_checked_and_not_appended_twice() -> None:
    context = guest()
    assert [passed for _, passed, _ in check(context)] == [False]
    fix_initramfs(context)
    assert image(context).startswith(VMWARES)
    assert f"usr/lib/modules/{RELEASE}/kernel/drivers/block/virtio_blk.ko" in read_initramfs(image(context)).members
    assert [(name, passed) for name, passed, _ in check(context)] == [("initramfs-virtio", True)]
    first = [change.path for change in context.system.changes]
    assert first == ["/etc/initramfs-tools/modules", IMAGE]
    fix_initramfs(context)
    assert len(context.system.changes) == 2 and not context.system.ran


@pytest.mark.parametrize(
    ("tool", "path", "text"),
    [
        ("initramfs-tools", "/etc/initramfs-tools/modules", "virtio_pci\nvirtio_blk\nvirtio_net\n"),
        ("dracut", "/etc/dracut.conf.d/50-virtio.conf", 'add_drivers+=" virtio_pci virtio_blk virtio_net "\n'),
        ("mkinitcpio", "/etc/mkinitcpio.conf", "MODULES=(virtio_pci virtio_blk virtio_net)\n"),
    ],
)
def test_the_next_update_keeps_them(tool: str, path: str, text: str) -> None:
    there: dict[str, Entry] = {path: b"MODULES=()\n"} if tool == "mkinitcpio" else {}
    context = guest(tool, **there)
    fix_initramfs(context)
    assert context.system.text(path).endswith(text)


def test_a_part_of_mkinitcpios_configuration_that_counts_has_them_too_and_none_is_made() -> None:
    own, other = "/etc/mkinitcpio.conf.d/10-own.conf", "/etc/mkinitcpio.conf.d/20-hooks.conf"
    context = guest("mkinitcpio", **{own: b"MODULES=('ext4')\n", other: b"HOOKS=(base)\n"})
    fix_initramfs(context)
    assert context.system.text(own) == "MODULES=('ext4' virtio_pci virtio_blk virtio_net)\n"
    assert context.system.text(other) == "HOOKS=(base)\n"
    assert not context.system.kind("/etc/mkinitcpio.conf")


def test_every_kernel_is_mended() -> None:
    other = Kernel("5.10.0-1", "", "/boot/initrd.img-5.10.0-1", "/usr/lib/modules/5.10.0-1")
    files = {other.initramfs: VMWARES.replace(b"", b""), **module_files(other.modules)}
    context = guest(kernels=[KERNEL, other], **files)
    fix_initramfs(context)
    assert [passed for _, passed, _ in check(context)] == [True, True]


@pytest.mark.parametrize(
    ("tool", "argv"),
    [
        ("initramfs-tools", ("update-initramfs", "-u", "-k", RELEASE)),
        ("dracut", ("dracut", "--force", IMAGE, RELEASE)),
        ("mkinitcpio", ("mkinitcpio", "-k", RELEASE, "-g", IMAGE)),
    ],
)
def test_where_nothing_can_be_appended_the_guests_tool_makes_it_anew(tool: str, argv: tuple[str, ...]) -> None:
    packed = initramfs_tree(*(f"{path}.xz" for path in VMWARE))  # of another compression than the system's
    whole = archive(initramfs_tree(*(path.partition(":")[0] for path in _all_modules())))

    def make(files: dict[str, Entry], _argv: Sequence[str]) -> str:
        files[IMAGE] = whole
        return ""

    context = guest(tool, archive(packed), programs={argv[0]: make})
    fix_initramfs(context)
    assert context.system.ran == [argv]
    assert [passed for _, passed, _ in check(context)] == [True]


def _all_modules() -> list[str]:
    return [path.removeprefix(f"{MODULES}/") for path in module_files() if path.endswith(".ko")]


@pytest.mark.parametrize("kept", [True, False])
def test_lvms_list_of_disks_leaves_the_initramfs_with_the_system(kept: bool) -> None:
    listed = Member("etc/lvm/devices/system.devices", stat.S_IFREG | 0o600, 4, b"ID=1")
    whole = initramfs_tree(*(path.partition(":")[0] for path in _all_modules()))

    def make(files: dict[str, Entry], _argv: Sequence[str]) -> str:
        files[IMAGE] = archive(whole)
        return ""

    there: dict[str, Entry] = {"/etc/lvm/devices/system.devices": b"ID=1"} if kept else {}
    context = guest("dracut", archive([*whole, listed]), programs={"dracut": make}, **there)
    fix_initramfs(context)
    fix_initramfs(context)
    assert len(context.system.ran) == (0 if kept else 1)


def test_an_unknown_tool_cannot_make_it_anew() -> None:
    with raises_problem("guest-command-failed"):
        fix_initramfs(guest("", archive(initramfs_tree("kernel/elsewhere.ko"))))


def test_there_must_be_room_in_boot() -> None:
    context = guest(free=4 << 20)
    with raises_problem("guest-no-space"):
        fix_initramfs(context)
    assert image(context) == VMWARES


def test_regenerate_false_leaves_it_and_the_check_only_warns() -> None:
    context = guest(fix={"initramfs": {"regenerate": False}})
    context.options = {"regenerate": False}
    fix_initramfs(context)
    assert image(context) == VMWARES
    assert check(context) == []
    assert [problem.code for problem in context.warnings] == ["guest-check-failed"]


def test_built_in_drivers_need_nothing() -> None:
    names = b"kernel/virtio_pci.ko\nkernel/virtio_blk.ko\nkernel/virtio_net.ko\n"
    context = guest(**{f"{MODULES}/modules.builtin": names, f"{MODULES}/modules.dep": b""})
    fix_initramfs(context)
    assert image(context) == VMWARES
    assert check(context) == [("initramfs-virtio", True, f"{RELEASE}: virtio is built in")]


def test_a_kernel_without_drivers_is_told_and_fails_the_check_if_it_is_the_only_one() -> None:
    context = guest(**{f"{MODULES}/modules.dep": b"kernel/a.ko:\n"})
    fix_initramfs(context)
    assert [problem.code for problem in context.warnings] == ["guest-no-virtio"]
    assert check(context) == [("initramfs-virtio", False, "no installed kernel has its drivers")]


def test_a_kernel_without_initramfs_whose_drivers_are_modules_fails_the_check() -> None:
    context = guest(kernels=[Kernel(RELEASE, "", "", MODULES)])
    fix_initramfs(context)
    assert check(context) == [("initramfs-virtio", False, f"{RELEASE} has no initramfs")]


@pytest.mark.parametrize("release", ["../../etc", "-rf", "a b\n"])
def test_a_hostile_release_is_passed_over(release: str) -> None:
    context = guest(kernels=[Kernel(release, "", IMAGE, MODULES)])
    fix_initramfs(context)
    assert image(context) == VMWARES
