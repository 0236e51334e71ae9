"""FIX: virtio in the initramfs of every installed kernel, now and at its next update; and the check that it is there.

The modules are appended to each initramfs as an archive of their own, which takes seconds; where that cannot be done,
the guest's own tool makes it anew inside the appliance, which takes a minute a kernel under emulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypersdkd.host.initramfs import FILE_LIMIT, Initramfs, read_initramfs
from hypersdkd.host.kernel_modules import KernelModules
from hypersdkd.host.virtio_initramfs import NEEDED, addition, is_release, missing, obstacle, unindexed
from hypersdkd.model import initramfs_settings as settings
from hypersdkd.model.guest_facts import Kernel
from hypersdkd.model.guest_wishes import concern_options
from hypersdkd.model.problem import Problem, fail, one_line
from hypersdkd.spec.fixing import edit, files_in, text_of
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.system import FixContext, Fixer, GuestCheck, GuestSystem

#: Bytes that are left free where an initramfs is added to: the guest's next update needs some.
_SPARE: Final = 4 << 20

#: Bytes of a file of /lib/modules that is read; the largest module seen has 40 MiB with its symbols.
_FILE_LIMIT: Final = 64 << 20

#: Seconds that a guest's own tool may take for one kernel: 70 s under emulation.
_REBUILD_SECONDS: Final = 900.0

_CONCERN: Final = "initramfs"

#: LVM's list of disks by their serial numbers, which an initramfs may have a copy of: no disk of KVM's is in it.
_LVM_DEVICES: Final = "etc/lvm/devices/system.devices"


@hookimpl
def hypersdkd_fixers() -> Sequence[Fixer]:
    """The initramfs, once all that goes into it is mended."""
    return (Fixer("initramfs", _CONCERN, fix_initramfs, order=900),)


@hookimpl
def hypersdkd_guest_checks() -> Sequence[GuestCheck]:
    """Whether virtio is in each initramfs."""
    return (GuestCheck("initramfs-virtio", check_initramfs),)


def fix_initramfs(context: FixContext) -> None:
    """Put virtio into each initramfs that lacks it, and into the configuration of the tool that makes them.

    ``regenerate: false`` leaves those that are there, and writes the configuration alone. Raises ``guest-no-space``,
    and what the guest's tool raises where it has to be run.
    """
    _configure(context)
    if context.options.get("regenerate") is False:
        context.log("the initramfs is left as it is: the manifest has fix.initramfs.regenerate: false")
        return
    for kernel in context.system.facts.kernels:
        _fix_kernel(context, kernel)


def check_initramfs(context: FixContext) -> None:
    """One check a kernel. Where FIX was not to touch the initramfs, what is missing is a warning."""
    wanted = concern_options(context.guest, _CONCERN)
    binding = wanted is not None and wanted.get("regenerate") is not False
    kernels = context.system.facts.kernels
    results = [found for kernel in kernels if (found := _lacking(context.system, kernel)) is not None]
    if kernels and not results:
        results = [(False, "no installed kernel has its drivers")]
    for passed, detail in results:
        if passed or binding:
            context.check("initramfs-virtio", passed, detail)
        else:
            context.warn(
                Problem(
                    "guest-check-failed",
                    f"the guest will not find its disk on virtio: {detail}",
                    remedy="Leave fix.initramfs on, or give the converted guest a SATA disk.",
                )
            )


def _lacking(system: GuestSystem, kernel: Kernel) -> tuple[bool, str] | None:
    """Whether a kernel will find its disk and why; ``None`` where there is nothing to say of it."""
    modules = _modules(system, kernel)
    if modules is None or modules.lacking(NEEDED):
        return None
    title = one_line(kernel.release)
    if not modules.closure(NEEDED):
        return True, f"{title}: virtio is built in"
    if not kernel.initramfs:
        return False, f"{title} has no initramfs"
    _, initramfs = _read(system, kernel)
    absent = [*missing(initramfs, kernel.release, modules), *unindexed(initramfs, kernel.release, modules)]
    if absent:
        return False, f"{title} lacks {one_line(', '.join(absent))}"
    return True, f"{title}: all of virtio's modules, and what they need, are in it"


def _fix_kernel(context: FixContext, kernel: Kernel) -> None:
    system = context.system
    modules = _modules(system, kernel)
    if modules is None:
        context.log(f"kernel {kernel.release}: no modules, nothing to add")
        return
    if lacking := modules.lacking(NEEDED):
        context.warn(
            Problem("guest-no-virtio", one_line(f"the kernel {kernel.release} was built without {', '.join(lacking)}"))
        )
        return
    if not kernel.initramfs or not modules.closure(NEEDED):
        return
    data, initramfs = _read(system, kernel)
    files = missing(initramfs, kernel.release, modules)
    stale = _LVM_DEVICES in initramfs.members and not system.kind(f"/{_LVM_DEVICES}")
    if not stale and not files and not unindexed(initramfs, kernel.release, modules):
        return
    why = "it lists LVM's disks by serial number" if stale else obstacle(initramfs, kernel.release, modules)
    if why:
        context.log(f"{kernel.initramfs} is made anew: {why}")
        _rebuild(system, kernel)
        return

    def read(path: str) -> bytes | None:
        return system.read(f"{kernel.modules}/{path}", _FILE_LIMIT)

    _append(system, kernel.initramfs, addition(data, initramfs, kernel.release, files, read))
    context.log(f"{kernel.initramfs}: added {', '.join(files)}")


def _append(system: GuestSystem, path: str, content: bytes) -> None:
    directory = path.rpartition("/")[0] or "/"
    free = system.free(directory)
    if free < len(content) + _SPARE:
        raise fail(
            "guest-no-space",
            f"{directory} in the guest has {free} bytes free; {len(content) + _SPARE} are needed for its drivers",
        )
    system.append(path, content)


def _rebuild(system: GuestSystem, kernel: Kernel) -> None:
    """Let the guest's own tool make the initramfs; which modules is in its configuration by now."""
    commands = {
        "initramfs-tools": ["update-initramfs", "-u", "-k", kernel.release],
        "dracut": ["dracut", "--force", kernel.initramfs, kernel.release],
        "mkinitcpio": ["mkinitcpio", "-k", kernel.release, "-g", kernel.initramfs],
    }
    argv = commands.get(system.facts.initramfs_tool)
    if argv is None or not is_release(kernel.release):
        raise fail(
            "guest-command-failed",
            f"the initramfs of {kernel.release} has to be made anew, and it is not known by what",
            remedy="Add virtio_blk and virtio_net to the initramfs in the running guest, and export it again.",
        )
    system.run(argv, _REBUILD_SECONDS)


