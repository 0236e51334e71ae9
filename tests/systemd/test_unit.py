"""The unit as systemd reads it."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from hypersdkd.engine.config import Settings

ROOT = Path(__file__).parent.parent.parent
UNIT = ROOT / "systemd/hypersdkd.service"

needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with a program that exists: systemd looks whether it does."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/hypersdkd/bin/hypersdkd", "/bin/true"))
    return unit


@needs_analyze
def test_systemd_has_nothing_to_say_against_it(installed: Path) -> None:
    result = subprocess.run(["systemd-analyze", "verify", installed], capture_output=True, text=True, check=True)
    assert result.stderr == "", "it exits 0 even for keys that it does not know"


@needs_analyze
def test_a_wrong_key_would_be_seen(installed: Path) -> None:
    installed.write_text(installed.read_text().replace("ProtectHome=", "ProtectHoem="))
    result = subprocess.run(["systemd-analyze", "verify", installed], capture_output=True, text=True, check=False)
    assert "ProtectHoem" in result.stderr


@needs_analyze
def test_its_exposure_stays_low(installed: Path) -> None:
    subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=25", installed], capture_output=True, check=True
    )


def test_it_gives_the_daemon_time_to_drain() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    assert unit.getint("Service", "TimeoutStopSec") > Settings().workflow.drain_seconds
