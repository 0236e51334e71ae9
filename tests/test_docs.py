"""The pages of docs/ say what the code does, both ways: nothing missing, nothing invented."""

from __future__ import annotations

import configparser
import inspect
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from hypersdkd.engine.guest_files import WorkOrder
from hypersdkd.engine.plugin_record import PluginState
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.step_context import GuestContext
from hypersdkd.model.disk import FileNode, ImageNode, SourceDisk, SourceFile
from hypersdkd.model.event import EventType
from hypersdkd.model.guest import SOURCE_TYPES, Guest
from hypersdkd.model.problem import CODES, Problem
from hypersdkd.spec.hooks import Hooks

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def sections(page: str, level: int) -> dict[str, str]:
    """The parts of a page whose heading is a name in backquotes."""
    mark = "#" * level
    found = re.findall(rf"^{mark} `([^`]+)`\n(.*?)(?=^#{{1,{level}}} |\Z)", page, re.MULTILINE | re.DOTALL)
    assert len(found) == len(dict(found)), "a heading stands twice"
    return dict(found)


# -- problems -----------------------------------------------------------------------------------------


def test_every_problem_with_its_meaning_remedy_and_status() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \| (.+) \| (\d+) \|$", (DOCS / "problems.md").read_text(), re.MULTILINE)
    told = {code: (meaning, remedy, int(http)) for code, meaning, remedy, http in rows}
    assert told == {code: (known.meaning, known.remedy, known.http) for code, known in CODES.items()}


def test_every_problem_field_is_told() -> None:
    fields = Problem("usage", "x").as_dict().keys()
    page = (DOCS / "problems.md").read_text()
    assert [name for name in fields if f"`{name}`" not in page] == []


# -- events -------------------------------------------------------------------------------------------


def test_every_event_type() -> None:
    assert sections((DOCS / "events.md").read_text(), 2).keys() == {type_.value for type_ in EventType}


class Recorder:
    """Stands for the journal of a worker, and keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, object]]] = []

    def append(self, type_: EventType, stage: str = "", data: Mapping[str, object] | None = None) -> None:
        self.events.append((type_.value, data or {}))


def test_the_fields_that_a_step_leaves_are_told(tmp_path: Path) -> None:
    journal = Recorder()
    context = GuestContext(tmp_path, WorkOrder("job", Guest("web01", ()), ()), journal)  # type: ignore[arg-type]
    context.begin_stage("load")
    context.progress(1, 2)
    context.finding("key", "value")
    context.tool("qemu-img", "7.2")
    context.check("name", True)
    context.warn(Problem("usage", "x"))
    context.add_disk(SourceDisk((SourceFile(tmp_path), SourceFile(tmp_path)), ImageNode("raw", FileNode(0)), 1, 1))
    context.skip_stage("fix", "no plugin")
    context.end_stage()
    pages = sections((DOCS / "events.md").read_text(), 2)
    assert len({type_ for type_, _data in journal.events}) == 8
    for type_, data in journal.events:
        assert [key for key in data if f"`{key}`" not in pages[type_]] == [], type_


# -- plugins ------------------------------------------------------------------------------------------

HOOKS = {name: hook for name, hook in vars(Hooks).items() if name.startswith("hypersdkd_")}
HOOK_SECTIONS = sections((DOCS / "plugins.md").read_text(), 3)


def test_every_hook_and_every_argument() -> None:
    assert HOOK_SECTIONS.keys() == HOOKS.keys()
    for name, hook in HOOKS.items():
        arguments = [argument for argument in inspect.signature(hook).parameters if argument != "self"]
        assert [argument for argument in arguments if f"`{argument}`" not in HOOK_SECTIONS[name]] == []


@pytest.mark.parametrize("hook", HOOKS)
def test_every_example_is_a_plugin_that_loads(hook: str, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", HOOK_SECTIONS[hook], re.DOTALL)
    (tmp_path / "docs_example.py").write_text(code)
    (tmp_path / "docs_example.py").chmod(0o644)
    record = {record.name: record for record in Plugins.load([tmp_path]).records}["docs_example"]
    assert (record.state, record.problem) == (PluginState.LOADED, None)
    assert record.hooks == (hook,)


def example(hook: str) -> dict[str, object]:
    """What the example of a hook defines."""
    (code,) = re.findall(r"```python\n(.*?)```", HOOK_SECTIONS[hook], re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, hook, "exec"), names)
    return names


def test_the_example_of_a_rule_reads_both_syntaxes() -> None:
    rule = example("hypersdkd_validate_manifest")["hypersdkd_validate_manifest"]
    assert callable(rule)
    for text in (b'{"name": "%s"}', b"name: %s\n"):
        assert rule(text % b"acme-1", "").valid
        assert not rule(text % b"other", "").valid
    assert rule(b"{", "json").valid


def test_the_example_of_a_loader_reads_what_a_manifest_may_name() -> None:
    declare = example("hypersdkd_loaders")["hypersdkd_loaders"]
    assert callable(declare)
    assert {name for loader in declare() for name in loader.source_types} <= set(SOURCE_TYPES)


def test_every_state_of_a_plugin() -> None:
    table = (DOCS / "plugins.md").read_text().split("## What becomes of them")[1].split("## The hooks")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [state.value for state in PluginState]


# -- dependencies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "section", "option"),
    [("To run", "options", "install_requires"), ("To test", "options.extras_require", "dev")],
)
def test_every_dependency_and_why(heading: str, section: str, option: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = [re.split(r"[<>=!~\[ ]", line)[0] for line in setup[section][option].split("\n") if line]
    part = re.split(r"^## ", (DOCS / "dependencies.md").read_text(), flags=re.MULTILINE)
    (table,) = [text for text in part if text.startswith(heading)]
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \| (.+) \|$", table, re.MULTILINE)
    assert sorted(name for name, _why, _weighed in rows) == sorted(required)


def test_every_package_that_setup_installs() -> None:
    arrays = re.findall(r"^(?:needed|for_tests)=\((.*?)\)", (ROOT / "script/setup").read_text(), re.MULTILINE)
    page = (DOCS / "dependencies.md").read_text()
    assert [name for array in arrays for name in array.split() if f"`{name}`" not in page] == []


# -- links --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", [*DOCS.glob("**/*.md"), ROOT / "README.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
