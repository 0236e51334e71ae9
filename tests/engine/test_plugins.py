"""Whatever a plugin does, it harms nobody but itself, and its record says what it was."""

from __future__ import annotations

import os
import py_compile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hypersdkd.engine import plugins as module
from hypersdkd.engine.plugin_record import PluginRecord, PluginState
from hypersdkd.engine.plugins import Plugins
from tests.privileges import NOBODY

HEAD = "from hypersdkd.spec.hooks import hookimpl\n"
STATUS = HEAD + "@hookimpl\ndef hypersdkd_status(view):\n    return {}\n"
LOADER = (
    HEAD + "from hypersdkd.spec.types import Loader\n@hookimpl\ndef hypersdkd_loaders():\n"
    "    return [Loader(frozenset({'tape'}), print)]\n"
)
STEPS = (
    HEAD + "from hypersdkd.model.stage import Stage\nfrom hypersdkd.spec.types import Step\n@hookimpl\n"
    "def hypersdkd_steps():\n    return [Step('late', Stage.FIX, print, 900), Step('early', Stage.FIX, print, 1)]\n"
)


@pytest.fixture
def drop_in(tmp_path: Path) -> Callable[..., Plugins]:
    """Load plugins from files: ``name=text``."""
    tmp_path.chmod(0o755)

    def load(disabled: tuple[str, ...] = (), only: frozenset[str] | None = None, **texts: str) -> Plugins:
        for name, text in texts.items():
            path = tmp_path / f"{name}.py"
            if not path.exists():
                path.write_text(text)
                path.chmod(0o644)
        return Plugins.load([tmp_path], disabled, only)

    return load


def record(plugins: Plugins, name: str) -> PluginRecord:
    return next(found for found in plugins.records if found.name == name)


def told(plugins: Plugins, name: str) -> tuple[str, str]:
    found = record(plugins, name)
    return found.state.value, found.problem.message if found.problem else ""


def hooks_of(plugins: Plugins, hook: str) -> list[str]:
    return [found.record.name for found in plugins.implementations(hook)]


def test_the_built_in_plugins_are_loaded_like_any_other() -> None:
    plugins = Plugins.load()
    assert {found.state for found in plugins.records} == {PluginState.LOADED}
    assert {"status", "load_disk", "convert_qemu_img", "executor_local"} <= {found.name for found in plugins.records}
    assert all(found.version and found.hooks and found.source for found in plugins.records)
    assert "local" in {executor.name for executor in plugins.executors}
    assert set(plugins.for_workers) >= {"load_disk", "convert_qemu_img", "validate_image"}
    assert not {"status", "executor_local"} & set(plugins.for_workers)


def test_a_drop_in_is_used(drop_in: Callable[..., Plugins]) -> None:
    plugins = drop_in(mine=STATUS + LOADER.removeprefix(HEAD))
    assert told(plugins, "mine") == ("loaded", "")
    assert record(plugins, "mine").hooks == ("hypersdkd_loaders", "hypersdkd_status")
    assert hooks_of(plugins, "hypersdkd_status")[0] == "mine", "the latest is asked first"
    assert [loader.source_types for loader in plugins.loaders][-1] == {"tape"}
    assert record(plugins, "mine").as_dict()["problem"] is None


