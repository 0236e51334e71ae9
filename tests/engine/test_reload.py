"""What is read again is in force as a whole or not at all; whatever runs goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import structlog
import yaml
from structlog.testing import capture_logs

from hypersdkd.engine.config import LoadedConfig, load_config
from hypersdkd.engine.observing import Observing
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.reload import Reload
from hypersdkd.engine.working import Working

STATUS = "from hypersdkd.spec.hooks import hookimpl\n@hookimpl\ndef hypersdkd_status(view):\n    return {'mine': %r}\n"
KEEPS = """
from hypersdkd.spec.hooks import hookimpl
class Plugin:
    asked = 0
    @hookimpl
    def hypersdkd_status(self, view):
        self.asked += 1
        return {'mine': self.asked}
"""
STEP = """
from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.types import Step
@hookimpl
def hypersdkd_steps():
    return [Step('mine', Stage.FIX, print)]
"""
EXECUTOR = """
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.types import Executor
async def start(run): ...
async def adopt(run): ...
@hookimpl
def hypersdkd_executors():
    return [Executor('mine', start, adopt)]
"""


class Site:
    """A daemon's work, its configuration file and its drop-ins."""

    def __init__(self, root: Path) -> None:
        self.path = root / "config.yaml"
        self.drop_ins = root / "drop-ins"
        self.drop_ins.mkdir(mode=0o755)
        self._base = str(root / "queue")
        self.write()

    def write(self, workflow: Mapping[str, object] = {}, **sections: object) -> None:
        settings = {
            "mode": "manifest",
            "workflow": {"base_dir": self._base, **workflow},
            "plugins": {"dirs": [str(self.drop_ins)]},
            **sections,
        }
        self.path.write_text(yaml.safe_dump(settings))

    def read(self) -> LoadedConfig:
        return load_config(self.path)

    def begin(self, stack: AsyncExitStack) -> None:
        self.work = Working(self.read(), stack)
        self.reload = Reload(self.work, self.read)
        self.parts, self.shop = self.work.parts, self.work._crew.shop

    async def status(self) -> Mapping[str, object]:
        return await self.work.service.status()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
async def begun(site: Site) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        site.begin(stack)
        yield site


async def test_what_can_change_live_is_in_force(begun: Site) -> None:
    live = {"max_workers": 9, "poll_interval": 7.0, "settle_seconds": 3.5, "max_attempts": 4, "drain_seconds": 1.0}
    begun.write(live, retention={"jobs": 5})
    with capture_logs() as logs:
        await begun.reload()
    assert (await begun.status())["max_workers"] == 9
    assert (begun.shop.max_attempts, begun.parts.readiness.settle_seconds) == (4, 3.5)
    assert begun.parts.config.settings.workflow.drain_seconds == 1.0
    (line,) = [line for line in logs if line["event"] == "reloaded"]
    assert set(line["changed"]) == {*(f"workflow.{key}" for key in live), "retention.jobs"}
    assert begun.parts.config.summary() == ""


async def test_fewer_workers_end_no_guest(begun: Site) -> None:
    for _ in range(3):
        await begun.shop.slots.acquire()
    begun.write({"max_workers": 1})
    await begun.reload()
    assert (begun.shop.slots.in_use, begun.shop.slots.capacity) == (3, 1)


async def test_drop_ins_come_change_and_go(begun: Site) -> None:
    mine = begun.drop_ins / "mine.py"
    mine.write_text(STATUS % 1)
    await begun.reload()
    assert (await begun.status())["mine"] == 1
    mine.write_text(STATUS % 2)
    (begun.drop_ins / "steps.py").write_text(STEP)
    await begun.reload()
    assert (await begun.status())["mine"] == 2
    assert "steps" in begun.shop.worker_plugins.names
    assert begun.shop.worker_plugins.directories == (str(begun.drop_ins),)
    mine.unlink()
    begun.write(plugins={"dirs": [str(begun.drop_ins)], "disabled": ["steps"]})
    await begun.reload()
    status = await begun.status()
    assert "mine" not in status
    assert "steps" not in begun.shop.worker_plugins.names
    states = {record["name"]: record["state"] for record in status["plugins"]}  # type: ignore[attr-defined]
    assert (states["steps"], states["status"], "mine" in states) == ("disabled", "loaded", False)


async def test_a_drop_in_that_breaks_is_a_record(begun: Site) -> None:
    mine = begun.drop_ins / "mine.py"
    mine.write_text(STATUS % 1)
    await begun.reload()
    mine.write_text("1/0")
    await begun.reload()
    status = await begun.status()
    assert "mine" not in status
    assert status["config"]["problems"] == []  # type: ignore[index]
    assert {record["name"]: record["state"] for record in status["plugins"]}["mine"] == "broken"  # type: ignore[attr-defined]


async def test_a_plugin_that_keeps_something_keeps_it(begun: Site) -> None:
    mine = begun.drop_ins / "mine.py"
    mine.write_text(KEEPS)
    seen: list[Plugins] = []
    begun.reload = Reload(begun.work, begun.read, seen.append)
    await begun.reload()
    assert [(await begun.status())["mine"] for _ in range(2)] == [1, 2]
    await begun.reload()
    assert (await begun.status())["mine"] == 3
    mine.write_text(KEEPS + "# changed\n")
    await begun.reload()
    assert (await begun.status())["mine"] == 1
    begun.path.write_text("a: [")
    await begun.reload()
    assert seen[-1] is begun.parts.calls.plugins
    assert len(seen) == 3


