"""The examples of docs/hyperctl.md are what hyperctl prints: each is run against a real daemon, as one story."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.daemon_process import DaemonProcess, until
from tests.system.gates import Gates
from tests.system.jobs import manifest, outcome, until_shown

PAGE = (Path(__file__).parents[2] / "docs" / "hyperctl.md").read_text()
EXAMPLES = dict(re.findall(r"^```\n\$ (hyperctl [^\n]*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
del EXAMPLES["hyperctl manifest create"]  # a conversation; tests/cli holds it

#: Where the page lets the queue and the sources be.
QUEUE, SOURCES, URL = "/var/lib/hyper2kvm/manifest-workflow", "/srv", "http://localhost:8080"

BAD = """{
  "version": "1.0",
  "pipeline": {
    "load": {"source_type": "vmdkk", "source_path": "/srv/web01.vmdk"},
    "convert": {}
  }
}
"""


def normal(text: str) -> str:
    """``text`` without what differs from run to run: numbers, units, times, and the padding that depends on them."""
    text = re.sub(r"\d+(\.\d+)? (B|[KMGT]iB)\b", "0 B", text)
    text = re.sub(r"(\d+h )?(\d+m )?\b\d+s\b", "0s", text)
    text = re.sub(r"[█░]+", "░", text)
    return re.sub(r" +", " ", re.sub(r"\d+", "0", text))


class Story:
    """Runs commands below ``root``, and keeps what they said as the page would show it."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.daemon = daemon
        self.said: dict[str, str] = {}

    def run(self, *words: str) -> str:
        """One command line; its output, both streams as they came."""
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from hypersdkd.cli.hyperctl import main; sys.exit(main())", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.daemon.root,
            env={**os.environ, "HYPERSDKD_URL": f"unix:{self.daemon.socket}"},
            timeout=30,
            check=False,
        )
        text = done.stdout
        places = {self.daemon.base: QUEUE, f"unix:{self.daemon.socket}": URL, self.daemon.root: SOURCES}
        for ours, theirs in places.items():
            text = text.replace(str(ours), theirs)
        self.said[f"hyperctl {' '.join(words)}".replace(str(self.daemon.root), SOURCES)] = text
        return text

    def submitted(self, *words: str) -> str:
        """The same for a submission; the job's ID."""
        (job,) = re.findall(r"^Job ID: (\S+)$", self.run(*words), re.MULTILINE)
        return str(job)


def tell(story: Story, gates: Gates) -> None:
    """Two disks, a missing one, and a file that is still being written."""
    daemon, root = story.daemon, story.daemon.root
    for name in ("web01", "db01"):
        disk = root / f"{name}.vmdk"
        subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", str(disk), "64M"], check=True)
    (root / "bad.json").write_text(BAD)
    story.run("manifest", "validate", "-file", "bad.json")
    story.run("manifest", "generate", f"{root}/web01.vmdk", ".")
    story.run("manifest", "validate", "-file", "web01-manifest.json")
    daemon.drop("old.json", manifest(root / "old.vmdk", "vmdk"))
    outcome(daemon, "old.json")
    story.run("job", "show", "old.json")
    with gates.shut("convert"):
        running = story.submitted("manifest", "submit", "-file", "web01-manifest.json")
        gates.until_waiting("convert")
        daemon.drop(
            "db01.json", json.dumps({"name": "db01", **json.loads(manifest(root / "db01.vmdk", "vmdk"))}).encode()
        )
        half = daemon.base / "to_be_processed" / "half.json"
        with half.open("w") as file:
            file.write("{")
            file.flush()
            until_shown(daemon, "waiting", "half.json")
            until_shown(daemon, "pending", "db01.json")
            for action in (
                ["-op", "status"],
                ["list"],
                ["list", "--status", "failed"],
                ["queue"],
                ["watch", "--count", "1"],
            ):
                story.run("workflow", *action)
        half.unlink()
        story.run("job", "show", running)
        story.run("job", "cancel", running)
        until(lambda: daemon.api.job(running)["status"] == "cancelled", daemon.base)
        story.run("job", "retry", running)
    story.run("pause")
    story.run("resume")
    outcome(daemon, "db01.json")
    story.run("workflow", "queue", "--dir", str(root / "none"))
    story.run("plugins")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Each command of the story and what it printed."""
    root = tmp_path_factory.mktemp("documented")
    gates = Gates(root)
    with DaemonProcess(root, workers=1, environment=gates.environment) as daemon:
        story = Story(daemon)
        tell(story, gates)
        yield {normal(command): text for command, text in story.said.items()}


@pytest.mark.parametrize("command", EXAMPLES)
def test_the_example_is_what_it_prints(said: dict[str, str], command: str) -> None:
    real = said[normal(command)]
    assert normal(EXAMPLES[command]) == normal(real), f"The page should show:\n$ {command}\n{real}"


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) >= 10