def test_steps_come_in_their_order_whoever_declares_them(drop_in: Callable[..., Plugins]) -> None:
    plugins = drop_in(mine=STEPS)
    names = [step.name for _plugin, step in plugins.steps]
    assert names[0] == "early"
    assert names[-1] == "late"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise KeyError('why')", "KeyError: 'why'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys\nsys.exit()", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def broken(:", "SyntaxError"),
        ("import no_such_module", "No module named"),
        ("\0", "null bytes"),
        (HEAD + "@hookimpl\ndef hypersdkd_statos(view): pass", "did you mean hypersdkd_status?"),
        (HEAD + "@hookimpl\ndef hypersdkd_status(vew): pass", "vew"),
        (HEAD + "@hookimpl\nasync def hypersdkd_status(view): pass", "not async ones"),
        (HEAD + "@hookimpl\nasync def hypersdkd_steps(): pass", "not async ones"),
        (HEAD + "@hookimpl(wrapper=True)\ndef hypersdkd_status(view):\n    return (yield)", "wrappers are not called"),
        (HEAD + "@hookimpl(hookwrapper=True)\ndef hypersdkd_status(view):\n    yield", "wrappers are not called"),
        (HEAD + "@hookimpl\ndef hypersdkd_steps(): return ['x']", "must return Step declarations, not str"),
        (HEAD + "@hookimpl\ndef hypersdkd_loaders(): return None", "TypeError"),
        (HEAD + "@hookimpl\ndef hypersdkd_executors(): raise ValueError('why')", "ValueError: why"),
        (HEAD + "@hookimpl\ndef hypersdkd_executors():\n    import sys\n    sys.exit(1)", "SystemExit"),
    ],
)
def test_a_broken_plugin_is_not_used_at_all(drop_in: Callable[..., Plugins], text: str, message: str) -> None:
    good_part = "" if "def broken" in text or "\0" in text else STATUS.replace("status(view)", "inspect_queue(queue)")
    plugins = drop_in(bad=good_part + text, good=STATUS)
    state, why = told(plugins, "bad")
    assert (state, message in why) == ("broken", True), why
    assert record(plugins, "bad").as_dict()["errors"] == 1
    assert "bad" not in hooks_of(plugins, "hypersdkd_inspect_queue")
    assert "bad" not in hooks_of(plugins, "hypersdkd_status")
    assert told(plugins, "good") == ("loaded", "")
    assert told(plugins, "status") == ("loaded", "")


