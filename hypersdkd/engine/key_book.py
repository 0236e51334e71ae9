"""Idempotency keys on disk: what was submitted under each, so that a repeated request is answered, not done again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from hypersdkd.host.files import write_replacing

#: Keys that are remembered; the oldest are forgotten first, some at a time.
KEYS: Final = 10_000
_FORGOTTEN_AT_ONCE: Final = KEYS // 10


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was submitted: the digest of what was sent, the job's ID, its file, and whether the queue surely took it."""

    digest: str
    job_id: str
    path: str
    taken: bool = False


class KeyBook:
    """One small file a key. Every call blocks; every write is durable when it returns."""

    def __init__(self, directory: Path, limit: int = KEYS, at_once: int = _FORGOTTEN_AT_ONCE) -> None:
        self._directory = directory
        self._limit = limit
        self._at_once = at_once
        self._count: int | None = None

    def read(self, key: str) -> Submitted | None:
        """What is remembered; ``None`` for a new key. Raises ``OSError`` when that cannot be known."""
        try:
            values = json.loads(self._file(key).read_bytes())
            return Submitted(**{field.name: values[field.name] for field in fields(Submitted)})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):  # of no version of ours
            return None

    def write(self, key: str, submitted: Submitted) -> None:
        """Remember. Raises ``OSError``."""
        self._directory.mkdir(mode=0o750, exist_ok=True)
        self._make_room()
        write_replacing(self._file(key), json.dumps(asdict(submitted)).encode("ascii"), 0o640)

    def forget(self, key: str) -> None:
        """The key is new again. Raises ``OSError``."""
        self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._directory / hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()

    def _make_room(self) -> None:
        if self._count is None:
            self._count = sum(1 for _file in self._directory.iterdir())
        self._count += 1  # too many by those that are written again: then it is counted anew
        if self._count <= self._limit:
            return
        files = sorted(self._directory.iterdir(), key=_age(), reverse=True)
        surplus = len(files) - self._limit + self._at_once if len(files) >= self._limit else 0
        for file in files[:surplus]:
            file.unlink(missing_ok=True)
        self._count = len(files) - surplus + 1


def _age() -> Callable[[Path], int]:
    def age(file: Path) -> int:
        with suppress(OSError):
            return -file.stat().st_mtime_ns
        return 0

    return age
