"""What is told of a configuration before anything is begun, and that looking makes nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hypersdkd.engine import layout
from hypersdkd.engine.config import LoadedConfig, load_config
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.preflight import find_executor, judge
from hypersdkd.engine.working import load_plugins
from tests.privileges import NOBODY, unprivileged
from tests.problems import raises_problem

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root's own rights would do for everything")

FARM = """\
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.types import Executor
async def start(run): ...
async def adopt(run): ...
@hookimpl
def hypersdkd_executors():
    return [Executor("farm", start, adopt, obstacle=lambda: "the farm is closed")]
"""


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def loaded(root: Path, workflow: dict[str, object] | None = None, **sections: object) -> LoadedConfig:
    whole = {
        "mode": "manifest",
        "workflow": {"base_dir": str(root / "queue"), **(workflow or {})},
        "plugins": {"dirs": []},
        **sections,
    }
    (root / "config.yaml").write_text(yaml.safe_dump(whole))
    return load_config(root / "config.yaml")


def told(config: LoadedConfig, plugins: Plugins | None = None) -> list[tuple[str, str, str]]:
    """The code, the place and the message of each warning."""
    return [(each.code, each.path, each.message) for each in judge(config, plugins or load_plugins(config))]


def test_nothing_is_told_and_nothing_made_where_all_is_fine(root: Path) -> None:
    assert told(loaded(root, {"source_dirs": [str(root)], "output_dirs": [str(root / "new" / "below")]})) == []
    assert os.listdir(root) == ["config.yaml"]


def test_plugins_that_are_not_there_or_cannot_be_used(root: Path) -> None:
    (root / "drop-ins").mkdir()
    (root / "drop-ins" / "broken.py").write_text("1/0")
    settings = {"dirs": [str(root / "drop-ins")], "disabled": ["no-such", "metrics"], "nor-this": {"a": 1}}
    assert told(loaded(root, plugins=settings)) == [
        ("config-doubtful", "plugins.disabled", "there is no plugin 'no-such' to disable"),
        ("config-doubtful", "plugins.nor-this", "there is no plugin 'nor-this' for these settings"),
        ("plugin-failed", "", "plugin broken: ZeroDivisionError: division by zero"),
    ]


@pytest.mark.parametrize("name", ["local", "teleport"])
def test_the_executor_is_found_by_its_name(root: Path, name: str) -> None:
    plugins = load_plugins(loaded(root))
    if name == "local":
        assert find_executor(plugins, name).name == name
    else:
        with raises_problem("config-invalid", "there is: local"):
            find_executor(plugins, name)
        with raises_problem("config-invalid", "there is: local"):
            judge(loaded(root, executor=name), plugins)


def test_an_executor_that_has_no_worker_now(root: Path) -> None:
    (root / "drop-ins").mkdir()
    (root / "drop-ins" / "farm.py").write_text(FARM)
    assert told(loaded(root, executor="farm", plugins={"dirs": [str(root / "drop-ins")]})) == [
        ("worker-unavailable", "executor", "guests would have to wait: the farm is closed"),
    ]


@as_root
def test_directories_are_judged_by_the_users_rights(root: Path) -> None:
    for name in ("queue", "out", "sources"):
        (root / name).mkdir()
    os.chown(root / "queue", NOBODY, -1)
    (root / "sources").chmod(0o700)
    sources = [str(root / name) for name in ("sources", "none")]
    config = loaded(root, {"output_dirs": [str(root / "out"), str(root / "new" / "er")], "source_dirs": sources})
    plugins = load_plugins(config)
    with unprivileged():
        assert told(config, plugins) == [
            ("output-unwritable", "workflow.output_dirs", f"{root}/out cannot be written by user nobody"),
            (
                "output-unwritable",
                "workflow.output_dirs",
                f"{root}/new/er cannot be made: {root} cannot be written by user nobody",
            ),
            *(
                ("config-doubtful", "workflow.source_dirs", f"{path} is not there, or user nobody cannot read it")
                for path in sources
            ),
        ]
    assert os.listdir(root / "queue") == []


@as_root
def test_a_queue_that_can_be_neither_used_nor_made(root: Path) -> None:
    config = loaded(root)
    plugins = load_plugins(config)
    with unprivileged(), raises_problem("queue-unusable", "to_be_processed cannot be made"):
        judge(config, plugins)
    (root / "queue").symlink_to("nowhere")
    with raises_problem("queue-unusable", "queue is not a directory, or cannot be looked at"):
        judge(config, plugins)


@as_root
def test_what_systemd_makes_for_the_service_may_be_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = loaded(root)
    plugins = load_plugins(config)
    monkeypatch.setattr(layout, "STATE", root / "queue")
    with unprivileged():  # as root that asks for a user
        assert told(config, plugins) == []
    (root / "queue").mkdir()
    with unprivileged(), raises_problem("queue-unusable", f"{root}/queue cannot be written"):
        judge(config, plugins)


def test_another_ones_queue_is_not_ours_to_judge(root: Path) -> None:
    (root / "queue").write_text("")
    assert told(loaded(root, executor="observe", plugins={"dirs": [], "disabled": ["executor_local"]})) == []
