"""Kill -9 at each durable step of daemon and worker, also while a killed daemon's worker still writes."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import pytest

from tests import vmdks
from tests.system.daemon_process import DaemonProcess, until
from tests.system.faults import kill_points

FAULTS = Path(kill_points.__file__).parent

#: A step that stops the worker until the test lets it go on, so that it outlives the daemon for certain.
HOLD = """
import os, time
from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.types import Step

def hold(context):
    (context.work / "held").touch()
    while not os.path.exists({release!r}):
        time.sleep(0.01)

@hookimpl
def hypersdkd_steps():
    return [Step("hold", Stage.VALIDATE, hold, 1)]
"""


def _manifest(root: Path, output: str) -> bytes:
    load = {"source_type": "raw", "source_path": str(root / "disk.raw")}
    convert = {"output_format": "raw", "output_path": output}
    return json.dumps({"version": "1.0", "pipeline": {"load": load, "convert": convert}}).encode()


def _check(daemon: DaemonProcess, name: str, output: str) -> None:
    """The job ended once, with one right output and nothing beside it."""
    base = daemon.base
    assert set(daemon.ended("processed")) >= {name}, (base / "failed").rglob("*")
    assert (base / "output" / output).read_bytes() == (daemon.root / "disk.raw").read_bytes()
    journal = next((base / ".hypersdkd" / "jobs" / name).glob("*/journal.jsonl")).read_text().splitlines()
    assert sum(json.loads(line)["type"] == "finished" for line in journal) == 1
    assert [entry for entry in os.listdir(base / "output") if entry.startswith(".")] == []
    assert os.listdir(base / "processing") == []


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    root = tmp_path_factory.mktemp("worker-kills")
    (root / "disk.raw").write_bytes(os.urandom(1 << 16) + bytes(1 << 18))
    kill = {"HYPERSDKD_TEST_KILL": str(root / "kill"), "PYTHONPATH": str(FAULTS)}
    with DaemonProcess(root, environment=kill) as daemon:
        yield daemon


@pytest.mark.system
def test_a_worker_killed_at_each_step_is_run_again(worked: DaemonProcess) -> None:
    """Until a point lies beyond the worker's last step: then the kill never comes and all points were tried."""
    deaths = 0
    for point in range(0, 400, 2):  # what an odd point leaves is what the next even one finds
        (worked.root / "kill").write_text(str(point))
        name, output = f"point-{point}.json", f"point-{point}.raw"
        worked.drop(name, _manifest(worked.root, output))
        worked.until_ended(name)
        _check(worked, name, output)
        journal = next((worked.base / ".hypersdkd/jobs" / name).glob("*/journal.jsonl")).read_text()
        died = '"reason":"crash"' in journal
        deaths += died
        if not died:
            break
    assert deaths > 20
    assert not worked.worker_pids()


def _armed_daemon(config: str, notify: str, point: int) -> None:
    os.environ["NOTIFY_SOCKET"] = notify
    from hypersdkd import daemon

    serve = daemon.Daemon._serve

    async def armed(self: daemon.Daemon, *arguments: object) -> None:
        kill_points.arm(point)
        await serve(self, *arguments)  # type: ignore[arg-type]

    daemon.Daemon._serve = armed  # type: ignore[method-assign,assignment]
    raise SystemExit(daemon.main(["--config", config]))


class Scene:
    """One queue; a daemon that dies at a given step, then one that does not. In disk mode each job is a group: a job
    config, a descriptor and its extent."""

    def __init__(self, root: Path, mode: str = "manifest") -> None:
        self.daemon = DaemonProcess(root, workers=1, mode=mode)
        self._in_groups = mode == "disk"
        self.release = root / "release"
        (root / "disk.raw").write_bytes(os.urandom(1 << 16) + bytes(1 << 18))
        plugin = self.daemon.plugins / "hold.py"
        plugin.write_text(HOLD.format(release=str(self.release)))
        plugin.chmod(0o644)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["hypersdkd.daemon"])

    def close(self) -> None:
        """End the server that daemons are forked from; the library keeps it until the process ends."""
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]

    def run(self, point: int) -> bool:
        """True when the kill came before the job had ended."""
        name, output = f"point-{point}.json", f"point-{point}.raw"
        self.release.unlink(missing_ok=True)
        dying = self._context.Process(target=_armed_daemon, args=(str(self.daemon.root / "config.yaml"), "", point))
        dying.start()
        group = self._drop_group(f"point-{point}") if self._in_groups else {}
        if not group:
            self.daemon.drop_when_ready(name, _manifest(self.daemon.root, output))
        until(lambda: self._held(name) or not dying.is_alive(), self.daemon.root)
        killed_early = not dying.is_alive()
        if not killed_early:
            self.release.touch()
            until(lambda: not dying.is_alive() or self._recorded(name), self.daemon.root)
        survived = dying.is_alive()
        if survived:
            dying.terminate()
        dying.join()
        if not survived:
            with self.daemon:
                self.release.touch()  # only now: a worker that outlived its daemon wrote until here
                self.daemon.until_ended(name)
                until(lambda: self._recorded(name), self.daemon.base)
                self.daemon.stop()
        _check(self.daemon, name, output)
        aside = self.daemon.ended("processed")[name].with_name(f"{name}.companions")
        assert {path.name: path.read_bytes() for path in aside.glob("*")} == group
        assert os.listdir(self.daemon.base / "to_be_processed") == []
        return not survived

    def _drop_group(self, stem: str) -> dict[str, bytes]:
        """The companions by name; the job config comes last, so that all are there when it is claimed."""
        data = (self.daemon.root / "disk.raw").read_bytes()
        flat = f"{stem}-flat.vmdk"
        text = vmdks.text("monolithicFlat", f'RW {len(data) // vmdks.SECTOR} FLAT "{flat}" 0')
        group = {flat: data, f"{stem}.vmdk": text}
        # with FIX its worker would have a /tmp of its own, in which the test's sign does not show
        off = {"fstab_mode": "noop", **dict.fromkeys(("regen_initramfs", "fix_grub", "fix_network"), False)}
        config = {"input": f"{stem}.vmdk", "output_format": "raw", **off}
        for name, content in {**group, f"{stem}.json": json.dumps(config).encode()}.items():
            self.daemon.drop_when_ready(name, content)
        return group

    def _held(self, name: str) -> bool:
        return any((self.daemon.base / ".hypersdkd/jobs" / name).glob("*/work/held"))

    def _recorded(self, name: str) -> bool:
        claim = json.loads((self.daemon.base / ".hypersdkd/jobs" / name / "claim.json").read_text() or "{}")
        return claim.get("state") == "finished"


@pytest.mark.system
def test_a_daemon_killed_at_each_step_is_taken_up(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Every step from the claim to the end of the job, one kill each."""
    scene = Scene(tmp_path)
    request.addfinalizer(scene.close)
    deaths = 0
    for point in range(0, 400, 2):  # what an odd point leaves is what the next even one finds
        if not scene.run(point):
            break
        deaths += 1
    assert deaths > 20


@pytest.mark.system
def test_a_daemon_killed_on_the_way_of_a_group_leaves_it_whole(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Some steps of a job of three files; ``tests/engine/test_spool_kill.py`` has every one of their moves."""
    scene = Scene(tmp_path, "disk")
    request.addfinalizer(scene.close)
    deaths = 0
    for point in range(9, 400, 14):
        if not scene.run(point):
            break
        deaths += 1
    assert deaths > 4
