"""The guests after hypersdkd: each boots on virtio with its address, and its source is untouched.

In what came of it FIX finds nothing to do: a second conversion gives the same content, byte for byte, which boots as
the first did. With ``--all-guests`` each is converted twice, and booted all the same; else the first one is.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hypersdkd.host.checksum import sha256_of
from tests.guests.build import made
from tests.guests.converting import Conversion, convert
from tests.guests.recipe import ALL_GUESTS, RECIPES, Recipe
from tests.guests.table import PAGE, of_conversion, proof, rows

pytestmark = pytest.mark.system


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return sha256_of(file.fileno(), path.name)


def assert_it_boots(conversion: Conversion) -> None:
    """It came to its login, its own card answered to its own address, and the evidence is kept."""
    assert conversion.passed >= {"initramfs-virtio", "boot", "network"}
    assert conversion.boot["verdict"] == "login"
    assert conversion.keeps_its_address, conversion.boot
    assert conversion.artifact("boot-screen.png").startswith(b"\x89PNG\r\n\x1a\n")
    assert b"login:" in conversion.artifact("boot-console.log")


def test_it_boots_on_virtio_and_answers_to_its_address(recipe: Recipe, tmp_path: Path) -> None:
    disks = made(recipe)
    before = [digest(disk) for disk in disks]
    first = convert(recipe, disks, tmp_path / "first")
    assert_it_boots(first)
    assert first.report["changes"]
    assert first.launches == 1, "INSPECT, FIX and the checks share one appliance"
    names = sorted(path.name for path in (tmp_path / "first/output").iterdir())
    assert names == sorted([*(path.name for path in first.outputs), "vm1.xml"])
    assert [digest(disk) for disk in disks] == before

    row = rows(PAGE.read_text())[recipe.name]
    assert row.converted == of_conversion(first)
    assert row.network == proof(kept=first.keeps_its_address)
    if recipe is RECIPES[0] or ALL_GUESTS:
        assert_twice_is_once(recipe, first, tmp_path / "again")


def assert_twice_is_once(recipe: Recipe, first: Conversion, place: Path) -> None:
    """What was converted is not changed by another conversion."""
    between = [digest(disk) for disk in first.outputs]
    again = convert(recipe, first.outputs, place, boot_test=ALL_GUESTS)
    assert again.report["changes"] == []
    for one, other in zip(first.outputs, again.outputs, strict=True):
        subprocess.run(["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", one, other], check=True)
    assert [digest(disk) for disk in first.outputs] == between
    if ALL_GUESTS:
        assert_it_boots(again)
        row = rows(PAGE.read_text())[recipe.name]
        assert row.converted_again == of_conversion(again)
