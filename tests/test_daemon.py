"""The composition root: starts, says so, refuses what cannot work, and stops clean."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from inotify_simple import INotify, flags

from hypersdkd.daemon import EXIT_CONFIG, Daemon, main
from hypersdkd.engine.config import LoadedConfig, load_config
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import ProblemError
from tests.engine.queue_state import make_queue, spool_of
from tests.privileges import NOBODY


def configure(root: Path, **sections: object) -> Path:
    """A configuration of its own queue, on a free port."""
    settings = {
        "mode": "manifest",
        "workflow": {"base_dir": str(root / "queue"), "poll_interval": 0.1},
        "api": {"listen": ["127.0.0.1:0"]},
        "plugins": {"dirs": []},
        **sections,
    }
    path = root / "config.yaml"
    path.write_text(json.dumps(settings))
    return path


def loaded(root: Path, **sections: object) -> LoadedConfig:
    return load_config(configure(root, **sections))


async def started(daemon: Daemon) -> asyncio.Task[None]:
    """The daemon, ready; its task ends when it is stopped."""
    ready = asyncio.Event()
    running = asyncio.create_task(daemon.run(ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if running.done():
        running.result()
    return running


async def test_it_makes_its_queue_serves_and_stops(tmp_path: Path) -> None:
    daemon = Daemon(loaded(tmp_path))
    running = await started(daemon)
    assert {entry.name for entry in (tmp_path / "queue").iterdir()} >= {"to_be_processed", "processing", "processed"}
    host, port = daemon.addresses[0].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b"200 OK" in await reader.read()
    writer.close()
    await writer.wait_closed()
    daemon.stop()
    await running


async def test_systemd_hears_ready_status_watchdog_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notify"))
        notices.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        daemon = Daemon(loaded(tmp_path))
        running = await started(daemon)
        heard = b""
        while not (b"WATCHDOG=1" in heard and b"STATUS=0 running, 0 queued" in heard):
            heard += await asyncio.to_thread(notices.recv, 4096) + b"\n"
        assert b"EXTEND_TIMEOUT_USEC=" in heard.partition(b"READY=1")[0], "a long start is not taken for a hang"
        daemon.stop()
        await running
        while b"STOPPING=1" not in heard:
            heard += notices.recv(4096) + b"\n"


async def test_a_stalled_scheduler_is_not_alive_for_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hypersdkd import daemon as module
    from hypersdkd.engine.scheduler import Scheduler

    async def stuck(self: Scheduler) -> None:
        self.last_round = time.monotonic() - 60
        await asyncio.Event().wait()

    monkeypatch.setattr(Scheduler, "run", stuck)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notify"))
        notices.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        daemon = module.Daemon(loaded(tmp_path))
        running = await started(daemon)
        heard: list[bytes] = []
        while sum(b"the scheduler has made no progress" in text for text in heard) < 2:
            heard.append(await asyncio.to_thread(notices.recv, 4096))
        assert not any(b"WATCHDOG=1" in text for text in heard)
        daemon.stop()
        daemon.stop()
        await running


async def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    first = Daemon(loaded(tmp_path))
    running = await started(first)
    with pytest.raises(ProblemError) as refused:
        await Daemon(loaded(tmp_path)).run()
    assert refused.value.problem.code == "queue-locked"
    first.stop()
    await running


@pytest.mark.parametrize(
    ("sections", "code"),
    [
        ({"executor": "teleport"}, "config-invalid"),
        ({"plugins": {"dirs": [], "disabled": ["executor_local"]}}, "config-invalid"),
        ({"workflow": {"base_dir": "/proc/no/queue"}}, "queue-unusable"),
    ],
)
async def test_it_does_not_start_on_what_cannot_work(tmp_path: Path, sections: dict[str, object], code: str) -> None:
    with pytest.raises(ProblemError) as refused:
        await Daemon(loaded(tmp_path, **sections)).run()
    assert refused.value.problem.code == code


async def test_a_pause_is_kept_over_a_restart(tmp_path: Path) -> None:
    mark = tmp_path / "queue" / ".hypersdkd" / "paused"
    mark.parent.mkdir(parents=True)
    mark.touch()
    daemon = Daemon(loaded(tmp_path))
    running = await started(daemon)
    (tmp_path / "queue" / "to_be_processed" / "a.json").write_text("{}")
    host, port = daemon.addresses[0].removeprefix("http://").split(":")
    body = b""
    while b'"queue_depth": 1' not in body.replace(b'":1', b'": 1'):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /api/workflow/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        body = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert os.listdir(tmp_path / "queue" / "processing") == []
    daemon.stop()
    await running


def test_the_configuration_can_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = configure(tmp_path)
    assert main(["--config", str(path), "--check-config"]) == 0
    assert "manifest mode (set in the configuration)" in capsys.readouterr().out


def test_a_check_in_a_shell_says_what_executor_the_service_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYPERSDKD_WORKER_SOCKET", raising=False)
    (tmp_path / "bare.yaml").write_text(f"mode: manifest\nworkflow: {{base_dir: {tmp_path}/queue}}\n")
    for more, told in (("", "local (in the units that come along: systemd)"), ("executor: local\n", "local")):
        with (tmp_path / "bare.yaml").open("a") as file:
            file.write(more)
        assert main(["--config", str(tmp_path / "bare.yaml"), "--check-config"]) == 0
        assert capsys.readouterr().out.endswith(f", executor {told}\n")


def test_old_keys_are_told_when_it_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.yaml").write_text(f"workflow_mode: true\nworkflow_dir: {tmp_path}\nfstab_mode: noop\n")
    assert main(["--check-config", "--config", str(tmp_path / "old.yaml")]) == 0
    said = capsys.readouterr()
    assert "old.yaml: fine; disk mode" in said.out
    assert [name for name in ("workflow_mode", "workflow_dir", "fstab_mode") if name not in said.err] == []


def test_every_error_of_a_bad_configuration_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = configure(tmp_path, workflow={"base_dir": "relative", "max_worker": 3})
    assert main(["--config", str(path), "--check-config"]) == EXIT_CONFIG
    said = capsys.readouterr().err
    assert "base_dir" in said
    assert "max_workers" in said, "it says what was meant"


async def test_it_forgets_old_jobs_when_it_has_started(tmp_path: Path) -> None:
    layout = make_queue(tmp_path / "queue")
    spool = spool_of(layout)
    (layout.drop / "old.json").write_text("{}")
    claim = spool.claim("old.json")
    assert claim is not None
    spool.finish(claim, JobState.FAILED, b"{}")
    daemon = Daemon(loaded(tmp_path, retention={"jobs": 0}))
    with contextlib.closing(INotify()) as changes:
        changes.add_watch(layout.jobs, flags.MOVED_FROM)
        running = await started(daemon)
        assert await asyncio.to_thread(changes.read, 20_000)
    assert os.listdir(layout.jobs) == []
    assert {path.name for day in layout.dated() for path in day.iterdir()} == {"old.json", "old.json.error.json"}
    daemon.stop()
    await running


@contextlib.contextmanager
def notices_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], Awaitable[bytes]]]:
    """A systemd that hears; its callable returns all that was said up to a message with these words."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(root / "notify"))
        notices.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(root / "notify"))

        async def heard(words: bytes) -> bytes:
            text = b""
            while words not in text.rpartition(b"\n\n")[2]:
                text += b"\n\n" + await asyncio.to_thread(notices.recv, 4096)
            return text

        yield heard


