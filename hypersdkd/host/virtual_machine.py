"""A throw-away virtual machine: QEMU's command line, the files that it is given, and nothing else within its reach.

All writes go to overlays. The network is QEMU's own, which leads nowhere (``restrict=on``); what passes there is
written down. QEMU is under seccomp (``-sandbox``), and under Landlock opens nothing but what is named here.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hypersdkd.host.landlock import Confinement
from hypersdkd.host.process import Finished, Limits, run
from hypersdkd.host.qmp import Monitor
from hypersdkd.model.problem import fail

PROGRAM: Final = "qemu-system-x86_64"

#: Descriptions of firmware that QEMU's packages install: docs/interop/firmware.json of QEMU.
FIRMWARE_DIRECTORIES: Final = (Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware"))

#: MiB of memory that a guest gets: what distributions ask for at least.
MEMORY_MIB: Final = 1024

#: The guest's memory, the translator's cache, and QEMU itself.
_LIMITS: Final = Limits(address_space=6 << 30)

#: The processor under emulation: ``max`` breaks programs of Debian 12 under QEMU 7.2; this has all that they ask for.
_EMULATED: Final = "Nehalem"

_MAC: Final = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")

#: QEMU's disk on each bus, the number of the disk for ``{}``. A q35 has SATA of its own, with a disk a port.
_DISK_DEVICES: Final[Mapping[str, str]] = {
    "virtio": "virtio-blk-pci",
    "pvscsi": "scsi-hd,bus=scsi.0",
    "sata": "ide-hd,bus=ide.{}",
}

#: Formats whose driver takes a backing image, so that it has to be told that there is none.
_LAYERED: Final = frozenset({"qcow2", "vmdk"})


@dataclass(frozen=True, slots=True)
class MachineDisk:
    """Descriptors of an image that is only read, and of the empty qcow2 of its size that the guest writes to."""

    image: int
    format: str
    overlay: int


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware. ``disk_bus`` is ``virtio``, ``pvscsi`` or ``sata``, ``network_card`` QEMU's name of one.

    ``slot`` is that of the PCIe port that the first card is behind, 0 for none. ``kvm`` where it works. For UEFI
    ``firmware`` is its code, and ``variables`` the descriptor of a copy of its variables.
    """

    disks: Sequence[MachineDisk]
    macs: Sequence[str] = ("52:54:00:12:34:56",)
    disk_bus: str = "virtio"
    network_card: str = "virtio-net-pci"
    slot: int = 0
    kvm: bool = False
    firmware: Path | None = None
    variables: int | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """Descriptors of files that a machine's life is written into: its first network's traffic, as pcap; its serial
    console; what its BIOS says of itself. Files, since a guest waits for whoever reads its console slowly.
    """

    traffic: int
    console: int
    bios: int


@dataclass(frozen=True, slots=True)
class Connections:
    """What leads to a running machine: its monitor and its first network.

    On the network each frame has its length before it, in four bytes, the highest first.
    """

    monitor: Monitor
    network: socket.socket


@dataclass(frozen=True, slots=True)
class Firmware:
    """A UEFI firmware that is installed: its code, and the variables that a new machine begins with."""

    code: Path
    variables: Path


