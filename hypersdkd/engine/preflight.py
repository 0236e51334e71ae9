"""What a configuration asks of this host, looked at before anything is begun: by the start, by a reload, and by
``hypersdkd --check-config``. Nothing is made, and nothing changes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from hypersdkd.engine.config import LoadedConfig, PluginSettings, WorkflowSettings
from hypersdkd.engine.layout import QueueLayout, hindrance
from hypersdkd.engine.observing_service import OBSERVE
from hypersdkd.engine.plugins import Plugins
from hypersdkd.host.identity import name_of
from hypersdkd.model.problem import Problem, fail
from hypersdkd.spec.types import Executor

#: A directory of sources is listed and entered, no more.
_READABLE: Final = os.R_OK | os.X_OK


def judge(config: LoadedConfig, plugins: Plugins) -> Sequence[Problem]:
    """What will not work as it is configured, though the daemon starts: warnings.

    Raises ``ProblemError`` for what the daemon does not start with: the executor is not there, or the queue's
    directories can be neither used nor made. Blocks.
    """
    workflow = config.settings.workflow
    warnings = list(_plugin_doubts(plugins, config.settings.plugins))
    if config.settings.executor == OBSERVE:
        return warnings
    executor = find_executor(plugins, config.settings.executor)
    QueueLayout(workflow.base_dir).check()
    if obstacle := executor.obstacle():
        warnings.append(Problem("worker-unavailable", f"guests would have to wait: {obstacle}", path="executor"))
    return [*warnings, *_place_doubts(workflow)]


def find_executor(plugins: Plugins, name: str) -> Executor:
    """The executor of that name; ``config-invalid`` if there is none."""
    for executor in plugins.executors:
        if executor.name == name:
            return executor
    known = ", ".join(executor.name for executor in plugins.executors) or "none"
    raise fail("config-invalid", f"no loaded plugin provides the executor {name!r}; there is: {known}", path="executor")


def _plugin_doubts(plugins: Plugins, settings: PluginSettings) -> Iterator[Problem]:
    known = {record.name for record in plugins.records}
    for name in sorted({*settings.disabled} - known):
        yield Problem("config-doubtful", f"there is no plugin {name!r} to disable", path="plugins.disabled")
    for name in sorted(settings.settings.keys() - known):
        yield Problem("config-doubtful", f"there is no plugin {name!r} for these settings", path=f"plugins.{name}")
    for record in plugins.records:
        if record.problem is not None:
            yield record.problem


def _place_doubts(workflow: WorkflowSettings) -> Iterator[Problem]:
    outputs = [("workflow.output_dir", workflow.outputs)]
    outputs += [("workflow.output_dirs", directory) for directory in workflow.output_dirs]
    for path, directory in outputs:
        if hinders := hindrance(directory):
            yield Problem("output-unwritable", hinders, path=path)
    for directory in workflow.source_dirs if "source_dirs" in workflow.model_fields_set else ():
        if not _readable(directory):
            message = f"{directory} is not there, or user {name_of(os.geteuid())} cannot read it"
            yield Problem("config-doubtful", message, path="workflow.source_dirs")


def _readable(directory: Path) -> bool:
    return os.path.isdir(directory) and os.access(directory, _READABLE, effective_ids=True)  # noqa: PTH112 - never raises
