"""The guests as VMware leaves them run on its hardware, and not on virtio: else the others would prove nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypersdkd.host.boot_console import Boot
from tests.guests.booting import UEFI_ENTRY, boot
from tests.guests.build import made
from tests.guests.recipe import Recipe
from tests.guests.table import PAGE, outcome, rows

pytestmark = pytest.mark.system


def test_it_runs_on_its_own_hardware_with_its_address(recipe: Recipe, tmp_path: Path) -> None:
    entry = UEFI_ENTRY if recipe.firmware == "uefi" else None
    booted = boot(made(recipe), tmp_path, vmware=True, uefi_entry=entry)
    assert booted.boot is Boot.LOGIN, booted.console[-2000:]
    assert booted.keeps_its_address, booted.words
    assert rows(PAGE.read_text())[recipe.name].unfixed_own == outcome(booted)


def test_it_does_not_run_on_virtio(recipe: Recipe, tmp_path: Path) -> None:
    booted = boot(made(recipe), tmp_path, vmware=False, uefi_entry="" if recipe.firmware == "uefi" else None)
    expected = Boot.NO_BOOT_DEVICE if recipe.firmware == "uefi" else Boot.NO_ROOT
    assert booted.boot is expected, booted.console[-2000:]
    assert rows(PAGE.read_text())[recipe.name].unfixed_virtio == outcome(booted)