def test_a_plugin_with_one_bad_declaration_declares_nothing(drop_in: Callable[..., Plugins]) -> None:
    before = len(Plugins.load().loaders)
    plugins = drop_in(bad=LOADER + "@hookimpl\ndef hypersdkd_steps():\n    return 1 / 0\n")
    assert told(plugins, "bad")[0] == "broken"
    assert len(plugins.loaders) == before
    assert "bad" not in plugins.for_workers


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What a plugin may wait for; opened at the end, so that no thread is left."""
    monkeypatch.setattr(module, "IMPORT_LIMIT", 0.05)
    event = threading.Event()
    monkeypatch.setattr(threading, "hypersdkd_gate", event, raising=False)
    yield event
    event.set()
    for thread in threading.enumerate():
        if thread.name == "plugin-import":
            thread.join(5)


@pytest.mark.parametrize(
    "text",
    [
        "import threading\nthreading.hypersdkd_gate.wait(20)\n",
        HEAD + "@hookimpl\ndef hypersdkd_steps():\n    import threading\n    threading.hypersdkd_gate.wait(20)\n",
    ],
    ids=["import", "declaration"],
)
@pytest.mark.usefixtures("gate")
def test_one_that_never_returns_does_not_hold_up_the_start(drop_in: Callable[..., Plugins], text: str) -> None:
    plugins = drop_in(zz_good=STATUS, stuck=text)
    state, why = told(plugins, "stuck")
    assert (state, "took longer than" in why) == ("broken", True)
    assert told(plugins, "zz_good") == ("loaded", "")


def test_a_disabled_plugin_is_never_imported(drop_in: Callable[..., Plugins], tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    plugins = drop_in(("mine", "status", "unheard"), mine=f"open({str(mark)!r}, 'w')")
    assert told(plugins, "mine") == told(plugins, "status") == ("disabled", "")
    assert not mark.exists()
    assert hooks_of(plugins, "hypersdkd_status") == []


def test_only_those_that_are_wanted_are_loaded(drop_in: Callable[..., Plugins], tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    plugins = drop_in(only=frozenset({"mine", "load_disk"}), mine=LOADER, other=f"open({str(mark)!r}, 'w')")
    assert [found.name for found in plugins.records] == ["load_disk", "mine"]
    assert not mark.exists()


def test_a_name_is_taken_once(drop_in: Callable[..., Plugins], tmp_path: Path) -> None:
    plugins = drop_in(status=STATUS)
    states = [(found.state.value, found.source) for found in plugins.records if found.name == "status"]
    assert states == [("loaded", "hypersdkd_plugins.status"), ("refused", str(tmp_path / "status.py"))]
    assert hooks_of(plugins, "hypersdkd_status") == ["status"]


def test_a_file_that_others_can_write_is_refused(drop_in: Callable[..., Plugins], tmp_path: Path) -> None:
    for name, mode in (("group", 0o664), ("everyone", 0o646)):
        (tmp_path / f"{name}.py").write_text(STATUS)
        (tmp_path / f"{name}.py").chmod(mode)
    plugins = drop_in()
    for name in ("group", "everyone"):
        state, why = told(plugins, name)
        assert (state, "can be written by" in why) == ("refused", True)
    assert hooks_of(plugins, "hypersdkd_status") == ["status"]


def test_a_directory_that_others_can_write_is_refused(drop_in: Callable[..., Plugins], tmp_path: Path) -> None:
    drop_in(mine=STATUS)
    tmp_path.chmod(0o777)
    assert told(drop_in(), "mine")[0] == "refused"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_file_of_another_user_is_refused(drop_in: Callable[..., Plugins], tmp_path: Path) -> None:
    drop_in(mine=STATUS)
    os.chown(tmp_path / "mine.py", NOBODY, NOBODY)
    state, why = told(drop_in(), "mine")
    assert (state, f"belongs to user {NOBODY}" in why) == ("refused", True)


@pytest.mark.parametrize(
    ("mode", "owner", "state"), [(0o777, 0, "refused"), (0o1777, 0, "loaded"), (0o755, NOBODY, "refused")]
)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_whoever_could_exchange_the_directory_is_looked_at(tmp_path: Path, mode: int, owner: int, state: str) -> None:
    above = tmp_path / "above"
    (above / "between" / "dir").mkdir(parents=True, mode=0o755)
    (above / "between" / "dir" / "mine.py").write_text(STATUS)
    above.chmod(mode)
    os.chown(above, owner, owner)
    assert told(Plugins.load([above / "between" / "dir"]), "mine")[0] == state


def test_a_directory_for_all_is_refused_even_if_it_is_sticky(drop_in: Callable[..., Plugins], tmp_path: Path) -> None:
    drop_in(mine=STATUS)
    tmp_path.chmod(0o1777)
    assert told(drop_in(), "mine")[0] == "refused"


def test_a_compiled_file_is_neither_taken_nor_left(drop_in: Callable[..., Plugins], tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text("raise ValueError('evil')" + " " * len(STATUS))
    source.chmod(0o644)
    stamp = source.stat()
    py_compile.compile(str(source))
    source.write_text(STATUS.ljust(stamp.st_size))
    os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert told(drop_in(), "mine") == ("loaded", "")
    drop_in(other=STATUS)
    assert [path.name.split(".")[0] for path in (tmp_path / "__pycache__").iterdir()] == ["mine"]


def test_a_file_that_is_not_python_text_is_broken(drop_in: Callable[..., Plugins], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(b"\xff\0")
    (tmp_path / "mine.py").chmod(0o644)
    assert told(drop_in(), "mine")[0] == "broken"


def test_what_is_no_regular_file_is_refused(drop_in: Callable[..., Plugins], tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text(STATUS)
    (tmp_path / "link.py").symlink_to("real.txt")
    (tmp_path / "dangling.py").symlink_to("nowhere")
    (tmp_path / "directory.py").mkdir(mode=0o755)
    os.mkfifo(tmp_path / "fifo.py", 0o644)
    (tmp_path / ".hidden.py").write_text("raise ValueError")
    (tmp_path / "notes.txt").write_text("not a plugin")
    plugins = drop_in()
    assert {found.name for found in plugins.records if found.state is PluginState.REFUSED} == {
        "link",
        "dangling",
        "directory",
        "fifo",
    }
    assert not {"hidden", ".hidden", "notes"} & {found.name for found in plugins.records}


def test_a_directory_that_is_missing_holds_nothing(tmp_path: Path) -> None:
    assert {found.name for found in Plugins.load([tmp_path / "none"]).records} == {
        found.name for found in Plugins.load().records
    }


def test_dataclasses_of_a_drop_in_find_their_module(drop_in: Callable[..., Plugins]) -> None:
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n"
    assert told(drop_in(mine=text + STATUS.replace("from", "\nfrom", 1)), "mine") == ("loaded", "")


ENDPOINTS = HEAD + (
    "from hypersdkd.spec.types import Endpoint\n@hookimpl\ndef hypersdkd_endpoints():\n"
    "    return [Endpoint(path, 'a test', print) for path in PATHS]\n"
)


def endpoints(*paths: str) -> str:
    return f"PATHS = {paths!r}\n{ENDPOINTS}"


def test_endpoints_and_subscribers_are_known_with_their_plugin(drop_in: Callable[..., Plugins]) -> None:
    subscriber = (
        "from hypersdkd.spec.types import Subscriber\n@hookimpl\ndef hypersdkd_subscribers():\n"
        "    return [Subscriber('ear', print)]\n"
    )
    plugins = drop_in(acme=endpoints("/api/plugins/acme/a", "/api/plugins/acme/b-1/c.x_~") + subscriber)
    assert told(plugins, "acme") == ("loaded", "")
    assert [path for path, (owner, _) in plugins.endpoints.items() if owner.name == "acme"] == [
        "/api/plugins/acme/a",
        "/api/plugins/acme/b-1/c.x_~",
    ]
    assert [each.name for owner, each in plugins.subscribers if owner.name == "acme"] == ["ear"]
    assert "acme" not in plugins.for_workers


@pytest.mark.parametrize(
    "path",
    [
        "/api/plugins/other/a",
        "/api/plugins/acme",
        "/api/plugins/acme/",
        "/api/plugins/acmes/a",
        "/api/plugins/acme/../x",
        "/api/plugins/acme/a b",
        "/api/plugins/acme/{id}",
        "/api/plugins/acme/a\n",
        "/api/workflow/status",
        "/healthz",
        "",
    ],
)
def test_an_endpoint_elsewhere_breaks_its_plugin(drop_in: Callable[..., Plugins], path: str) -> None:
    plugins = drop_in(acme=endpoints("/api/plugins/acme/fine", path))
    state, message = told(plugins, "acme")
    assert (state, "must be below /api/plugins/acme/" in message) == ("broken", True)
    assert [owner.name for owner, _ in plugins.endpoints.values() if owner.name == "acme"] == []


def test_an_endpoint_is_had_by_one_plugin(drop_in: Callable[..., Plugins]) -> None:
    plugins = drop_in(acme=endpoints("/metrics"), twice=endpoints(*["/api/plugins/twice/a"] * 2))
    assert "is that of plugin metrics already" in told(plugins, "acme")[1]
    assert "is that of plugin twice already" in told(plugins, "twice")[1]
    assert plugins.endpoints["/metrics"][0].name == "metrics"
    assert drop_in(disabled=("metrics",), acme="").endpoints["/metrics"][0].name == "acme"


KEEPS = HEAD + (
    "class Plugin:\n    def __init__(self):\n        self.called = 0\n    @hookimpl\n"
    "    def hypersdkd_status(self, view):\n        self.called += 1\n        return {'called': self.called}\n"
)


def test_a_class_is_made_anew_each_time_that_it_is_loaded(drop_in: Callable[..., Plugins]) -> None:
    def call(plugins: Plugins) -> object:
        (found,) = [each for each in plugins.implementations("hypersdkd_status") if each.record.name == "keeps"]
        assert found.arguments == ("view",)
        return found.call(None)

    first = drop_in(keeps=KEEPS)
    assert [call(first), call(first), call(drop_in(keeps=""))] == [{"called": 1}, {"called": 2}, {"called": 1}]


def test_a_class_that_cannot_be_made_is_broken(drop_in: Callable[..., Plugins]) -> None:
    plugins = drop_in(keeps=KEEPS.replace("self.called = 0", "raise OSError('no luck')"))
    assert told(plugins, "keeps") == ("broken", "plugin keeps: OSError: no luck")


SAME = HEAD + "class Plugin:\n    @hookimpl\n    def hypersdkd_status(self, view):\n        return {'id': id(self)}\n"


CONFIGURED = (
    HEAD + "class Plugin:\n    def __init__(self, settings):\n        self.settings = settings\n"
    "    @hookimpl\n    def hypersdkd_status(self, view):\n        return dict(self.settings)\n"
)


def test_a_plugin_gets_its_settings(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name, text in (("configured", CONFIGURED), ("plain", STATUS), ("same", SAME)):
        (tmp_path / f"{name}.py").write_text(text)
        (tmp_path / f"{name}.py").chmod(0o644)

    def load(former: Plugins | None = None, **settings: dict[str, object]) -> tuple[Plugins, object]:
        plugins = Plugins.load([tmp_path], former=former, settings=settings)
        (found,) = [each for each in plugins.implementations("hypersdkd_status") if each.record.name == "configured"]
        return plugins, found.call(view=None)

    first, answer = load(configured={"url": "http://x"})
    assert answer == {"url": "http://x"}
    second, answer = load(first, configured={"url": "http://x"})
    assert (answer, record(second, "configured") is record(first, "configured")) == ({"url": "http://x"}, True)
    third, answer = load(second, configured={"url": "http://y"})
    assert (answer, record(third, "configured") is record(first, "configured")) == ({"url": "http://y"}, False)
    assert load(third)[1] == {}
    for name in ("plain", "same"):
        broken, _answer = load(**{name: {"url": "x"}})
        state, why = told(broken, name)
        assert (state, "the configuration has settings for it, and it takes none" in why) == ("broken", True)


def test_what_has_not_changed_stays_the_one_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        (tmp_path / f"{name}.py").chmod(0o644)

    def plugin(plugins: Plugins, name: str) -> object:
        (found,) = [each for each in plugins.implementations("hypersdkd_status") if each.record.name == name]
        return found.call.__self__  # type: ignore[attr-defined]

    for name in ("same", "changed", "faulty", "off"):
        write(name, SAME)
    first = Plugins.load([tmp_path])
    record(first, "same").errors = 7
    record(first, "faulty").blame(PluginState.FAULTY, "it failed once")
    write("changed", SAME + "# in some way\n")
    second = Plugins.load([tmp_path], ["off"], former=first)
    assert plugin(second, "same") is plugin(first, "same")
    assert record(second, "same") is record(first, "same")
    assert record(second, "status") is record(first, "status"), "installed ones too"
    for name in ("changed", "faulty"):
        assert plugin(second, name) is not plugin(first, name)
        assert told(second, name) == ("loaded", "")
    assert (told(first, "off"), told(second, "off")) == (("loaded", ""), ("disabled", ""))
    third = Plugins.load([tmp_path], former=second)
    assert told(third, "off") == ("loaded", "")
    assert plugin(third, "same") is plugin(first, "same")
    assert plugin(third, "changed") is plugin(second, "changed")
    (tmp_path / "other").mkdir(mode=0o755)
    (tmp_path / "same.py").rename(tmp_path / "other" / "same.py")
    moved = Plugins.load([tmp_path / "other"], former=third)
    assert plugin(moved, "same") is not plugin(first, "same"), "of another place it is another one"
