"""Has a guest converted by a worker of this checkout, as the daemon would have it done, or by virt-v2v."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.engine.guest_files import WorkOrder
from hypersdkd.engine.journal import read_journal
from hypersdkd.engine.plugins import Plugins
from hypersdkd.model.guest import DiskSource, Guest, output_names
from tests.engine.guests import folded
from tests.guests.recipe import ADDRESS, MAC, Recipe

#: Seconds for the whole of a conversion, emulated, on a busy machine.
LIMIT: Final = 900.0


@dataclass(frozen=True)
class Conversion:
    """What a worker did: its guest's part of the report, the outputs, and how often an appliance was launched."""

    report: Mapping[str, object]
    outputs: tuple[Path, ...]
    seconds: float
    launches: int

    @property
    def passed(self) -> set[str]:
        """Names of the checks that were passed."""
        checks = self.report["checks"]
        assert isinstance(checks, list)
        return {check["name"] for check in checks if check["passed"]}

    @property
    def boot(self) -> Mapping[str, object]:
        """The finding of the boot test; empty without one."""
        found = self.report["guest"]
        assert isinstance(found, dict)
        return dict(found.get("boot", {}))

    @property
    def keeps_its_address(self) -> bool:
        """Whether its own card, by its MAC, answered to its own address in the boot test."""
        words = self.boot.get("network", [])
        assert isinstance(words, list)
        return (MAC, "arp", ADDRESS) in {(word["mac"], word["how"], word["address"]) for word in words}

    def artifact(self, name: str) -> bytes:
        """A file that the report names. Raises ``StopIteration`` where it names none of that name."""
        files = self.report["files"]
        assert isinstance(files, list)
        return next(Path(file["path"]) for file in files if Path(file["path"]).name == name).read_bytes()


def convert(recipe: Recipe, disks: Sequence[Path], place: Path, *, boot_test: bool = True) -> Conversion:
    """Convert ``disks``, all of the type that their suffix tells, to qcow2 below ``place``, which is made."""
    directory, output = place / "guest", place / "output"
    directory.mkdir(parents=True)
    output.mkdir()
    name = str(output / "vm1.qcow2")
    guest = Guest(
        "vm1",
        tuple(DiskSource(disk.suffix[1:], str(disk)) for disk in disks),
        outputs=output_names(name, len(disks), "qcow2"),
        output_root=str(output),
        output_name=name,
        fix={},
        validate={"boot_test": boot_test},
        told={"nics": [{"mac": MAC, "network": "VM Network"}], "hardware": {"firmware": recipe.firmware}},
    )
    WorkOrder("vm1.json", guest, (str(disks[0].parent),), (), tuple(Plugins.load().for_workers)).write(directory)
    argv = [sys.executable, "-P", "-m", "hypersdkd.worker", str(directory)]
    begin = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
    seconds = time.monotonic() - begin
    assert done.returncode == 0, done.stderr[-4000:]
    launches = sum(event.data.get("tool") == "libguestfs" for event in read_journal(directory))
    outputs = tuple(Path(path) for path in guest.outputs)
    return Conversion(folded(directory).report(), outputs, seconds, launches)


def convert_by_virt_v2v(
    disks: Sequence[Path], place: Path, output_format: str = "raw"
) -> tuple[tuple[Path, ...], float]:
    """The same by ``virt-v2v -o local``, to disks below ``place``, and the seconds that it took.

    Its ``-i disk`` takes one disk; a guest of two is told by libvirt's XML. Raises ``CalledProcessError``.
    """
    place.mkdir(parents=True)
    argv = ["virt-v2v", "-i", "disk", str(disks[0])]
    if len(disks) > 1:
        (place / "source.xml").write_text(_domain(disks))
        argv = ["virt-v2v", "-i", "libvirtxml", str(place / "source.xml")]
    slow = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
    begin = time.monotonic()
    subprocess.run(
        [*argv, "-o", "local", "-os", str(place), "-of", output_format, "-on", "vm1"],
        env={**os.environ, **slow},
        check=True,
        capture_output=True,
        timeout=LIMIT,
    )
    seconds = time.monotonic() - begin
    return tuple(sorted(path for path in place.glob("vm1-sd*") if path.suffix != ".xml")), seconds


def _domain(disks: Sequence[Path]) -> str:
    listed = "".join(
        f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file={json.dumps(str(disk))}/>"
        f"<target dev='sd{letter}' bus='scsi'/></disk>"
        for letter, disk in zip("abcd", disks, strict=False)
    )
    return (
        "<domain type='kvm'><name>vm1</name><memory unit='MiB'>1024</memory><vcpu>1</vcpu>"
        f"<os><type arch='x86_64'>hvm</type></os><devices>{listed}</devices></domain>"
    )
