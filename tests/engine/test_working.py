"""The work on one queue as the daemon sees it: built, started, told apart from stuck, and its plugins told of."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import structlog
import yaml

from hypersdkd.engine.config import LoadedConfig, load_config
from hypersdkd.engine.working import Working, find_executor, load_plugins
from tests.problems import raises_problem


def loaded(root: Path, **sections: object) -> LoadedConfig:
    path = root / "config.yaml"
    workflow = {"base_dir": str(root / "queue")}
    path.write_text(yaml.safe_dump({"mode": "manifest", "workflow": workflow, "plugins": {"dirs": []}, **sections}))
    return load_config(path)


async def test_it_has_its_queue_alone_and_gives_it_back(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        work = Working(loaded(tmp_path), stack)
        await work.start()
        with raises_problem("queue-locked"):
            Working(loaded(tmp_path), stack)
        assert work.summary() == "0 running, 0 queued"
        await work.service.pause()
        assert work.summary() == "0 running, 0 queued, paused"
        work.parts.index.last_failed = "a.json: it did nothing"
        assert work.summary() == "0 running, 0 queued, paused; the last job failed: a.json: it did nothing"
        assert work.stalled(60) == ""
        assert work.stalled(-1).startswith("the intake has made no progress for")
    async with AsyncExitStack() as stack:
        work = Working(loaded(tmp_path), stack)
        await work.start()
        assert work.service.paused


def test_plugins_that_cannot_be_used_are_logged(tmp_path: Path) -> None:
    (tmp_path / "drop-ins").mkdir()
    (tmp_path / "drop-ins" / "broken.py").write_text("1/0")
    config = loaded(tmp_path, plugins={"dirs": [str(tmp_path / "drop-ins")], "disabled": ["no-such"]})
    with structlog.testing.capture_logs() as logged:
        load_plugins(config)
    assert {(line["event"], line["plugin"]) for line in logged} == {
        ("plugins.disabled names a plugin that is not there", "no-such"),
        ("plugin not usable", "broken"),
    }


@pytest.mark.parametrize("name", ["local", "teleport"])
def test_the_executor_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    plugins = load_plugins(loaded(tmp_path))
    if name == "local":
        assert find_executor(plugins, name).name == name
    else:
        with raises_problem("config-invalid", "there is: local"):
            find_executor(plugins, name)
