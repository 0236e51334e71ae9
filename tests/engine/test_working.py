"""The work on one queue as the daemon sees it: built, started, told apart from stuck, and its plugins told of."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import structlog
import yaml

from hypersdkd.engine.config import LoadedConfig, load_config
from hypersdkd.engine.scheduler import Scheduler
from hypersdkd.engine.working import Working
from tests.problems import raises_problem


def loaded(root: Path, **sections: object) -> LoadedConfig:
    path = root / "config.yaml"
    workflow = {"base_dir": str(root / "queue")}
    path.write_text(yaml.safe_dump({"mode": "manifest", "workflow": workflow, "plugins": {"dirs": []}, **sections}))
    return load_config(path)


async def test_it_has_its_queue_alone_and_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        work = Working(loaded(tmp_path), stack)
        await work.start()
        with raises_problem("queue-locked"):
            Working(loaded(tmp_path), stack)
        assert work.summary() == "0 running, 0 queued"
        await work.service.pause()
        assert work.summary() == "0 running, 0 queued, paused"
        monkeypatch.setattr(Scheduler, "trouble", lambda _self: "a.json: web01: it is being ended")
        assert work.summary() == "0 running, 0 queued, paused; a.json: web01: it is being ended"
        monkeypatch.undo()
        work.parts.index.last_failed = "a.json: it did nothing"
        assert work.summary() == "0 running, 0 queued, paused; the last job failed: a.json: it did nothing"
        assert work.stalled(60) == ""
        assert work.stalled(-1).startswith("the intake has made no progress for")
    async with AsyncExitStack() as stack:
        work = Working(loaded(tmp_path), stack)
        await work.start()
        assert work.service.paused


async def test_what_will_not_work_is_logged(tmp_path: Path) -> None:
    (tmp_path / "drop-ins").mkdir()
    (tmp_path / "drop-ins" / "broken.py").write_text("1/0")
    config = loaded(tmp_path, plugins={"dirs": [str(tmp_path / "drop-ins")], "disabled": ["no-such"]})
    async with AsyncExitStack() as stack:
        with structlog.testing.capture_logs() as logged:
            Working(config, stack)
    assert [(line["log_level"], line["code"], line["event"]) for line in logged] == [
        ("warning", "config-doubtful", "there is no plugin 'no-such' to disable"),
        ("warning", "plugin-failed", "plugin broken: ZeroDivisionError: division by zero"),
    ]
