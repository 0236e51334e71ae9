"""The boot test, with guests of one sector: what they say on the serial console decides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypersdkd_plugins import boot_test

from hypersdkd.model.guest import Guest
from tests.plugins.context import MemoryContext, context_for
from tests.problems import raises_problem

#: Says what follows it on the first serial port, in 16-bit code at 7C00: lodsb, out 3f8h.
_SAY = bytes.fromhex("31c08ed8be1b7cac84c07406baf803eeebf5")
_HALT = bytes.fromhex("f4ebfd").ljust(9, b"\x90")
_RESET = bytes.fromhex("ea0000ffff").ljust(9, b"\x90")

EXPECTED = "00:50:56:aa:bb:01"


def sector(text: str, after: bytes = _HALT) -> bytes:
    return (_SAY + after + text.encode() + b"\0").ljust(510, b"\0") + b"\x55\xaa"


def converted(tmp_path: Path, boot_sector: bytes, output_format: str = "qcow2") -> MemoryContext:
    source = tmp_path / "source.raw"
    source.write_bytes(boot_sector.ljust(1 << 20, b"\0"))
    context = context_for(tmp_path, source, "raw", output_format=output_format, validate={"boot_test": True})
    context.finding("interfaces", [{"name": "eth0", "mac": EXPECTED, "addresses": ["10.0.2.77/24"]}])
    context.run()
    context.checks.clear()
    return context


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe of KVM takes seconds where KVM hangs, and is tested by itself."""
    monkeypatch.setattr(boot_test, "kvm_obstacle", lambda: "it was not tried")
    monkeypatch.setattr(boot_test, "NETWORK_SECONDS", 1.0)


@pytest.mark.parametrize("output_format", ["qcow2", "vmdk"])
def test_a_login_is_a_boot_and_its_evidence_is_kept(tmp_path: Path, output_format: str) -> None:
    context = converted(tmp_path, sector("Debian GNU/Linux 12 vm1 ttyS0\r\n\r\nvm1 login: "), output_format)
    before = context.outputs[0].temporary.read_bytes()
    boot_test.boot_test(context)
    assert [(name, passed) for name, passed, _ in context.checks] == [("boot", True), ("network", False)]
    boot = context.findings["boot"]
    assert isinstance(boot, dict)
    assert (boot["verdict"], boot["seen"], boot["accelerator"]) == ("login", "vm1 login:", "tcg")
    assert context.attached["boot-console.log"] == ("boot", b"Debian GNU/Linux 12 vm1 ttyS0\n\nvm1 login: ")
    assert context.attached["boot-screen.png"][1].startswith(b"\x89PNG")
    assert context.attached["boot-traffic.pcap"][1].startswith(b"\xd4\xc3\xb2\xa1")
    assert [problem.code for problem in context.warnings] == ["boot-network"]
    assert context.outputs[0].temporary.read_bytes() == before
    assert not [path.name for path in context.work.iterdir() if path.name.startswith("boot")]


@pytest.mark.parametrize(
    ("boot_sector", "verdict"),
    [
        (sector("[    1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n"), "panic"),
        (sector("starts again\r\n", _RESET), "reset"),
        (bytes(512), "no-boot-device"),
    ],
    ids=["panic", "reset", "nothing to boot"],
)
def test_what_does_not_boot_fails_the_guest(tmp_path: Path, boot_sector: bytes, verdict: str) -> None:
    context = converted(tmp_path, boot_sector)
    with raises_problem("boot-failed", verdict):
        boot_test.boot_test(context)
    assert [(name, passed) for name, passed, _ in context.checks] == [("boot", False)]


def test_a_silent_guest_is_not_decided(tmp_path: Path) -> None:
    context = converted(tmp_path, sector(""))
    boot_test.boot_test(context, boot_test.Limits(emulated=3.0))
    assert [problem.code for problem in context.warnings] == ["boot-undecided"]
    assert context.checks == []
    assert context.attached["boot-screen.png"][1].startswith(b"\x89PNG")


@pytest.mark.parametrize("validate", [None, {}, {"boot_test": False}, {"boot_test": True, "enabled": False}])
def test_it_is_only_made_where_it_is_asked_for(tmp_path: Path, validate: dict[str, object] | None) -> None:
    context = context_for(tmp_path, "none", "raw", validate=validate)
    boot_test.boot_test(context)
    assert context.told == [] == context.checks


def test_qemu_is_missed_before_the_work_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (step,) = boot_test.Plugin({}).hypersdkd_steps()
    step.require(Guest("web01", ()))
    with raises_problem("tool-missing", "qemu-system-x86_64"):
        step.require(Guest("web01", (), validate={"boot_test": True}))


@pytest.mark.parametrize(
    ("settings", "validate", "seconds"),
    [
        ({}, {}, 600),
        ({"emulated_seconds": 900, "kvm_seconds": 30}, {}, 900),
        ({"emulated_seconds": 900}, {"boot_seconds": 45}, 45),
    ],
)
def test_who_sets_how_long_a_boot_may_take(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
    validate: dict[str, object],
    seconds: float,
) -> None:
    asked: list[float] = []

    class _StoppedError(Exception):
        pass

    def boot(_context: object, limit: float, *, kvm: bool) -> None:
        asked.append(limit)
        assert not kvm
        raise _StoppedError

    monkeypatch.setattr(boot_test, "_boot", boot)
    (step,) = boot_test.Plugin(settings).hypersdkd_steps()
    context = context_for(tmp_path, "x", "raw", validate={"boot_test": True, **validate})
    with pytest.raises(_StoppedError):
        step.run(context)
    assert asked == [seconds]


@pytest.mark.parametrize("settings", [{"kvm_seconds": 1}, {"kvm_seconds": "60"}, {"emulated_seconds": True}, {"x": 1}])
def test_settings_that_are_none(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"seconds|no setting"):
        boot_test.Plugin(settings)
