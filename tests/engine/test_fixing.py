"""FIX: in order, switched by the manifest, contained, and checked afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hypersdkd.engine.fixing import fix_guest
from hypersdkd.model.guest import Guest
from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.model.problem import fail
from hypersdkd.spec.system import FixContext, Fixer, GuestCheck
from tests.plugins.paper_system import Link, PaperContext, PaperSystem
from tests.problems import raises_problem


@dataclass
class Paper(PaperContext):
    """A step context of a guest on paper."""

    names: list[str] = field(default_factory=list)

    def changed_by(self, name: str) -> None:
        self.names.append(name)
        self.system.writable = bool(name)


def paper(fix: dict[str, object] | None = None, facts: GuestFacts | None = None) -> Paper:
    guest = Guest("web01", (), fix={} if fix is None else fix)
    return Paper(
        PaperSystem({"/etc/fstab": "old\n", "/etc/link": Link("shadow"), "/etc/shadow": "s"}, facts), guest=guest
    )


def write(path: str, text: str) -> Callable[[FixContext], None]:
    return lambda context: context.system.write(path, text.encode())


def test_fixers_run_in_their_order_where_they_are_wanted_and_apply() -> None:
    def options(context: FixContext) -> None:
        context.log(f"{context.guest.name} {dict(context.options)}")

    context = paper({"grub": {"enabled": False}, "fstab": {"mode": "bypath-only"}})
    fixers = [
        ("mine", Fixer("fstab", "fstab", options)),
        ("mine", Fixer("grub", "grub", write("/etc/grub", ""))),
        ("mine", Fixer("windows", "acme", write("/w", ""), lambda facts: facts.os_type == "windows")),
        ("mine", Fixer("acme", "acme", write("/etc/fstab", "new\n"))),
    ]
    fix_guest(context, fixers, ())
    assert context.names == ["fstab", "acme", ""]
    assert context.lines == [
        "web01 {'enabled': True, 'mode': 'bypath-only'}",
        "fstab: 0 changes",
        "acme: 1 changes",
    ]
    assert context.system.text("/etc/fstab") == "new\n"
    fix_guest(context, fixers, ())
    assert context.lines[-1] == "acme: 0 changes"
    assert len(context.system.changes) == 1


@pytest.mark.parametrize(
    "error", [ValueError("why"), SystemExit(0), KeyError("x")], ids=lambda error: type(error).__name__
)
@pytest.mark.parametrize("where", ["fix", "applies", "check"])
def test_what_raises_fails_the_guest_by_its_plugins_name(error: BaseException, where: str) -> None:
    def broken(_seen: object) -> bool:
        raise error

    def works(_seen: object) -> bool:
        return True

    fixer = Fixer("acme-fix", "acme", broken if where == "fix" else works, broken if where == "applies" else works)  # type: ignore[arg-type]
    checks = [("acme", GuestCheck("acme-fix", broken))] if where == "check" else []  # type: ignore[arg-type]
    with raises_problem("step-failed", f"plugin acme, acme-fix: {type(error).__name__}") as caught:
        fix_guest(paper(), [("acme", fixer)], checks)
    assert "Traceback" in caught[0].detail


def test_an_unusual_file_is_left_and_told_and_the_others_go_on() -> None:
    context = paper()
    fixers = [
        ("mine", Fixer("a", "a", write("/etc/link", "x"))),
        ("mine", Fixer("b", "b", write("/etc/fstab", "new\n"))),
    ]
    fix_guest(context, fixers, ())
    assert [problem.code for problem in context.warnings] == ["guest-file-unusual"]
    assert context.system.text("/etc/shadow") == "s"
    assert context.system.text("/etc/fstab") == "new\n"


def test_any_other_problem_fails_the_guest() -> None:
    def full(_context: FixContext) -> None:
        raise fail("guest-no-space", "/boot is full")

    with raises_problem("guest-no-space"):
        fix_guest(paper(), [("mine", Fixer("a", "a", full))], ())


def test_checks_come_last_change_nothing_and_fail_the_guest_together() -> None:
    context = paper()

    def good(seen: FixContext) -> None:
        seen.check("fstab", seen.system.read("/etc/fstab") == b"new\n")

    def bad(seen: FixContext) -> None:
        seen.check("virtio", False, "none")
        seen.check("grub", False)

    fixers = [("mine", Fixer("a", "a", write("/etc/fstab", "new\n")))]
    windows = GuestCheck("w", bad, lambda facts: facts.os_type == "windows")
    fix_guest(context, fixers, [("mine", GuestCheck("good", good)), ("mine", windows)])
    with raises_problem("guest-check-failed", "virtio: none; grub"):
        fix_guest(context, fixers, [("mine", GuestCheck("bad", bad)), ("mine", GuestCheck("good", good))])
    assert context.checks[-1] == ("fstab", True, "")
    with raises_problem("step-failed", "must not change"):
        fix_guest(context, (), [("mine", GuestCheck("writes", write("/x", "")))])
