"""Boots test guests on hardware of choice, everything that they write thrown away."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.host.boot_console import Boot, Console, Sight
from hypersdkd.host.packet_trace import Said, question, said
from hypersdkd.host.qemu_img import make_empty
from hypersdkd.host.virtual_machine import Connections, Machine, MachineDisk, Records, run_machine, uefi_firmware
from hypersdkd.model.problem import ProblemError
from tests.guests.recipe import ADDRESS, MAC

#: Seconds for a boot under emulation on a busy machine.
LIMIT: Final = 240.0

#: Seconds after the login until the network must have answered.
_NETWORK: Final = 20.0


#: Where VMware's variables say that the loader of a guest with UEFI is.
UEFI_ENTRY: Final = "\\EFI\\debian\\grubx64.efi"


@dataclass(frozen=True)
class Booted:
    """How it ended, what the console said, and what the guest's card did."""

    sight: Sight | None
    console: str
    words: tuple[Said, ...]

    @property
    def boot(self) -> Boot | None:
        return self.sight.boot if self.sight else None

    @property
    def keeps_its_address(self) -> bool:
        """Whether the guest answers to its own address, by its own card."""
        return Said(MAC, "arp", ADDRESS) in self.words


class _SeenError(Exception):
    pass


def boot(disks: Sequence[Path], place: Path, *, vmware: bool, uefi_entry: str | None = None) -> Booted:
    """Boot raw ``disks`` as VMware would (vmxnet3 in slot 192; pvscsi, with UEFI SATA, since OVMF sees no disk on
    pvscsi) or on virtio. ``place`` is for what is written.

    With ``uefi_entry`` there is UEFI, whose variables name that loader; empty for variables as they are when new.
    """
    console, sights, words = Console(), list[Sight](), list[Said]()
    with ExitStack() as stack:
        records = Records(*(_opened(place / name, stack) for name in ("traffic", "console", "bios")))
        machine = _machine(disks, place, stack, vmware=vmware, uefi_entry=uefi_entry)
        until = 0.0

        def watch(connections: Connections) -> None:
            nonlocal until
            console.follow(records.console)
            with contextlib.suppress(BlockingIOError):
                while connections.network.recv(1 << 16):
                    pass
            sight = console.sight()
            if sight is None:
                return
            if not sights:
                sights.append(sight)
                until = time.monotonic() + (_NETWORK if sight.boot.passed else 0)
            words[:] = said(os.pread(records.traffic, 1 << 20, 0))
            if time.monotonic() >= until or Said(MAC, "arp", ADDRESS) in words:
                raise _SeenError
            frame = question(ADDRESS)
            connections.network.send(len(frame).to_bytes(4) + frame)

        try:
            run_machine(machine, records, [], watch, LIMIT)
        except _SeenError:
            pass
        except ProblemError as error:
            if error.problem.code != "tool-timeout":
                raise
    return Booted(sights[0] if sights else None, console.log().decode(errors="replace"), tuple(words))


def _machine(disks: Sequence[Path], place: Path, stack: ExitStack, *, vmware: bool, uefi_entry: str | None) -> Machine:
    opened = []
    for number, disk in enumerate(disks):
        overlay = place / f"overlay{number}.qcow2"
        make_empty(overlay, disk.stat().st_size)
        image = os.open(disk, os.O_RDONLY)
        stack.callback(os.close, image)
        opened.append(MachineDisk(image, "raw", _opened(overlay, stack)))
    own = Machine(opened, [MAC], disk_bus="pvscsi" if uefi_entry is None else "sata", network_card="vmxnet3", slot=192)
    machine = own if vmware else Machine(opened, [MAC])
    if uefi_entry is None:
        return machine
    firmware = uefi_firmware()
    variables = place / "variables.fd"
    variables.write_bytes(firmware.variables.read_bytes())
    if uefi_entry:
        program = Path(sys.executable).with_name("virt-fw-vars")
        argv = [str(program), "--inplace", str(variables), "--append-boot-filepath", uefi_entry]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
    return Machine(
        machine.disks, machine.macs, machine.disk_bus, machine.network_card, machine.slot,
        firmware=firmware.code, variables=_opened(variables, stack),
    )  # fmt: skip


def _opened(path: Path, stack: ExitStack) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    stack.callback(os.close, fd)
    return fd
