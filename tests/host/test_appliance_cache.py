"""The appliance's files are made once, anew when the host's packages change, and tell whether KVM works."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hypersdkd.host import appliance_cache as module
from hypersdkd.host.appliance_cache import MODULES, _kernel, appliance_files
from tests.plugins.fake_tool import fake_tool
from tests.problems import raises_problem


@pytest.fixture
def supermin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A libguestfs of no packages, and a supermin that takes no time."""
    (tmp_path / "lib/supermin.d").mkdir(parents=True)
    (tmp_path / "lib/supermin.d/packages").write_text("bash\n")
    script = 'for last; do :; done; mkdir "$last"; echo kernel >"$last/kernel"; echo made >>"$COUNT"'
    fake_tool(tmp_path, monkeypatch, "supermin", script)
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    monkeypatch.setattr(module, "kvm_obstacle", lambda kernel: f"tried {kernel.read_text().strip()}")
    return tmp_path / "lib"


def made(tmp_path: Path) -> int:
    return len((tmp_path / "count").read_text().split())


def test_they_are_made_once(supermin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = appliance_files(tmp_path / "cache", f"/nowhere:{supermin}")
    assert (first.directory / "README.fixed").exists()
    assert first.kvm_obstacle == "tried kernel"
    monkeypatch.setattr(module, "kvm_obstacle", lambda _kernel: "tried again")
    assert appliance_files(tmp_path / "cache", str(supermin)) == first
    monkeypatch.setattr(module, "boot_id", lambda: "another")
    assert appliance_files(tmp_path / "cache", str(supermin)).kvm_obstacle == "tried again"
    assert made(tmp_path) == 1


def test_they_are_made_anew_when_packages_change(supermin: Path, tmp_path: Path) -> None:
    seen = []
    for number in range(3):
        os.utime(supermin / "supermin.d/packages", ns=(number, number))
        seen.append(appliance_files(tmp_path / "cache", str(supermin)).directory)
    assert len(set(seen)) == made(tmp_path) == 3
    assert [directory.exists() for directory in seen] == [False, True, True]  # one may be about to be launched


def test_what_cannot_be_made_says_why(supermin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with raises_problem("appliance-missing", "no supermin.d"):
        appliance_files(tmp_path / "cache", "/nowhere")
    fake_tool(tmp_path, monkeypatch, "supermin", "echo no kernel >&2; exit 1")
    with raises_problem("appliance-failed") as caught:
        appliance_files(tmp_path / "cache", str(supermin))
    assert caught[0].detail == "no kernel"
    (tmp_path / "file").touch()
    with raises_problem("appliance-failed", "cannot be kept"):
        appliance_files(tmp_path / "file", str(supermin))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with raises_problem("appliance-missing", "supermin"):
        appliance_files(tmp_path / "cache", str(supermin))


def test_supermin_is_told_of_modules_that_are_shown_elsewhere(tmp_path: Path) -> None:
    modules, boot = tmp_path / "modules", tmp_path / "boot"
    boot.mkdir()
    for release in ("6.1.0-9-amd64", "6.1.0-10-amd64", "6.1.0-11-amd64", "6.12.0-1-amd64"):
        (modules / release).mkdir(parents=True)
        (modules / release / "modules.dep").touch()
        (boot / f"vmlinuz-{release}").touch()
    (modules / "6.12.0-1-amd64/modules.dep").unlink()
    (boot / "vmlinuz-6.1.0-11-amd64").unlink()
    told = _kernel({MODULES: str(modules)}, boot)
    assert told["SUPERMIN_KERNEL"] == str(boot / "vmlinuz-6.1.0-10-amd64")
    assert told["SUPERMIN_MODULES"] == str(modules / "6.1.0-10-amd64")
    assert told["SUPERMIN_KERNEL_VERSION"] == "6.1.0-10-amd64"
    assert _kernel({}, boot) == {}
    assert _kernel({MODULES: str(modules), "SUPERMIN_KERNEL": "/mine"}, boot) == {}
    assert _kernel({MODULES: str(tmp_path / "none")}, boot) == {}