def uefi_firmware(directories: Sequence[Path] = FIRMWARE_DIRECTORIES) -> Firmware:
    """The first installed one for a q35 without Secure Boot. Raises ``tool-missing``."""
    for path in sorted((file for place in directories for file in place.glob("*.json")), key=lambda file: file.name):
        try:
            found = _firmware(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another's file, of another version
        if found is not None:
            return found
    raise fail("tool-missing", "no UEFI firmware for QEMU is installed", remedy="Install it: `apt install ovmf`.")


def _firmware(described: Mapping[str, Any]) -> Firmware | None:
    match described:
        case {
            "interface-types": ["uefi", *_],
            "mapping": {
                "device": "flash",
                "executable": {"filename": str(code)},
                "nvram-template": {"filename": str(nvram)},
            },
            "targets": [*targets],
            "features": [*features],
        }:
            machines = [name for target in targets if target["architecture"] == "x86_64" for name in target["machines"]]
            secure = {"secure-boot", "requires-smm", "enrolled-keys"} & set(features)
            if any(name.startswith("pc-q35") for name in machines) and not secure:
                return Firmware(Path(code), Path(nvram))
        case _:
            pass
    return None


def arguments(machine: Machine, records: Records, monitor: int, network: int) -> list[str]:
    """QEMU's command line; ``monitor`` and ``network`` are descriptors of sockets."""
    accelerator = "kvm" if machine.kvm else "tcg,tb-size=256"
    argv = [PROGRAM, "-nodefaults", "-no-user-config", "-name", "hypersdkd-boot-test"]
    argv += ["-machine", "q35", "-accel", accelerator, "-cpu", "host" if machine.kvm else _EMULATED]
    argv += ["-m", str(MEMORY_MIB), "-display", "none", "-device", "VGA", "-device", "pvpanic"]
    argv += ["-no-reboot", "-action", "panic=pause", "-boot", "menu=off,strict=on"]
    argv += ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    argv += ["-chardev", f"file,id=console,path=/proc/self/fd/{records.console}", "-serial", "chardev:console"]
    argv += ["-chardev", f"file,id=bios,path=/proc/self/fd/{records.bios}"]
    argv += ["-device", "isa-debugcon,iobase=0x402,chardev=bios"]
    argv += ["-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"]
    argv += _firmware_arguments(machine)
    argv += ["-device", "pvscsi,id=scsi"] if machine.disk_bus == "pvscsi" else []
    for number, disk in enumerate(machine.disks):
        device = _DISK_DEVICES[machine.disk_bus].format(number)
        argv += ["-blockdev", _block_node(disk, f"disk{number}")]
        argv += ["-device", f"{device},drive=disk{number},bootindex={number}"]
    return argv + _network_arguments(machine, records.traffic, network)


def _firmware_arguments(machine: Machine) -> list[str]:
    if machine.firmware is None or machine.variables is None:
        return []
    if "," in str(machine.firmware):
        raise fail("tool-missing", f"the firmware {machine.firmware} cannot be named to QEMU")
    code = f"if=pflash,unit=0,format=raw,readonly=on,file={machine.firmware}"
    return ["-drive", code, "-drive", f"if=pflash,unit=1,format=raw,file=/proc/self/fd/{machine.variables}"]


def _block_node(disk: MachineDisk, name: str) -> str:
    image: dict[str, object] = {
        "driver": disk.format,
        "read-only": True,
        "file": {"driver": "file", "filename": f"/proc/self/fd/{disk.image}", "read-only": True},
    }
    if disk.format in _LAYERED:
        image["backing"] = None
    overlay = {"driver": "file", "filename": f"/proc/self/fd/{disk.overlay}"}
    return json.dumps({"driver": "qcow2", "node-name": name, "file": overlay, "backing": image})


def _network_arguments(machine: Machine, traffic: int, network: int) -> list[str]:
    argv: list[str] = []
    for number, mac in enumerate(machine.macs):
        if _MAC.fullmatch(mac) is None:
            raise fail("image-invalid", f"{mac[:40]!r} is no address of a network card")
        behind = ""
        if number == 0 and machine.slot:
            # Only where PCIe itself, and not ACPI, plugs cards does Linux see the slot's number.
            argv += ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]
            argv += ["-device", f"pcie-root-port,id=card-port,slot={machine.slot},chassis={machine.slot}"]
            behind = ",bus=card-port"
        argv += ["-netdev", f"user,id={'user' if number == 0 else 'net'}{number},restrict=on"]
        argv += _asked_network(traffic, network) if number == 0 else []
        argv += ["-device", f"{machine.network_card},netdev=net{number},mac={mac},romfile={behind}"]
    return argv


def _asked_network(traffic: int, network: int) -> list[str]:
    """The first card's: a hub with QEMU's own network, and with us, who can ask the guest for its addresses."""
    argv = ["-netdev", "hubport,id=of-user,hubid=0,netdev=user0"]
    argv += ["-netdev", f"socket,id=asker,fd={network}", "-netdev", "hubport,id=of-asker,hubid=0,netdev=asker"]
    argv += ["-netdev", "hubport,id=net0,hubid=0"]
    return [*argv, "-object", f"filter-dump,id=traffic,netdev=net0,file=/proc/self/fd/{traffic},maxlen=600"]


def run_machine(
    machine: Machine, records: Records, written: Sequence[int], watch: Callable[[Connections], None], seconds: float
) -> Finished:
    """Run a machine until it ends; ``watch`` is called twice a second and ends it by raising.

    ``written`` are further files that QEMU may write to. Raises ``tool-missing``, ``tool-timeout`` and what ``watch``
    raises.
    """
    with ExitStack() as stack:
        monitor, its_monitor = _pair(stack)
        network, its_network = _pair(stack)
        connections = Connections(Monitor(monitor), network)
        images = [disk.image for disk in machine.disks]
        changed = [*(disk.overlay for disk in machine.disks), records.traffic, records.console, records.bios, *written]
        changed += [] if machine.variables is None else [machine.variables]
        ends = its_monitor.fileno(), its_network.fileno()
        return run(
            arguments(machine, records, *ends),
            timeout=seconds,
            watch=lambda: watch(connections),
            limits=_LIMITS,
            pass_fds=(*images, *changed, *ends),
            confinement=Confinement(tuple(images), (*changed, *(["/dev/kvm"] if machine.kvm else []))),
        )


def _pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    ours, its = socket.socketpair()
    stack.enter_context(ours)
    stack.enter_context(its)
    ours.setblocking(False)
    return ours, its
