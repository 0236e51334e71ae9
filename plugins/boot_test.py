"""VALIDATE with ``boot_test: true``: boot the converted guest in a throw-away machine, and see how far it comes.

The outputs are only read: what the guest writes goes to overlays that are removed. Whether the guest runs is decided by
its serial console and by QEMU; a guest that says nothing there by the network that it uses, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from hypersdkd.host import qemu_img
from hypersdkd.host.boot_console import Boot, Console, Sight, timed_out
from hypersdkd.host.kvm import kvm_obstacle
from hypersdkd.host.landlock import obstacle
from hypersdkd.host.output_directory import opened_output
from hypersdkd.host.packet_trace import TRACE_LIMIT, Said, question, said
from hypersdkd.host.process import PACKAGES, Finished
from hypersdkd.host.virtual_machine import (
    PROGRAM,
    Connections,
    Machine,
    MachineDisk,
    Records,
    run_machine,
    uefi_firmware,
)
from hypersdkd.model.guest import Guest
from hypersdkd.model.guest_hardware import addresses, cards, firmware
from hypersdkd.model.guest_wishes import boot_test_wanted
from hypersdkd.model.problem import Problem, ProblemError, fail
from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.types import Step

#: Seconds until a boot is given up, with KVM and under emulation, where a Debian on a busy machine takes 110.
KVM_SECONDS: Final = 180.0
EMULATED_SECONDS: Final = 600.0

#: What they may be set to.
_LEAST: Final = 10.0
_MOST: Final = 86400.0

#: Seconds after the login appeared in which the guest may still use its network.
NETWORK_SECONDS: Final = 10.0

#: Bytes that a booting guest may write; a Debian writes 60 MiB.
WRITTEN_LIMIT: Final = 2 << 30

#: Bytes of a screenshot: 1280 by 800 in PNG has less.
_SCREEN_LIMIT: Final = 8 << 20
_MONITOR_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds until a boot is given up, with KVM and emulated."""

    kvm: float = KVM_SECONDS
    emulated: float = EMULATED_SECONDS


_USUAL: Final = Limits()


class Plugin:
    """Boots by the limits that the configuration sets in ``plugins.boot_test``: ``kvm_seconds``, ``emulated_seconds``.

    Raises ``ValueError`` for any other setting, and for one that is no number of seconds.
    """

    def __init__(self, settings: Mapping[str, object]) -> None:
        unknown = sorted(set(settings) - {"kvm_seconds", "emulated_seconds"})
        if unknown:
            raise ValueError(f"boot_test has no setting {', '.join(unknown)}")
        self._limits = Limits(
            _seconds(settings, "kvm_seconds", KVM_SECONDS), _seconds(settings, "emulated_seconds", EMULATED_SECONDS)
        )

    @hookimpl
    def hypersdkd_steps(self) -> Sequence[Step]:
        """The last step of VALIDATE: it takes longest."""
        run = partial(boot_test, limits=self._limits)
        return (Step("boot-test", Stage.VALIDATE, run, order=900, require=require),)


