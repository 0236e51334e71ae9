"""A conversion from end to end on a queue of its own; run it by script/demo."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from guest_disk import build_vmdk

BIN = Path(__file__).resolve().parent.parent / ".venv/bin"

#: Seconds to wait for the daemon to come up or go down.
PATIENCE = 30

CONFIGURATION = """\
mode: manifest
workflow:
  base_dir: {base}/queue
  source_dirs: [{base}/exports]
  output_dir: {base}/output
api:
  listen: ["127.0.0.1:{port}"]
"""


def say(text: str) -> None:
    print(f"\n\033[1m==> {text}\033[0m" if sys.stdout.isatty() else f"\n==> {text}", flush=True)


def show(*argv: str | Path) -> None:
    """Run a command in the open, as a reader would type it."""
    words = [str(word) for word in argv]
    print("$ " + shlex.join([Path(words[0]).name, *words[1:]]), flush=True)
    subprocess.run(words, check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(daemon: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and daemon.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{url}/readyz", timeout=5):
            return
        time.sleep(0.05)
    sys.exit(f"the daemon did not start:\n{log.read_text(errors='replace')}")


@contextlib.contextmanager
def running_daemon(base: Path, url: str, *, keep: bool) -> Iterator[subprocess.Popen[bytes]]:
    log = base / "daemon.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            [BIN / "hypersdkd", "--config", base / "hypersdkd.yaml"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    keep_it = False
    try:
        wait_until_ready(daemon, url, log)
        yield daemon
        keep_it = keep
    finally:
        if not keep_it:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def convert(base: Path, url: str) -> None:
    source = base / "exports/web01.vmdk"
    hyperctl = (BIN / "hyperctl", "--url", url)
    say("A manifest for it, written by looking at the disk")
    show(*hyperctl, "manifest", "generate", source, base)
    manifest = base / "web01-manifest.json"
    say("Submitted, and followed to its end")
    show(*hyperctl, "manifest", "submit", "--wait", "-file", manifest)
    say("What the queue says")
    show(*hyperctl, "workflow", "list")
    (report,) = (base / "queue/processed").glob("*/*.report.json")
    say(f"Its report: {report}")
    print(report.read_text())
    (output,) = json.loads(report.read_text())["artifacts"]["outputs"]
    say("The result, and that it holds what the source holds")
    show("qemu-img", "info", output)
    show("qemu-img", "compare", "-f", "raw", "-F", "qcow2", source.with_suffix(".source.raw"), output)


def main() -> int:
    arguments = argparse.ArgumentParser(prog="script/demo", description=__doc__)
    arguments.add_argument("--keep", action="store_true", help="leave the daemon running and the files in place")
    keep = arguments.parse_args().keep
    begin = time.monotonic()
    base = Path(tempfile.mkdtemp(prefix="hypersdkd-demo-"))
    url = f"http://127.0.0.1:{free_port()}"
    (base / "exports").mkdir()
    (base / "hypersdkd.yaml").write_text(CONFIGURATION.format(base=base, port=url.rpartition(":")[2]))
    try:
        say(f"A small Linux as a streamOptimized VMDK, below {base}")
        build_vmdk(base / "exports/web01.vmdk", size_mib=1024, data_mib=192)
        show("qemu-img", "info", base / "exports/web01.vmdk")
        say(f"The daemon, on a queue of its own, at {url}")
        with running_daemon(base, url, keep=keep) as daemon:
            convert(base, url)
            say("The API")
            show("curl", "-s", f"{url}/api/workflow/status") if shutil.which("curl") else None
            print(f"\nMore of it: {url}/api/workflow/jobs?status=all, and docs/api.md.")
            if keep:
                print(f"The daemon goes on. End it: kill {daemon.pid}; then remove {base}")
    finally:
        if not keep:
            shutil.rmtree(base)
    if not keep:
        print("script/demo --keep leaves it running, to be looked at.")
    say(f"Done in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"demo: {shlex.join(str(word) for word in error.cmd)} failed with exit status {error.returncode}")