async def status_of(daemon: Daemon) -> dict[str, object]:
    host, port = daemon.addresses[0].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/workflow/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    body = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    await writer.wait_closed()
    status: dict[str, object] = json.loads(body)
    return status


async def test_systemd_hears_of_a_reload_and_what_came_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with notices_of(tmp_path, monkeypatch) as heard:
        daemon = Daemon(loaded(tmp_path))
        running = await started(daemon)
        await heard(b"READY=1")
        configure(tmp_path, workflow={"base_dir": str(tmp_path / "queue"), "max_workers": 9})
        daemon.reload()
        said = await heard(b"READY=1")
        assert b"MONOTONIC_USEC=" in said.partition(b"RELOADING=1")[2].partition(b"READY=1")[0]
        assert (await status_of(daemon))["max_workers"] == 9
        (tmp_path / "config.yaml").write_text("workflow: {max_workers: none}")
        daemon.reload()
        said = await heard(b"READY=1")
        assert b"STATUS=0 running, 0 queued; configuration not reloaded: workflow.max_workers: " in said
        status = await status_of(daemon)
        assert (status["running"], status["max_workers"]) == (True, 9)
        configure(tmp_path, api={"listen": []})
        daemon.reload()
        assert b"restart to apply api.listen" in await heard(b"READY=1")
        await heard(b"; restart to apply api.listen")  # as long as it is so
        daemon.stop()
        await running


