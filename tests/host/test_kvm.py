"""KVM is tried, not believed: a real kernel, or a QEMU that provokes each outcome."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hypersdkd.host import kvm
from hypersdkd.host.appliance import prepare
from tests.plugins.fake_tool import fake_tool


def test_a_kernel_comes_up_and_ends_by_itself() -> None:
    kernel = prepare(Path(os.environ["LIBGUESTFS_CACHEDIR"], "hypersdkd-appliance")).directory / "kernel"
    assert kvm.runs(kernel, "tcg", "max", 120)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo Linux version 6.1", ""),
        ("echo Linux version 6.1; exec sleep 60", "not up within 0.5 s"),
        ("echo ioctl KVM_CREATE_VM failed >&2; exit 1", "cannot start a guest"),
        ("echo no kernel", "cannot start a guest"),
    ],
)
def test_what_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str) -> None:
    monkeypatch.setattr(kvm, "PROBE_SECONDS", 0.5)
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    fake_tool(tmp_path, monkeypatch, "qemu-system-x86_64", script)
    found = kvm.kvm_obstacle(tmp_path / "kernel")
    assert words in found
    assert bool(found) is bool(words)


def test_a_kernel_of_the_host_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "_BOOT", tmp_path)
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    assert "no kernel" in kvm.kvm_obstacle()
    (tmp_path / "vmlinuz-6.1").touch()
    fake_tool(tmp_path, monkeypatch, "qemu-system-x86_64", 'echo Linux version; echo "$@" | grep -q vmlinuz-6.1')
    assert kvm.kvm_obstacle() == ""


def test_without_a_device_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    fake_tool(tmp_path, monkeypatch, "qemu-system-x86_64", "echo Linux version")
    assert "no /dev/kvm" in kvm.kvm_obstacle(tmp_path / "kernel")
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert "not installed" in kvm.kvm_obstacle(tmp_path / "kernel")
