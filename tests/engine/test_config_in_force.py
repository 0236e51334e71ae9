"""Which changes are put in force live, which wait for a restart, and that both are told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from hypersdkd.engine.config import LoadedConfig, Settings, load_config
from hypersdkd.engine.config_in_force import ConfigInForce, changed_keys, is_live, merged
from hypersdkd.model.problem import Problem

#: Another valid value of each key that has more than one.
OTHERS: Mapping[str, object] = {
    "mode": "disk",
    "workflow.base_dir": "/other",
    "workflow.output_dir": "/out",
    "workflow.output_dirs": ["/more"],
    "workflow.max_workers": 7,
    "workflow.poll_interval": 9.0,
    "workflow.settle_seconds": 9.0,
    "workflow.max_attempts": 9,
    "workflow.source_dirs": ["/sources"],
    "workflow.drain_seconds": 9.0,
    "retention.days": 9,
    "retention.jobs": 9,
    "maps.networks": {"VM Network": "br0"},
    "api.listen": [],
    "api.socket": "/run/x.sock",
    "api.tokens_file": "/etc/tokens",
    "api.names": ["vm.example"],
    "plugins.dirs": [],
    "plugins.disabled": ["x"],
    "plugins.webhooks": {"url": "http://x"},
    "executor": "other",
    "logging.level": "debug",
    "logging.format": "json",
}
BASE = {"mode": "manifest", "workflow": {"base_dir": "/queue"}}


def settings(key: str = "", value: object = None) -> Settings:
    values: dict[str, object] = yaml.safe_load(yaml.safe_dump(BASE))
    if key:
        group, _, name = key.partition(".")
        values = {**values, group: {**values.get(group, {}), name: value} if name else value}  # type: ignore[dict-item]
    return Settings.model_validate(values)


def loaded(written: Settings, path: Path | None = None) -> LoadedConfig:
    return LoadedConfig(written, written, path, (), "manifest", "a test")


def keys(model: type[BaseModel], at: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{at}{name}.")
        else:
            yield f"{at}{name}"


def test_every_key_is_tried_here() -> None:
    only_together = ["api.tls.cert", "api.tls.key"]
    assert set(keys(Settings)) - set(only_together) <= OTHERS.keys()
    assert changed_keys(settings(), settings("api", {"tls": {"cert": "/c", "key": "/k"}})) == only_together
    assert not any(map(is_live, only_together))


@pytest.mark.parametrize("key", OTHERS)
def test_a_change_is_in_force_or_waits_for_a_restart(key: str) -> None:
    before, after = settings(), settings(key, OTHERS[key])
    assert changed_keys(before, after) == [key]
    config = ConfigInForce(loaded(before))
    config.accept(loaded(after))
    assert config.needs_restart == (() if is_live(key) else (key,))
    assert config.settings == (after if is_live(key) else before)
    assert config.summary() == ("" if is_live(key) else f"restart to apply {key}")
    config.accept(loaded(after))
    assert config.needs_restart == (() if is_live(key) else (key,)), "it still waits"
    config.accept(loaded(before))
    assert (config.needs_restart, config.settings) == ((), before)


def test_the_page_names_what_is_live() -> None:
    page = Path(__file__).parent.parent.parent / "docs/configuration.md"
    section = page.read_text().split("## Reload\n")[1].split("A change of any other key")[0]
    named = set(re.findall(r"`([a-z_.]+)`", section.split("in force at once:")[1]))
    live = {key for key in keys(Settings) if is_live(key)}
    groups = {key.split(".")[0] for key in live} - {"workflow"}
    assert named == {key for key in live if key.startswith("workflow.")} | groups


def test_where_the_queue_is_by_default_is_no_change(tmp_path: Path) -> None:
    """The default of base_dir goes by the mode, and the mode by what lies in the queues at that moment."""
    places = {"manifest": tmp_path / "manifests", "disk": tmp_path / "disks"}
    places["disk"].mkdir()
    before = load_config(None, search=(), base_dirs=places)
    places["disk"].rmdir()
    after = load_config(None, search=(), base_dirs=places)
    assert (before.mode, after.mode) == ("disk", "manifest")
    config = ConfigInForce(before)
    config.accept(after)
    assert config.needs_restart == ()
    assert config.settings.workflow.base_dir == places["disk"]


def test_a_bad_file_is_told_until_a_good_one_is_in_force() -> None:
    config = ConfigInForce(loaded(settings(), Path("/etc/x.yaml")))
    assert config.as_dict() == {
        "path": "/etc/x.yaml",
        "loaded_at": config.loaded_at,
        "problems": [],
        "needs_restart": [],
    }
    problem = Problem("config-invalid", "must be a number", path="workflow.max_workers")
    config.refuse([problem, Problem("config-invalid", "unknown key", path="x")])
    assert config.summary() == "configuration not reloaded: workflow.max_workers: must be a number and 1 more"
    assert config.as_dict()["problems"] == [problem.as_dict(), config.problems[1].as_dict()]
    assert config.settings == settings()
    config.accept(loaded(settings("logging.level", "debug"), None))
    assert (config.summary(), config.as_dict()["path"], config.problems) == ("", None, ())


def test_of_many_keys_some_are_named() -> None:
    every = {
        "mode": "disk",
        "executor": "other",
        "workflow": {"base_dir": "/a", "output_dir": "/b", "source_dirs": [], "output_dirs": ["/c"]},
        "api": {"listen": [], "socket": "/x"},
    }
    config = ConfigInForce(loaded(settings()))
    config.accept(loaded(Settings.model_validate(every)))
    assert len(config.needs_restart) == 8
    assert config.summary().endswith(" and 3 more")


def test_what_is_merged_takes_nothing_else_along() -> None:
    new = Settings.model_validate({"workflow": {"base_dir": "/new", "max_workers": 9}, "api": {"listen": []}})
    both = merged(settings(), new)
    assert (both.workflow.base_dir, both.workflow.max_workers) == (Path("/queue"), 9)
    assert both.api == settings().api
    assert both.mode == "manifest"
