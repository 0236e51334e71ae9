"""Which guests virt-v2v changes, what must be there first, and what becomes of its failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypersdkd_plugins import fix_virt_v2v

from hypersdkd.host import virt_v2v
from hypersdkd.model.guest import Guest
from hypersdkd.model.guest_facts import BlockDevice, GuestFacts
from hypersdkd.spec.ports import LentDisks
from tests.plugins.context import MemoryContext
from tests.plugins.fake_tool import fake_tool
from tests.plugins.paper_system import PaperSystem
from tests.problems import raises_problem

LINUX = GuestFacts("linux", root="/dev/sda1", devices=(BlockDevice("/dev/sda5", "crypto_LUKS", 1 << 30),))
WINDOWS = GuestFacts("windows", product="Windows Server 2022", root="/dev/sda2")


def context(tmp_path: Path, facts: GuestFacts, **wishes: object) -> MemoryContext:
    guest = Guest("web01", (), **wishes)  # type: ignore[arg-type]
    work = tmp_path / "work"
    work.mkdir()
    lent = LentDisks((tmp_path / "overlay0.qcow2",), {"LIBGUESTFS_BACKEND": "direct"}, ("secret",))
    return MemoryContext(guest, work, [], guest_system=PaperSystem({}, facts), lent=lent)


@pytest.fixture
def converting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virt-v2v that keeps what it was told, and has a warning; with all that a Windows needs."""
    says = '{"type": "warning", "message": "not sure"}'
    script = f'[ "$1" != --version ] || {{ echo "virt-v2v 2.2.0"; exit; }}\necho "$@" >{tmp_path}/argv; echo \'{says}\''
    fake_tool(tmp_path, monkeypatch, virt_v2v.PROGRAM, script)
    monkeypatch.setattr(virt_v2v, "windows_obstacle", lambda: "")
    return tmp_path / "argv"


@pytest.mark.parametrize(
    ("facts", "fix", "taken"),
    [
        (LINUX, {"engine": "virt-v2v"}, True),
        (LINUX, {}, False),
        (LINUX, {"engine": "auto"}, False),
        (WINDOWS, {}, True),
        (GuestFacts("freebsd"), {}, False),
    ],
)
def test_which_guests_it_changes(
    tmp_path: Path, converting: Path, facts: GuestFacts, fix: dict[str, object], taken: bool
) -> None:
    seen = context(tmp_path, facts, fix=fix)
    fix_virt_v2v.fix_guest(seen)
    assert converting.exists() is taken
    assert ("virt_v2v" in seen.findings) is taken
    assert seen.tools == ({"virt-v2v": "2.2.0"} if taken else {})


def test_its_part_in_the_report(tmp_path: Path, converting: Path) -> None:
    seen = context(tmp_path, LINUX, fix={"engine": "virt-v2v"})
    fix_virt_v2v.fix_guest(seen)
    assert [(problem.code, problem.message) for problem in seen.warnings] == [
        ("virt-v2v-warning", "virt-v2v: not sure")
    ]
    told = seen.findings["virt_v2v"]
    assert isinstance(told, dict) and told["version"] == "2.2.0"
    assert "--key /dev/sda5:file:/proc/self/fd/" in converting.read_text()
    assert seen.moves[-1] == (100, 100)


def test_a_windows_is_said_to_be_untested(tmp_path: Path, converting: Path) -> None:
    seen = context(tmp_path, WINDOWS, fix={})
    fix_virt_v2v.fix_guest(seen)
    assert "guest-windows" in [problem.code for problem in seen.warnings]
    assert "not tested" in seen.warnings[0].message


@pytest.mark.parametrize("if_possible", [True, False])
def test_a_windows_without_drivers(
    tmp_path: Path, converting: Path, monkeypatch: pytest.MonkeyPatch, if_possible: bool
) -> None:
    monkeypatch.setattr(virt_v2v, "windows_obstacle", lambda: "there are none")
    seen = context(tmp_path, WINDOWS, fix={}, fix_if_possible=if_possible)
    if if_possible:
        fix_virt_v2v.fix_guest(seen)
        assert [problem.code for problem in seen.warnings] == ["virtio-win-missing"]
    else:
        with raises_problem("virtio-win-missing", "there are none"):
            fix_virt_v2v.fix_guest(seen)
    assert not converting.exists()


def test_a_dry_run_leaves_it_out(tmp_path: Path, converting: Path) -> None:
    seen = context(tmp_path, LINUX, fix={"engine": "virt-v2v"}, dry_run=True)
    fix_virt_v2v.fix_guest(seen)
    assert not converting.exists()
    assert "not known" in str(seen.findings["virt_v2v"])


def test_its_failure_fails_the_guest_that_asked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tool(tmp_path, monkeypatch, virt_v2v.PROGRAM, '[ "$1" = --version ] || { echo no >&2; exit 1; }')
    with raises_problem("virt-v2v-failed", "no"):
        fix_virt_v2v.fix_guest(context(tmp_path, LINUX, fix={"engine": "virt-v2v"}))


def test_it_is_missed_before_the_work_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(virt_v2v, "_HIDDEN", tmp_path / "none")
    (step,) = fix_virt_v2v.hypersdkd_steps()
    step.require(Guest("web01", (), fix={}))
    with raises_problem("tool-missing"):
        step.require(Guest("web01", (), fix={"engine": "virt-v2v"}))