async def test_reloads_that_are_asked_for_at_once_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, reads, gate = loaded(tmp_path), 0, threading.Event()

    def read() -> LoadedConfig:
        nonlocal reads
        reads += 1
        gate.wait(20)
        return config

    with notices_of(tmp_path, monkeypatch) as heard:
        daemon = Daemon(config, read)
        daemon.reload()  # during its start: it is done after it
        running = await started(daemon)
        said = await heard(b"RELOADING=1")
        assert b"READY=1" in said.partition(b"RELOADING=1")[0]
        for _ in range(50):
            daemon.reload()
        gate.set()
        said = await heard(b"READY=1")
        assert reads == 2, "the one that was under way, and one for all that came meanwhile"
        daemon.stop()
        daemon.reload()
        assert b"RELOADING=1" not in await heard(b"STOPPING=1")
        await running
        assert reads == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root checks what belongs to the service's user")
def test_root_checks_secrets_as_the_services_user(capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as name:  # one that another user may enter
        root = Path(name)
        root.chmod(0o755)
        tokens = root / "tokens"
        tokens.write_text(f"read a sha256:{'0' * 64}\n")
        tokens.chmod(0o600)
        for path in (root, tokens):
            os.chown(path, NOBODY, -1)
        path = configure(root, api={"listen": ["127.0.0.1:0"], "tokens_file": str(tokens)})
        assert main(["--config", str(path), "--check-config"]) == 0
        assert "are checked with the rights of nobody" in capsys.readouterr().err
        root.chmod(0o700)
        os.chown(root, 0, -1)  # where that user could not enter
        assert main(["--config", str(path), "--check-config"]) == EXIT_CONFIG
        said = capsys.readouterr().err
        assert f"{tokens}: Permission denied" in said
        assert f"queue/to_be_processed cannot be made: {root} cannot be written by user nobody" in said


async def test_an_observer_needs_no_queue_and_makes_none(tmp_path: Path) -> None:
    daemon = Daemon(loaded(tmp_path, executor="observe"))
    running = await started(daemon)
    other = Daemon(loaded(tmp_path, executor="observe"))
    beside = await started(other)
    for each, task in ((daemon, running), (other, beside)):
        each.stop()
        await task
    assert not (tmp_path / "queue").exists()


def test_a_configuration_to_observe_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = configure(tmp_path, executor="observe", plugins={"dirs": [], "disabled": ["executor_local"]})
    assert main(["--config", str(path), "--check-config"]) == 0
    assert "fine; manifest mode" in capsys.readouterr().out


async def test_it_serves_on_sockets_of_the_supervisor_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        asked = {"listen": [f"localhost:{port}", "127.0.0.1:1"], "socket": str(tmp_path / "api.sock")}
        daemon = Daemon(loaded(tmp_path, api=asked), inherited=[listener])
        running = await started(daemon)
        assert daemon.addresses == (f"http://127.0.0.1:{port}",)
        assert not (tmp_path / "api.sock").exists()
        daemon.stop()
        await running
    said = capsys.readouterr().out
    assert said.count("not listened on") == 2
    assert "127.0.0.1:1" in said
    assert "api.sock" in said


async def test_whoever_asked_for_a_reload_hears_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(runtime))
    path = configure(tmp_path)
    daemon = Daemon(load_config(path))
    running = await started(daemon)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as waiting:
        waiting.bind(str(runtime / "reload-1.sock"))
        waiting.setblocking(False)
        loop = asyncio.get_running_loop()
        for sections, word in (({"mode": "disk"}, "restart to apply mode"), ({"nonsense": 1}, "nonsense")):
            configure(tmp_path, **sections)
            daemon.reload()
            said = json.loads(await asyncio.wait_for(loop.sock_recv(waiting, 65536), 10))
            assert bool(said["problems"]) is (word == "nonsense")
            assert word in said["note"]
    daemon.stop()
    await running


def test_a_reload_is_asked_for_by_the_service_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--reload"])
    assert "ExecReload=" in capsys.readouterr().err
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("MAINPID", str(2**22 + 1))
    assert main(["--reload"]) == 1
    assert "not reloaded" in capsys.readouterr().err
