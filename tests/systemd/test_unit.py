"""The units as systemd reads them."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hypersdkd.engine.config import Settings
from hypersdkd.host.worker_unit import SOCKET

UNITS = Path(__file__).parent.parent.parent / "systemd"
WORKER = "hypersdkd-worker@"
SERVICES = ("hypersdkd.service", "hypersdkd@.service", "hypersdkd-worker@.service")

#: Drop-ins that come along, and what the daemon's exposure is with each.
OPENED = (
    ("network.conf", 1.2),
    ("outputs.conf", 0.5),
    ("queue.conf", 0.5),
    ("home.conf", 0.5),
    ("local.conf", 0.8),
)

needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with programs that exist: systemd looks whether they do."""
    for unit in UNITS.glob("hypersdkd*.*"):
        if unit.suffix in {".service", ".socket", ".slice"}:
            text = unit.read_text().replace("/opt/hypersdkd/bin/", "/bin/").replace("/bin/hypersdkd", "/bin/true")
            (tmp_path / unit.name).write_text(text.replace("/bin/python", "/bin/true"))
    return tmp_path


def verify(directory: Path) -> str:
    """What systemd has against the units; it exits 0 even for keys that it does not know."""
    names = sorted(path.name.replace("@.", "@lab.") for path in directory.glob("hypersdkd*.*"))
    argv = ["systemd-analyze", "verify", "--recursive-errors=no", *(str(directory / name) for name in names)]
    environment = {"SYSTEMD_UNIT_PATH": f"{directory}:", "PATH": "/usr/bin:/bin"}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment).stderr


@needs_analyze
def test_systemd_has_nothing_to_say_against_them(installed: Path) -> None:
    assert verify(installed) == ""


@needs_analyze
@pytest.mark.parametrize("name", SERVICES)
def test_a_wrong_key_would_be_seen(installed: Path, name: str) -> None:
    unit = installed / name
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHoem="))
    assert "ProtectHoem" in verify(installed)


def exposure(directory: Path, name: str, *drop_ins: str) -> float:
    """What ``systemd-analyze security`` makes of a service with some of the drop-ins that come along."""
    unit = directory / name
    unit.write_text(
        "\n".join([unit.read_text(), *((UNITS / "examples" / drop_in).read_text() for drop_in in drop_ins)])
    )
    argv = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return float(said.rpartition("exposure level for")[2].split(":")[1].split()[0])


@needs_analyze
@pytest.mark.parametrize("name", SERVICES)
def test_their_exposure_stays_low(installed: Path, name: str) -> None:
    assert exposure(installed, name) <= 0.5


@needs_analyze
@pytest.mark.parametrize(("drop_in", "most"), OPENED)
def test_what_a_drop_in_opens_is_known(installed: Path, drop_in: str, most: float) -> None:
    assert exposure(installed, "hypersdkd.service", drop_in) <= most


@needs_analyze
@pytest.mark.parametrize("drop_in", ["outputs.conf", "queue.conf", "home.conf"])
def test_what_it_opens_for_workers_as_well(installed: Path, drop_in: str) -> None:
    assert f"{WORKER}.service.d/{drop_in}" in (UNITS / "examples" / drop_in).read_text()
    assert exposure(installed, f"{WORKER}.service", drop_in) <= dict(OPENED)[drop_in]


def read(name: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNITS / name)
    return unit


def test_every_drop_in_is_on_the_page_with_its_score() -> None:
    told = re.findall(
        r"^\| `(\w+\.conf)` \|.*\| ([\d.]+) \|$", (UNITS.parent / "docs/systemd.md").read_text(), re.MULTILINE
    )
    assert {name: float(score) for name, score in told} == dict(OPENED)
    assert set(dict(OPENED)) == {path.name for path in (UNITS / "examples").iterdir()}


def test_it_gives_the_daemon_time_to_drain() -> None:
    assert read("hypersdkd.service").getint("Service", "TimeoutStopSec") > Settings().workflow.drain_seconds


def test_a_further_queue_has_the_same_sandbox() -> None:
    """But for its own names, the template says what the service says."""
    one, many = (dict(read(name)["Service"]) for name in SERVICES[:2])
    assert {key for key in one | many if one.get(key) != many.get(key)} == {"ExecStart"}
    one, many = (dict(read(name)["Socket"]) for name in ("hypersdkd.socket", "hypersdkd@.socket"))
    assert {key for key in one | many if one.get(key) != many.get(key)} == {"ListenStream"}


def test_the_daemon_knows_the_workers_socket() -> None:
    path = read("hypersdkd-worker.socket")["Socket"]["ListenSequentialPacket"]
    assert read("hypersdkd.service")["Service"]["Environment"] == f"{SOCKET}={path}"


def test_the_queue_is_the_same_for_daemon_and_worker() -> None:
    daemon, worker = (read(name)["Service"] for name in (SERVICES[0], SERVICES[2]))
    for key in ("User", "Group", "UMask", "StateDirectory", "ProtectSystem", "ProtectHome", "Slice", "LimitCORE"):
        assert daemon[key] == worker[key], key