def _configure(context: FixContext) -> None:
    system, tool = context.system, context.system.facts.initramfs_tool
    if tool == "mkinitcpio":  # without its file it makes nothing, and one with modules alone would make no system
        edit(context, settings.MKINITCPIO, lambda text: settings.mkinitcpio_modules(text, NEEDED))
        for path in files_in(context, settings.MKINITCPIO_PARTS, ".conf"):
            if settings.mkinitcpio_sets_modules(text_of(context, path) or ""):
                edit(context, path, lambda text: settings.mkinitcpio_modules(text, NEEDED))
        return
    paths = {"initramfs-tools": settings.INITRAMFS_TOOLS, "dracut": settings.DRACUT}
    if tool not in paths:
        return
    text = (system.read(paths[tool]) or b"").decode(errors="surrogateescape")
    change = settings.initramfs_tools_modules if tool == "initramfs-tools" else settings.dracut_drivers
    system.write(paths[tool], change(text, NEEDED).encode(errors="surrogateescape"))


def _modules(system: GuestSystem, kernel: Kernel) -> KernelModules | None:
    if not kernel.modules or not is_release(kernel.release):
        return None
    dep = system.read(f"{kernel.modules}/modules.dep", _FILE_LIMIT)
    builtin = system.read(f"{kernel.modules}/modules.builtin", _FILE_LIMIT)
    return None if dep is None and builtin is None else KernelModules.parse(dep or b"", builtin or b"")


def _read(system: GuestSystem, kernel: Kernel) -> tuple[bytes, Initramfs]:
    data = system.read(kernel.initramfs, FILE_LIMIT)
    if data is None:
        raise fail("guest-file-unusual", f"{kernel.initramfs} is not there in the guest")
    return data, read_initramfs(data, frozenset({"modules.dep"}))