BAD = {
    "two errors": (yaml.safe_dump({"workflow": {"max_workers": 0}, "logging": {"levle": "info"}}), 2, "did you mean"),
    "no YAML": ("a: [", 1, "line 1"),
    "no executor": (yaml.safe_dump({"plugins": {"dirs": [], "disabled": ["executor_local"]}}), 1, "executor"),
}


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_file_changes_nothing(begun: Site, bad: str) -> None:
    text, count, words = BAD[bad]
    (begun.drop_ins / "mine.py").write_text(STATUS % 1)
    plugins, executor = begun.parts.calls.plugins, begun.shop.executor
    begun.path.write_text(text)
    with capture_logs() as logs:
        await begun.reload()
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "the configuration is not reloaded"
    ] * count
    status = await begun.status()
    problems = status["config"]["problems"]  # type: ignore[index]
    assert len(problems) == count
    assert words in " ".join(problem["message"] for problem in problems)
    assert all(problem["remedy"] for problem in problems)
    assert (begun.parts.calls.plugins, begun.shop.executor) == (plugins, executor)
    assert ("mine" in status, status["max_workers"]) == (False, 3)
    begun.write()
    await begun.reload()
    status = await begun.status()
    assert (status["mine"], status["config"]["problems"]) == (1, [])  # type: ignore[index]


async def test_a_file_that_is_gone_does_not_mean_the_defaults(begun: Site) -> None:
    begun.write({"max_workers": 9})
    await begun.reload()
    begun.path.unlink()
    begun.reload = Reload(begun.work, lambda: load_config(None, search=(begun.path,)))
    await begun.reload()
    assert [problem.code for problem in begun.parts.config.problems] == ["config-missing"]
    assert begun.shop.slots.capacity == 9


async def test_an_error_of_ours_is_told_and_harms_nothing(begun: Site) -> None:
    def read() -> LoadedConfig:
        raise RuntimeError("oh")

    with capture_logs() as logs:
        await Reload(begun.work, read)()
    assert [problem.code for problem in begun.parts.config.problems] == ["internal"]
    assert any("exc_info" in line for line in logs)


async def test_the_executor_of_a_drop_in_is_read_again_but_not_taken_away(site: Site) -> None:
    mine = site.drop_ins / "mine.py"
    mine.write_text(EXECUTOR)
    site.write(executor="mine")
    async with AsyncExitStack() as stack:
        site.begin(stack)
        first = site.shop.executor
        await site.reload()
        second = site.shop.executor
        assert (first.name, second.name, first is second) == ("mine", "mine", False)
        for text in ("1/0", ""):
            mine.write_text(text)
            await site.reload()
            assert site.parts.config.problems[0].path == "executor"
            assert site.shop.executor is second
        site.write()  # local: at the next start
        with capture_logs() as logs:
            await site.reload()
        assert site.parts.config.needs_restart == ("executor",)
        assert site.shop.executor is second
        assert "the executor in use stays until a restart" in [line["event"] for line in logs]


async def test_the_log_changes_its_level_also_for_jobs_that_run(
    begun: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        begun.write(logging={"level": "warning", "format": "json"})
        await begun.reload()
        assert '"reloaded"' not in capsys.readouterr().err, "of less weight than is asked for now"
        running = structlog.get_logger(job="a.json")
        running.info("not shown")
        begun.write(logging={"level": "debug", "format": "json"})
        await begun.reload()
        running.debug("shown")
        said = capsys.readouterr().err
    finally:
        structlog.configure(**before)
        root.handlers = handlers
        root.setLevel(level)
    assert "not shown" not in said
    assert '"job": "a.json", "event": "shown"' in said


async def test_listeners_are_told(begun: Site) -> None:
    with begun.work.service.listen() as listener:
        assert (first := await listener.next()) is not None
        assert first.kind == "reset"
        await begun.reload()
        begun.path.write_text("a: [")
        await begun.reload()
        told = [await asyncio.wait_for(listener.next(), 5) for _ in range(2)]
    assert [change.data for change in told if change is not None] == [{"reloaded": True}, {"reloaded": False}]


async def test_an_observer_reloads_too(site: Site) -> None:
    off = {"dirs": [str(site.drop_ins)], "disabled": ["executor_local"]}
    site.write(executor="observe", plugins=off)
    async with AsyncExitStack() as stack:
        work = Observing(site.read(), stack)
        (site.drop_ins / "mine.py").write_text(STATUS % 1)
        site.write({"max_workers": 9, "settle_seconds": 3.5}, executor="observe", plugins=off)
        await Reload(work, site.read)()
        status = await work.service.status()
        assert (status["mine"], status["max_workers"]) == (1, 9)
        assert work.parts.readiness.settle_seconds == 3.5
        site.write()
        await Reload(work, site.read)()
        assert (await work.service.status())["config"]["needs_restart"] == ["executor"]  # type: ignore[index]
