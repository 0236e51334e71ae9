"""Measures the test guests and keeps the table of docs/guests.md: ``script/guests [NAME…]``."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Final

from tests.guests.booting import UEFI_ENTRY, Booted, boot
from tests.guests.build import KEPT, made
from tests.guests.converting import Conversion, convert, convert_by_virt_v2v
from tests.guests.recipe import ADDRESS, MAC, RECIPES, Recipe

PAGE: Final = Path(__file__).parents[2] / "docs/guests.md"

#: What stands where a guest was not measured yet.
UNKNOWN: Final = "not measured"

_KEPT_ADDRESS: Final = f"{MAC} arp {ADDRESS}"
_LOST: Final = "not heard"


@dataclass(frozen=True)
class Row:
    """A line of the table; boots in the words of the boot test's verdict."""

    name: str
    firmware: str
    filesystems: str
    initramfs: str
    unfixed_own: str = UNKNOWN
    unfixed_virtio: str = UNKNOWN
    converted: str = UNKNOWN
    converted_again: str = UNKNOWN
    network: str = UNKNOWN
    console: str = UNKNOWN
    virt_v2v: str = UNKNOWN
    virt_v2v_network: str = UNKNOWN

    @classmethod
    def of(cls, recipe: Recipe, *measured: str) -> Row:
        """With what the recipe says."""
        return cls(recipe.name, recipe.firmware, recipe.filesystems, recipe.initramfs, *measured)


def rows(page: str) -> dict[str, Row]:
    """The table of the page, by the guests' names."""
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): Row(cells[0].strip("`"), *cells[1:]) for cells in lines}


def written(page: str, row: Row) -> str:
    """The page with that row in the place of the guest's former one."""
    lines = page.splitlines()
    place = next(index for index, line in enumerate(lines) if line.startswith(f"| `{row.name}` |"))
    lines[place] = f"| `{row.name}` | " + " | ".join(astuple(row)[1:]) + " |"
    return "\n".join(lines) + "\n"


def outcome(booted: Booted) -> str:
    """How it ended, in the table's words."""
    return booted.boot.value if booted.boot else "nothing seen in time"


def of_conversion(conversion: Conversion) -> str:
    """How the boot test of a conversion ended, and whether FIX had nothing to do."""
    verdict = str(conversion.boot["verdict"])
    return verdict if conversion.report["changes"] else f"{verdict}, nothing changed"


def proof(*, kept: bool) -> str:
    """Who answered to the guest's own address."""
    return _KEPT_ADDRESS if kept else _LOST


def measure(recipe: Recipe, place: Path) -> Iterator[Row]:
    """Boot the guest as it is on both kinds of hardware, convert it, convert that, and have virt-v2v convert it.

    The row as it is known after each of these: they take minutes.
    """
    disks, uefi = made(recipe), recipe.firmware == "uefi"
    fresh = "" if uefi else None
    row = Row.of(recipe)

    def booted(name: str, of: tuple[Path, ...], *, vmware: bool, entry: str | None) -> Booted:
        (place / name).mkdir()
        return boot(of, place / name, vmware=vmware, uefi_entry=entry)

    row = replace(row, unfixed_own=outcome(booted("own", disks, vmware=True, entry=UEFI_ENTRY if uefi else None)))
    yield row
    row = replace(row, unfixed_virtio=outcome(booted("virtio", disks, vmware=False, entry=fresh)))
    yield row
    first = convert(recipe, disks, place / "first")
    network, console = proof(kept=first.keeps_its_address), _evidence(recipe, first)
    row = replace(row, converted=of_conversion(first), network=network, console=console)
    yield row
    again = convert(recipe, first.outputs, place / "again")
    network = proof(kept=first.keeps_its_address and again.keeps_its_address)
    row = replace(row, converted_again=of_conversion(again), network=network)
    yield row
    try:
        outputs, _seconds = convert_by_virt_v2v(disks, place / "virt-v2v")
    except subprocess.CalledProcessError as error:
        if error.returncode < 0:  # killed by somebody else, which says nothing of it
            raise
        print(f"{recipe.name}: virt-v2v: {error.stderr.decode(errors='replace')[-400:]}", flush=True)
        yield replace(row, virt_v2v=f"virt-v2v ended with {error.returncode}", virt_v2v_network=_LOST)
    else:
        other = booted("other", outputs, vmware=False, entry=fresh)
        yield replace(row, virt_v2v=outcome(other), virt_v2v_network=proof(kept=other.keeps_its_address))


def _evidence(recipe: Recipe, conversion: Conversion) -> str:
    """Keep the console's log and the screenshot; the beginning of the log's hash."""
    console = conversion.artifact("boot-console.log")
    digest = hashlib.sha256(console).hexdigest()[:16]
    kept = KEPT / "evidence"
    kept.mkdir(exist_ok=True)
    (kept / f"{recipe.name}-{digest}.log").write_bytes(console)
    (kept / f"{recipe.name}-{digest}.png").write_bytes(conversion.artifact("boot-screen.png"))
    return f"`{digest}`"


def main() -> int:
    """Measure, one guest after the other; each is in the page as soon as it is known."""
    parser = argparse.ArgumentParser(prog="script/guests", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="guests to measure; all without one")
    names = parser.parse_args().names
    known = {recipe.name: recipe for recipe in RECIPES}
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no guest is called {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names or list(known):
        with tempfile.TemporaryDirectory(prefix="hypersdkd-guest-") as place:
            for row in measure(known[name], Path(place)):
                PAGE.write_text(written(PAGE.read_text(), row))
                print(f"{name}: {', '.join(astuple(row)[4:])}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
