"""Settings: what an operator may set, its unit, its default and why; and how the file is found and judged.

The file is the first of ``--config``, :data:`SEARCH`, else the defaults alone. Every error is told at once,
each with its path. The reading of the text, and hyper2kvm's own keys, are in ``config_read``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from hypersdkd.engine.config_api import ApiSettings
from hypersdkd.engine.config_read import Reading, explain, read_file
from hypersdkd.engine.config_types import AbsolutePath, Group
from hypersdkd.engine.mode_detection import Mode, holding_of
from hypersdkd.host.worker_unit import SOCKET
from hypersdkd.model.problem import Problem, ProblemError

#: Where the configuration is looked for without ``--config``; the second is hyper2kvm's place.
SEARCH: Final = (Path("/etc/hypersdkd/hypersdkd.yaml"), Path("/etc/hyper2kvm/workflow-daemon.yaml"))

#: The queue of each mode when ``workflow.base_dir`` is not set; hyper2kvm's and HyperSDK's places.
BASE_DIRS: Final[Mapping[Mode, Path]] = {
    "manifest": Path("/var/lib/hyper2kvm/manifest-workflow"),
    "disk": Path("/var/lib/hyper2kvm/workflow"),
}


def _executor(value: str) -> str:
    if value == "dask":
        raise ValueError("the executor 'dask' is not available yet; use 'systemd', 'local' or 'observe'")
    return value


class WorkflowSettings(Group):
    """The queue and how it is worked."""

    base_dir: AbsolutePath = Field(
        BASE_DIRS["manifest"],
        description="The queue's directory. Default: /var/lib/hyper2kvm/manifest-workflow, in disk mode "
        "/var/lib/hyper2kvm/workflow, where hyper2kvm and HyperSDK look. One daemon works one queue.",
    )
    output_dir: AbsolutePath | None = Field(
        None,
        description="Where results go that name no other place. Default: base_dir/output, so that one file "
        "system holds all unless told otherwise.",
    )
    output_dirs: tuple[AbsolutePath, ...] = Field(
        (),
        strict=False,
        description="Further directories below which an output_path may lie. Default: none, since a manifest "
        "must not choose freely where the daemon writes.",
    )
    max_workers: int = Field(
        3, ge=1, le=256, description="Guests converted at the same time. Default: 3, as hyper2kvm has it."
    )
    poll_interval: float = Field(
        2.0,
        ge=0.1,
        le=3600,
        description="Seconds between safety checks of the queue. Default: 2. New files are seen by inotify at "
        "once; this finds those of file systems without it (NFS, SMB).",
    )
    settle_seconds: float = Field(
        2.0,
        ge=0,
        le=3600,
        description="Seconds that a file must be unchanged before it is taken where no lease can tell whether "
        "somebody still writes it; in disk mode every disk, since a snapshot, an OVF or a job config that needs it may "
        "come next. Default: 2. Raise it for slow uploads that pause.",
    )
    max_attempts: int = Field(
        2,
        ge=1,
        le=100,
        description="Attempts at a guest whose worker dies, before it fails. Default: 2, so that a bad guest "
        "cannot crash the host for ever.",
    )
    source_dirs: tuple[AbsolutePath, ...] = Field(
        (Path("/var/lib/libvirt/images"), Path("/srv"), Path("/mnt"), Path("/media")),
        strict=False,
        description="Directories below which sources may lie, besides base_dir. Default: "
        "/var/lib/libvirt/images, /srv, /mnt, /media. A manifest must not read any file that the daemon can.",
    )
    drain_seconds: float = Field(
        60.0,
        ge=0,
        le=86400,
        description="Seconds that running guests get to finish when the daemon is stopped; then they are ended "
        "and run again at the next start. Default: 60.",
    )

    @property
    def outputs(self) -> Path:
        """``output_dir``, or its default below ``base_dir``."""
        return self.output_dir or self.base_dir / "output"

    @model_validator(mode="after")
    def _output_outside_queue(self) -> WorkflowSettings:
        for name in ("to_be_processed", "processing", "processed", "failed", ".hypersdkd", ".hypersdkd-observe"):
            if self.outputs.is_relative_to(self.base_dir / name):
                raise ValueError(f"output_dir must not lie below the queue's own {name} directory")
        return self


class RetentionSettings(Group):
    """How long the daemon keeps its own notes on ended jobs. The files in processed and failed stay in any case."""

    days: int | None = Field(
        30,
        ge=0,
        le=36500,
        description="Days for which the events, logs and work orders of an ended job are kept; null: for ever. "
        "Default: 30, within which somebody asks why a guest came out as it did. Its file and record stay, so it "
        "is listed and can be retried as before.",
    )
    jobs: int | None = Field(
        10_000,
        ge=0,
        le=10_000_000,
        description="Ended jobs of which they are kept at most, those that ended last; null: all. Default: 10000, "
        "some GiB where conversions take hours.",
    )


class MapSettings(Group):
    """Names of the source's world and what they are called here."""

    networks: dict[str, str] = Field(
        {},
        description="From a network's name at the source to a libvirt network of this host, or to `bridge:NAME`, for "
        "the libvirt XML beside the outputs. Default: none; cards of other networks get libvirt's `default`.",
    )


