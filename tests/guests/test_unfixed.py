"""The guests as VMware leaves them run on its hardware, and not on virtio: else the others would prove nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypersdkd.host.boot_console import Boot
from tests.guests.booting import boot
from tests.guests.build import made
from tests.guests.recipe import RECIPES, Recipe

pytestmark = pytest.mark.system

#: Where VMware's variables say that the guest's loader is.
_ENTRY = "\\EFI\\debian\\grubx64.efi"


@pytest.fixture(
    params=[recipe for recipe in RECIPES if recipe.name in {"bios-ext4", "uefi-lvm"}], ids=lambda it: it.name
)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    assert isinstance(request.param, Recipe)
    return request.param


def test_it_runs_on_its_own_hardware_with_its_address(recipe: Recipe, tmp_path: Path) -> None:
    entry = _ENTRY if recipe.firmware == "uefi" else None
    booted = boot(made(recipe), tmp_path, vmware=True, uefi_entry=entry)
    assert booted.boot is Boot.LOGIN, booted.console[-2000:]
    assert booted.keeps_its_address, booted.words


def test_it_does_not_run_on_virtio(recipe: Recipe, tmp_path: Path) -> None:
    booted = boot(made(recipe), tmp_path, vmware=False, uefi_entry="" if recipe.firmware == "uefi" else None)
    expected = Boot.NO_BOOT_DEVICE if recipe.firmware == "uefi" else Boot.NO_ROOT
    assert booted.boot is expected, booted.console[-2000:]