def _seconds(settings: Mapping[str, object], key: str, otherwise: float) -> float:
    value = settings.get(key, otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _LEAST <= value <= _MOST:
        raise ValueError(f"{key} must be a number from {_LEAST:g} to {_MOST:g}")
    return float(value)


def require(guest: Guest) -> None:
    """Raises ``tool-missing`` where a boot test is asked for and there is no QEMU for it."""
    if boot_test_wanted(guest) and shutil.which(PROGRAM) is None:
        raise fail(
            "tool-missing",
            f"{PROGRAM}, in which the guest is to be booted, is not installed",
            remedy=f"Install it: `apt install {PACKAGES[PROGRAM]}`, or turn boot_test off.",
        )


def boot_test(context: StepContext, limits: Limits = _USUAL) -> None:
    """Boot the guest if that is asked for. ``boot-failed`` if it does not come up; not to know is a warning."""
    if not boot_test_wanted(context.guest):
        return
    why_not = kvm_obstacle()
    if why_not:
        context.log(f"the boot is emulated, which is slow: {why_not}")
    if (unconfined := obstacle(PROGRAM)) is not None:
        context.warn(unconfined)
    begin = time.monotonic()
    boot = _boot(context, _limit(context.guest, limits, kvm=not why_not), kvm=not why_not)
    seconds = round(time.monotonic() - begin, 1)
    context.finding(
        "boot",
        {
            "verdict": boot.sight.boot.value,
            "seen": boot.sight.line,
            "seconds": seconds,
            "accelerator": "tcg" if why_not else "kvm",
            "network": [{"mac": word.mac, "how": word.how, "address": word.address} for word in boot.words],
        },
    )
    detail = f"{boot.sight.boot.value} after {seconds:g} s: {boot.sight.line}"
    if boot.sight.boot is Boot.UNDECIDED:
        context.warn(Problem("boot-undecided", f"whether the guest boots is not known: {boot.sight.line}"))
        return
    context.check("boot", boot.sight.boot.passed, detail)
    if not boot.sight.boot.passed:
        raise fail("boot-failed", f"the converted guest does not boot: {detail}", detail=boot.tail)
    _judge_network(context, boot.words)


def _limit(guest: Guest, limits: Limits, *, kvm: bool) -> float:
    """Seconds that the boot may take: what the manifest says counts before the configuration."""
    wish = (guest.validate or {}).get("boot_seconds")
    if isinstance(wish, int) and not isinstance(wish, bool):
        return min(max(float(wish), _LEAST), _MOST)
    return limits.kvm if kvm else limits.emulated


def _judge_network(context: StepContext, words: Sequence[Said]) -> None:
    """Whether the guest kept its addresses. One that did not boots all the same: a warning."""
    heard = {word.address: word for word in words if word.how != "ipv6"}
    expected = addresses(context.findings)
    lost = [address for address in expected if address not in heard]
    if lost:
        context.check("network", False, f"the guest does not answer to {', '.join(lost)}")
        context.warn(Problem("boot-network", f"the booted guest does not answer to its address {', '.join(lost)}"))
    elif heard:
        context.check("network", True, ", ".join(f"{word.mac} {word.how} {word.address}" for word in heard.values()))


@dataclass(frozen=True, slots=True)
class _Booted:
    """How a boot ended: what was seen, the end of the console, and what the network card said."""

    sight: Sight
    tail: str
    words: tuple[Said, ...]


class _EndedError(Exception):
    """Ends the machine."""


class _Watcher:
    """Looks at a running machine twice a second, until it is known how the boot ends."""

    def __init__(self, files: _Files, addresses: Sequence[str], macs: Sequence[str]) -> None:
        self.console = Console()
        self.bios = Console()
        self.sight: Sight | None = None
        self._files = files
        self._addresses = addresses
        self._macs = macs
        self._until: float | None = None
        self._asked = 0.0

    def look(self, connections: Connections) -> None:
        """Raises ``_EndedError`` when there is no more to be seen."""
        self._read(connections)
        if self.sight is None:
            self.sight = self._by_monitor(connections.monitor.events()) or self.console.sight() or self._by_bios()
        if self.sight is None and self._files.written() > WRITTEN_LIMIT:
            self.sight = Sight(Boot.UNDECIDED, f"it wrote {WRITTEN_LIMIT} bytes before its login appeared")
        if self.sight is None:
            return
        now = time.monotonic()
        if self._until is None:
            self._until = now + (NETWORK_SECONDS if self.sight.boot.passed else 0)
        if now >= self._until or self._answered():
            self.photograph(connections)
            raise _EndedError
        self._ask(connections, now)

    def words(self) -> tuple[Said, ...]:
        """What the guest's cards said so far."""
        return tuple(word for word in said(self._files.trace()) if word.mac in self._macs)

    def _answered(self) -> bool:
        """Whether all there is to hear has been heard: each address of its own, or where none is known any."""
        heard = {word.address for word in self.words()}
        return heard.issuperset(self._addresses) if self._addresses else any(":" not in address for address in heard)

    def _ask(self, connections: Connections, now: float) -> None:
        if now - self._asked < 1:
            return
        self._asked = now
        for address in self._addresses:
            frame = question(address)
            with contextlib.suppress(OSError):  # its network is full, or gone with it
                connections.network.send(len(frame).to_bytes(4) + frame)

    def _read(self, connections: Connections) -> None:
        self.console.follow(self._files.records.console)
        self.bios.follow(self._files.records.bios)
        with contextlib.suppress(OSError):  # no more for now, or QEMU is about to end
            while connections.network.recv(1 << 16):
                pass  # the answers are in the traffic's file

    def _by_monitor(self, events: Sequence[Mapping[str, object]]) -> Sight | None:
        names = {str(event.get("event")) for event in events}
        if "GUEST_PANICKED" in names:
            return self.console.sight() or Sight(Boot.PANIC, "the guest told that its kernel panicked")
        if "SHUTDOWN" in names:
            return Sight(Boot.RESET, "the guest switched itself off or started again")
        return None

    def _by_bios(self) -> Sight | None:
        found = self.bios.sight()
        return found if found is not None and found.boot is Boot.NO_BOOT_DEVICE else None

    def photograph(self, connections: Connections) -> None:
        """Leave a picture of the screen; a machine that has none is no worse for it."""
        arguments = {"filename": f"/proc/self/fd/{self._files.screen}", "format": "png"}
        try:
            connections.monitor.command("screendump", arguments, _MONITOR_SECONDS)
        except ProblemError:
            return


def _boot(context: StepContext, seconds: float, *, kvm: bool) -> _Booted:
    with ExitStack() as stack:
        files = _Files.make(context, stack)
        machine = _machine(context, files, stack, kvm=kvm)
        watcher = _Watcher(files, addresses(context.findings), machine.macs)
        begin = time.monotonic()

        def watch(connections: Connections) -> None:
            elapsed = time.monotonic() - begin
            context.progress(int(min(elapsed, seconds)), int(seconds))
            watcher.look(connections)
            if elapsed > seconds:
                watcher.photograph(connections)
                raise _EndedError

        try:
            done = run_machine(machine, files.records, [files.screen], watch, seconds + 60)
            sight = watcher.sight or _ended_itself(done)
        except _EndedError:
            sight = watcher.sight or _timed_out(watcher, seconds)
        log = watcher.console.log()
        context.attach("boot", "boot-console.log", log)
        context.attach("boot", "boot-traffic.pcap", files.trace())
        if picture := os.pread(files.screen, _SCREEN_LIMIT, 0):
            context.attach("boot", "boot-screen.png", picture)
        return _Booted(sight, log[-4096:].decode(errors="replace"), watcher.words())


@dataclass(frozen=True, slots=True)
class _Files:
    """What the machine is made of and what it leaves: descriptors of files in the attempt's own directory."""

    disks: tuple[MachineDisk, ...]
    records: Records
    screen: int

    @classmethod
    def make(cls, context: StepContext, stack: ExitStack) -> _Files:
        """Files that are closed with ``stack``. Raises what opening an output does."""
        disks = []
        for index, output in enumerate(context.outputs):
            image = stack.enter_context(opened_output(output, Path(context.guest.output_root)))
            name = context.work / f"boot{index}.qcow2"
            qemu_img.make_empty(name, output.virtual_size)
            disks.append(MachineDisk(image.fd, output.format, _open(name, stack)))
        records = [_open(context.work / f"boot-{name}", stack) for name in ("traffic.pcap", "console.log", "bios.log")]
        return cls(tuple(disks), Records(*records), _open(context.work / "boot-screen.png", stack))

    def trace(self) -> bytes:
        """What passed on the network so far, its beginning if it is long."""
        return os.pread(self.records.traffic, TRACE_LIMIT, 0)

    def written(self) -> int:
        """Bytes that the machine has written."""
        records = (self.records.traffic, self.records.console, self.records.bios)
        return sum(os.fstat(fd).st_blocks * 512 for fd in (*(disk.overlay for disk in self.disks), *records))


def _open(path: Path, stack: ExitStack) -> int:
    """A file of ours, made if it is not there, and removed in the end."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    stack.callback(path.unlink, missing_ok=True)
    stack.callback(os.close, fd)
    return fd


def _ended_itself(done: Finished) -> Sight:
    """QEMU went by itself: the guest started again, which ``-no-reboot`` makes the end, unless QEMU failed."""
    if done.returncode:
        raise fail("tool-failed", f"QEMU ended with {done.returncode}", detail=done.stderr)
    return Sight(Boot.RESET, "the guest switched itself off or started again")


def _timed_out(watcher: _Watcher, seconds: float) -> Sight:
    address = next((word.address for word in watcher.words() if word.how != "ipv6"), "")
    return timed_out(seconds, spoke=watcher.console.bytes > 0, address=address)


def _machine(context: StepContext, files: _Files, stack: ExitStack, *, kvm: bool) -> Machine:
    macs = tuple(card.mac for card in cards(context.findings) if card.mac) or Machine(()).macs
    if firmware(context.findings) != "uefi":
        return Machine(files.disks, macs, kvm=kvm)
    installed = uefi_firmware()
    variables = _open(context.work / "boot-variables.fd", stack)
    os.write(variables, installed.variables.read_bytes())
    return Machine(files.disks, macs, kvm=kvm, firmware=installed.code, variables=variables)
