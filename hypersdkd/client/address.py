"""Where the daemon is: from the command line, the environment, or the daemon's own configuration file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from hypersdkd.model.problem import fail

#: The address of the Go API, which its clients had as a constant.
DEFAULT_URL: Final = "http://localhost:8080"

#: The environment variable that names the daemon: ``http://…``, ``https://…`` or ``unix:PATH``.
URL_VARIABLE: Final = "HYPERSDKD_URL"

#: Configuration files that are looked for, in this order; the daemon reads the same ones.
CONFIG_FILES: Final = (Path("/etc/hypersdkd/hypersdkd.yaml"), Path("/etc/hyper2kvm/workflow-daemon.yaml"))

#: Bytes of a configuration file that are read at most.
CONFIG_LIMIT: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """A daemon's address: ``socket`` is the path of a unix socket, else the others count."""

    host: str = ""
    port: int = 80
    prefix: str = ""
    socket: str = ""
    secure: bool = False

    @property
    def is_local(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return bool(self.socket) or _is_loopback(self.host)

    def __str__(self) -> str:
        """The address as it is typed."""
        if self.socket:
            return f"unix:{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}{self.prefix}"


def parse_address(text: str) -> Address:
    """Read ``http://HOST[:PORT][/PREFIX]``, the same with ``https``, or ``unix:PATH``. ``usage`` for anything else."""
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
    secure = parts.scheme == "https"
    if not (secure or parts.scheme == "http") or not parts.hostname or extra or not text.isprintable() or " " in text:
        raise _not_an_address(text)
    usual = 443 if secure else 80
    return Address(parts.hostname, usual if port is None else port, parts.path.rstrip("/"), secure=secure)


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
    if config is not None and not _is_file(config):
        raise fail("config-missing", f"{config} cannot be read")
    for path in (config,) if config is not None else config_files:
        if _is_file(path):
            return _from_config(path) or parse_address(DEFAULT_URL)
    return parse_address(DEFAULT_URL)


def configured_queue(
    config: Path | None = None, config_files: tuple[Path, ...] = CONFIG_FILES
) -> tuple[Path, str] | None:
    """The directory and the mode (``manifest`` or ``disk``) of the queue that a daemon would work by ``config``
    or the first configuration file there is; ``None`` if there is none.

    Raises ``ProblemError`` (``config-missing``, ``config-invalid``) for a file that no daemon would take.
    """
    path = config or next((place for place in config_files if _is_file(place)), None)
    if path is None:
        return None
    from hypersdkd.engine.config import load_config  # noqa: PLC0415 - 60 ms that only reading without a daemon pays

    loaded = load_config(path)
    return loaded.settings.workflow.base_dir, loaded.mode


def _from_config(path: Path) -> Address | None:
    """The ``api.socket`` of a configuration file, or its first ``api.listen`` where the socket cannot be opened.

    It is the daemon that judges the rest.
    """
    api = _section(path, "api")
    socket, listen = api.get("socket"), api.get("listen")
    first = listen[0] if isinstance(listen, list) and listen else listen
    tcp = _listening(first, api) if isinstance(first, str) and first else None
    if not isinstance(socket, str) or not socket:
        return tcp
    # A daemon serves the default address beside its socket, unless the list says that it shall not.
    return Address(socket=socket) if os.access(socket, os.W_OK, effective_ids=True) or listen == [] else tcp


def _listening(listen: str, api: Mapping[str, object]) -> Address:
    """How to reach what listens so. A certificate is for names: the first of ``api.names`` stands for an address that
    is not loopback, and ``localhost`` for one that is every address."""
    tls, names = api.get("tls"), api.get("names")
    secure = isinstance(tls, dict) and bool(tls.get("cert"))
    found = parse_address(f"{'https' if secure else 'http'}://{listen}")
    if found.is_local:
        return found
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    return replace(found, host=name or ("localhost" if found.host in {"0.0.0.0", "::"} else found.host))  # noqa: S104


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_file(path: Path) -> bool:
    """As ``Path.is_file``, for which a directory that may not be entered is an error."""
    try:
        return path.is_file()
    except OSError:
        return False


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
        remedy="Give http://HOST:PORT, https://HOST:PORT or unix:PATH.",
    )
