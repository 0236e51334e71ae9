"""A worker in a unit of its own: what the daemon and the worker say to each other by the service manager's socket.

systemd starts ``hypersdkd-worker@.service`` for each connection to ``hypersdkd-worker.socket``. The daemon sends one
packet, which guest; the worker answers with one, who it is. The connection ends with the unit, after its last process
and after its ``ExecStopPost=``, which leaves beside the guest how the unit ended: for this daemon or the next one.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Final

from hypersdkd.host.files import write_replacing
from hypersdkd.host.sessions import ProcessStamp

#: The daemon's environment has the socket's path under this name where its unit brings workers of their own.
SOCKET: Final = "HYPERSDKD_WORKER_SOCKET"

#: Bytes of a packet: three paths at the most.
_PACKET: Final = 16_384

#: In the guest's directory: how its last unit ended.
_END: Final = "unit.json"


@dataclass(frozen=True, slots=True)
class Handover:
    """Which guest a worker is for: its directory, and the file that the worker's output is appended to."""

    directory: Path
    log: Path
    job_id: str = ""
    vm: str = ""

    def send(self, connection: socket.socket) -> None:
        """Hand the guest over, in one packet that is never waited with. Raises ``OSError``."""
        said = {"directory": str(self.directory), "log": str(self.log), "job": self.job_id, "vm": self.vm}
        connection.send(json.dumps(said).encode("ascii"), socket.MSG_NOSIGNAL)

    @classmethod
    def peek(cls, connection: socket.socket) -> Handover | None:
        """What was handed over; ``None`` where the other side went away before it said so. The packet stays in the
        connection, for the unit's ``ExecStopPost=`` reads it as well. Raises ``ValueError`` for what is no such packet.
        """
        packet = connection.recv(_PACKET, socket.MSG_PEEK)
        if not packet:
            return None
        said = json.loads(packet)
        try:
            return cls(Path(said["directory"]), Path(said["log"]), str(said["job"]), str(said["vm"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no guest is named: {error!r}") from error


def answer(connection: socket.socket, stamp: ProcessStamp) -> None:
    """Say who the worker is. A daemon that went away meanwhile finds it by the guest's directory."""
    try:
        connection.send(json.dumps(stamp.as_dict()).encode("ascii"), socket.MSG_NOSIGNAL)
    except OSError:
        return


def read_answer(packet: bytes) -> ProcessStamp:
    """Who :func:`answer` said the worker is. Raises ``ValueError``."""
    try:
        return ProcessStamp.from_dict(json.loads(packet))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no worker is named: {error!r}") from error


@dataclass(frozen=True, slots=True)
class UnitEnd:
    """How a unit ended, in the words of systemd.exec(5): ``SERVICE_RESULT``, ``EXIT_CODE``, ``EXIT_STATUS``."""

    result: str
    code: str = ""
    status: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> UnitEnd:
        """What ``ExecStopPost=`` is told."""
        return cls(*(environment.get(name, "") for name in ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS")))

    @property
    def exit_status(self) -> int | None:
        """The main process's exit status, negative for a signal."""
        if self.code == "exited" and self.status.isdigit():
            return int(self.status)
        try:
            return -Signals[f"SIG{self.status}"]
        except KeyError:
            return None

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped the unit: an operator, or the host as it went down."""
        return self.result == "success" and self.code in {"killed", "dumped"}

    def leave(self, directory: Path) -> None:
        """Write it down in the guest's ``directory``. Raises ``OSError``."""
        said = {"result": self.result, "code": self.code, "status": self.status}
        write_replacing(directory / _END, json.dumps(said).encode("ascii"))

    @staticmethod
    def left(directory: Path) -> bool:
        """Whether it was written down, and nobody has taken it."""
        return (directory / _END).exists()

    @classmethod
    def take(cls, directory: Path) -> UnitEnd | None:
        """What was written down, once: it is removed."""
        path = directory / _END
        try:
            said = json.loads(path.read_bytes())
            path.unlink()
            return cls(str(said["result"]), str(said["code"]), str(said["status"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
