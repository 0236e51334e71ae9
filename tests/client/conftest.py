"""The server of the web tests, for a client in a thread of its own; and a directory that everyone may enter."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.conftest import server, unix, url, workflow

__all__ = ["server", "unix", "url", "workflow"]


@pytest.fixture
def public() -> Iterator[Path]:
    """``tmp_path`` lies below a directory that only its owner may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