class PluginSettings(BaseModel):
    """Which plugins are loaded; any further key is a plugin's name and holds that plugin's own settings."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, dict[str, object]] = Field(init=False)

    dirs: tuple[AbsolutePath, ...] = Field(
        (Path("/etc/hypersdkd/plugins.d"),),
        strict=False,
        description="Directories of drop-in plugins, one .py file each. Default: /etc/hypersdkd/plugins.d. "
        "Files that others could write are refused.",
    )
    disabled: tuple[str, ...] = Field(
        (), strict=False, description="Names of plugins that are not loaded. Default: none."
    )

    @property
    def settings(self) -> Mapping[str, Mapping[str, object]]:
        """The settings of each plugin that has some, by its name."""
        return self.__pydantic_extra__


class LoggingSettings(Group):
    """The daemon's log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least important level that is written. Default: info."
    )
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="json, console, or auto: console on a terminal, else json. Default: auto."
    )


class Settings(Group):
    """The whole file."""

    mode: Mode | None = Field(
        None,
        description="manifest (manifests are dropped) or disk (disks, job configs and manifests are). Default: found "
        "out from which default directory exists and what its queue holds: disks, job configs, records of a mode, "
        "manifests; status says which and why.",
    )
    workflow: WorkflowSettings = Field(WorkflowSettings(), description="The queue and how it is worked.")
    retention: RetentionSettings = Field(
        RetentionSettings(), description="How long the daemon keeps its own notes on ended jobs."
    )
    maps: MapSettings = Field(MapSettings(), description="Names of the source's world here.")
    api: ApiSettings = Field(ApiSettings(), description="Where the API is served.")
    plugins: PluginSettings = Field(PluginSettings(), description="Which plugins are loaded, and their settings.")
    executor: Annotated[str, AfterValidator(_executor)] = Field(
        "local",
        pattern=r"^[a-z][a-z0-9_-]*$",
        description="The executor that runs workers; a plugin may bring one. local: child processes of the daemon. "
        "systemd: each in a unit of its own, which goes on when the daemon ends. Default: systemd where the daemon's "
        "own unit brings the socket for that, else local. observe: another daemon works the queue, and this one shows "
        "it and submits to it. dask is not available yet.",
    )
    logging: LoggingSettings = Field(LoggingSettings(), description="The daemon's log.")


class ConfigInvalidError(ProblemError):
    """A configuration with errors: ``problems`` holds all of them, the first stands for all."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems[0])
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """What is in force. ``path`` is the file it came from, ``None`` for the defaults alone.

    ``mode`` is decided, and ``mode_reason`` says how in a clause; ``settings.workflow.base_dir`` fits it.
    ``written`` is the same before that: what the file says.
    """

    settings: Settings
    written: Settings
    path: Path | None
    warnings: tuple[Problem, ...]
    mode: Mode
    mode_reason: str


def load_config(
    path: Path | None, *, search: Sequence[Path] = SEARCH, base_dirs: Mapping[Mode, Path] = BASE_DIRS
) -> LoadedConfig:
    """Find, read and judge the configuration.

    Raises :class:`ConfigInvalidError` with every error, or ``config-missing`` when the file cannot be read.
    """
    found = path or next((place for place in search if os.path.lexists(place)), None)
    reading = read_file(found) if found else Reading({}, (), ())
    problems = list(reading.problems)
    settings = Settings()
    try:
        settings = Settings.model_validate(reading.values)
    except ValidationError as error:
        problems += explain(error, Settings)
    if problems:
        raise ConfigInvalidError(problems)
    written = settings
    mode, reason = decide_mode(settings, base_dirs)
    if "base_dir" not in settings.workflow.model_fields_set:
        workflow = settings.workflow.model_copy(update={"base_dir": base_dirs[mode]})
        settings = settings.model_copy(update={"workflow": workflow})
    if "executor" not in settings.model_fields_set and os.environ.get(SOCKET):
        settings = settings.model_copy(update={"executor": "systemd"})
    return LoadedConfig(settings, written, found, reading.warnings, mode, reason)


def decide_mode(settings: Settings, base_dirs: Mapping[Mode, Path] = BASE_DIRS) -> tuple[Mode, str]:
    """The mode and why: as set, else by the queue that is there."""
    if settings.mode:
        return settings.mode, "set in the configuration"
    if "base_dir" in settings.workflow.model_fields_set:
        held = holding_of(settings.workflow.base_dir)
        return held.mode or "manifest", f"the queue holds {held.what or 'nothing that tells'}"
    there = [mode for mode in get_args(Mode) if base_dirs[mode].is_dir()]
    if len(there) == 1:
        return there[0], f"of the default directories only {base_dirs[there[0]]} exists"
    if not there:
        return "manifest", "no default directory exists"
    full = [(mode, held.what) for mode in there if (held := holding_of(base_dirs[mode])).what]
    if len(full) == 1:
        ((mode, what),) = full
        return mode, f"both default directories exist, and only {base_dirs[mode]} holds work or records: {what}"
    return "manifest", "both default directories exist, and what they hold does not decide"
