"""Types the commands of docs/seed.md, in a machine of its own, and keeps what came of each."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pexpect

from tests.page.gate import Gate
from tests.seed.table import CONFIGURATION, ROOT, ROWS, Row
from tests.systemd.box import PATIENCE, Box

QUEUE = "/var/lib/hyper2kvm/manifest-workflow"

#: Where the commands are typed, and the same directory as this machine sees it.
HERE = "/srv/walk"

#: What is there before the first command: a link to where the disk lies, a place for results, both programs.
_BEFORE = f"""
mkdir -p /path /output/dir /etc/hyper2kvm /etc/hypersdkd/plugins.d && ln -s {HERE} /path/to
ln -s {ROOT}/.venv/bin/hyperctl {ROOT}/.venv/bin/hypersdkd /usr/local/bin/
cp {HERE}/config.yaml /etc/hyper2kvm/workflow-daemon.yaml
cp {HERE}/page_gate.py /etc/hypersdkd/plugins.d/
command -v sudo || printf '#!/bin/sh\\nexec "$@"\\n' | install -m 755 /dev/stdin /usr/local/bin/sudo
"""

_PIPELINE = {
    "load": {"source_type": "vmdk", "source_path": "/path/to/vm.vmdk"},
    "convert": {"output_format": "qcow2"},
}

#: Answers to the questions of ``hyperctl manifest create``, each after what it waits for.
_ANSWERS = (
    ("Source type", "\r"),
    (r"Source path \[.*\]:", "/path/to/vm.vmdk\r"),
    (r"\(detect OS\)\? \[Y/n\]:", "n\r"),
    (r"initramfs\)\? \[Y/n\]:", "n\r"),
    ("Output format", "\r"),
    (r"compression\? \[Y/n\]:", "\r"),
    (r"VALIDATE stage\? \[Y/n\]:", "\r"),
    ("What to do", "\r"),
    (r"File name \[my-vm-manifest\.json\]:", "\r"),
)


@dataclass(frozen=True)
class Result:
    """A command, its exit status and what it said; on a terminal all of it is ``out``."""

    command: str
    status: int | None
    out: str
    err: str = ""


class Walk:
    """The machine with the daemon in it, and the results row by row."""

    def __init__(self, box: Box, shared: Path) -> None:
        self.box = box
        self.shared = shared
        self.results: list[tuple[Row, Result]] = []
        self._daemon: subprocess.Popen[bytes] | None = None
        self._log = shared / "daemon.log"
        self._gate = Gate(shared).install(HERE)

    def prepare(self) -> None:
        """Make real what the commands name."""
        for name in ("", "done", "gated"):
            manifest = {"version": "1.0", **({"name": name} if name else {}), "pipeline": _PIPELINE}
            (self.shared / f"{name or 'manifest'}.json").write_text(json.dumps(manifest))
        (self.shared / "config.yaml").write_text(CONFIGURATION)
        self.box.run("bash", "-ec", _BEFORE)

    def go(self) -> None:
        """Type every command: first what configures the daemon and starts it, then the others in their order.

        The others find a job that is done, and the first of them one that is half converted.
        """
        self._type_all("Configuration")
        self._gate.shut()
        for job in ("done", "gated"):
            assert self.bash(f"mv {job}.json {QUEUE}/to_be_processed/").status == 0
        self.until(f"test -f {QUEUE}/processed/*/done.json.report.json")
        self.until(f"grep -q percent.:42 {QUEUE}/.hypersdkd/jobs/gated.json/*/journal.jsonl")
        self._type_all("Commands")
        self._gate.open()
        self._type_all("Trying it out")

    def _type_all(self, section: str) -> None:
        for row in ROWS:
            if row.command and row.section == section:
                self.results.append((row, self._type(row.command)))

    def of(self, test: str) -> list[Result]:
        """Results of the rows that name this test."""
        return [result for row, result in self.results if test in row.tests]

    def bash(self, command: str) -> Result:
        """One line of bash where the commands are typed."""
        done = subprocess.run(
            self._line(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return Result(command, done.returncode, done.stdout, done.stderr)

    def until(self, condition: str) -> None:
        """Wait until a line of bash succeeds."""
        found = self.bash(f"timeout 30 bash -c {shlex.quote(f'until {condition}; do sleep 0.05; done')}")
        assert found.status == 0, f"{condition}\n{self.bash('hyperctl workflow list').out}{found.err}"

    def end_daemon(self) -> Result | None:
        """End the daemon that runs by SIGTERM, if there is one."""
        if self._daemon is None:
            return None
        self.box.run("pkill", "-TERM", "-o", "-x", "hypersdkd")
        status = self._daemon.wait(PATIENCE)
        self._daemon = None
        return Result("hypersdkd", status, "", self._log.read_text())

    def _line(self, command: str, *environment: str) -> list[str]:
        return self.box.command("env", "-C", HERE, *environment, "bash", "-c", command)

    def _type(self, command: str) -> Result:
        if command.startswith("hypersdkd"):
            return self._start(command)
        if command.endswith("watch"):
            return self._on_a_terminal(command, ((r"Queue: \d+ .* Active: \d+", "\x03"),))
        if command.endswith("create"):
            again = (self.shared / "my-vm-manifest.json").exists()  # the same is not converted twice
            return self._on_a_terminal(command, (*_ANSWERS, (r"now\? \[y/N\]:", "n\r" if again else "y\r")))
        return self.bash(command)

    def _start(self, command: str) -> Result:
        """Start the daemon, in place of the one that runs; the result is how that one ended."""
        ended = self.end_daemon()
        with self._log.open("w") as log:
            self._daemon = subprocess.Popen(
                self._line(command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.until("curl -fs http://localhost:8080/readyz")
        return ended or Result(command, 0, "")

    def _on_a_terminal(self, command: str, answers: tuple[tuple[str, str], ...]) -> Result:
        # Ctrl-C is for the command alone: not for what brings it into the box.
        words = self._line(f"script -qec {shlex.quote(command)} /dev/null", "TERM=xterm", "SHELL=/bin/bash")
        child = pexpect.spawn(words[0], words[1:], encoding="utf-8", dimensions=(40, 160), timeout=PATIENCE)
        child.delaybeforesend = None
        said = ""
        try:
            for question, answer in answers:
                child.expect(question)
                said += child.before + child.after
                child.send(answer)
            child.expect(pexpect.EOF)
            said += child.before
        finally:
            child.close()
        return Result(command, child.exitstatus, said)
