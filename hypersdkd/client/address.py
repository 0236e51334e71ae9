"""Where the daemon is: from the command line, the environment, or the daemon's own configuration file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from hypersdkd.model.problem import fail

#: The address of the Go API, which its clients had as a constant.
DEFAULT_URL: Final = "http://localhost:8080"

#: The environment variable that names the daemon: ``http://…`` or ``unix:PATH``.
URL_VARIABLE: Final = "HYPERSDKD_URL"

#: Configuration files that are looked for, in this order; the daemon reads the same ones.
CONFIG_FILES: Final = (Path("/etc/hypersdkd/hypersdkd.yaml"), Path("/etc/hyper2kvm/workflow-daemon.yaml"))

#: Bytes of a configuration file that are read at most.
CONFIG_LIMIT: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """A daemon's address: ``socket`` is the path of a unix socket, else ``host``, ``port`` and ``prefix`` count."""

    host: str = ""
    port: int = 80
    prefix: str = ""
    socket: str = ""

    def __str__(self) -> str:
        """The address as it is typed."""
        if self.socket:
            return f"unix:{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.prefix}"


def parse_address(text: str) -> Address:
    """Read ``http://HOST[:PORT][/PREFIX]`` or ``unix:PATH``. ``usage`` for anything else."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        if path:
            return Address(socket=path)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _not_an_address(text) from None
    extra = parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme != "http" or not parts.hostname or extra or not text.isprintable() or " " in text:
        raise _not_an_address(text)
    return Address(host=parts.hostname, port=80 if port is None else port, prefix=parts.path.rstrip("/"))


def find_address(
    url: str = "",
    socket: str = "",
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    config_files: tuple[Path, ...] = CONFIG_FILES,
) -> Address:
    """The daemon that is meant: ``--url`` or ``--socket``, else the environment, else ``config`` or the
    first configuration file there is, else :data:`DEFAULT_URL`.

    A configuration file that says nothing of an address, or cannot be read, is passed over; only one that
    was named must exist (``config-missing``).
    """
    if socket:
        return Address(socket=socket)
    if url or environment.get(URL_VARIABLE):
        return parse_address(url or environment[URL_VARIABLE])
    if config is not None and not config.is_file():
        raise fail("config-missing", f"{config} cannot be read")
    for path in (config,) if config is not None else config_files:
        if path.is_file():
            return _from_config(path) or parse_address(DEFAULT_URL)
    return parse_address(DEFAULT_URL)


def configured_queue(config: Path | None = None, config_files: tuple[Path, ...] = CONFIG_FILES) -> Path | None:
    """The ``workflow.base_dir`` of ``config`` or the first configuration file there is, if it names one."""
    for path in (config,) if config is not None else config_files:
        if path.is_file():
            base = _section(path, "workflow").get("base_dir")
            return Path(base) if isinstance(base, str) and base else None
    return None


def _from_config(path: Path) -> Address | None:
    """The ``api.socket`` or first ``api.listen`` of a configuration file; it is the daemon that judges the rest."""
    api = _section(path, "api")
    socket = api.get("socket")
    if isinstance(socket, str) and socket:
        return Address(socket=socket)
    listen = api.get("listen")
    first = listen[0] if isinstance(listen, list) and listen else listen
    return parse_address(f"http://{first}") if isinstance(first, str) and first else None


def _section(path: Path, name: str) -> Mapping[str, object]:
    """A section of a configuration file, empty when there is none to be read."""
    import yaml  # noqa: PLC0415 - 15 ms that a call with --url need not pay

    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            document = yaml.safe_load(file.read(CONFIG_LIMIT))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return {}
    section = document.get(name) if isinstance(document, dict) else None
    return section if isinstance(section, dict) else {}


def _not_an_address(text: str) -> Exception:
    return fail(
        "usage",
        f"{text!r} is not a daemon's address",
        remedy="Give http://HOST:PORT or unix:PATH.",
    )
