"""Takes a small real VMDK through a queue of its own, from manifest to checked qcow2."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from guest_disk import build_vmdk
from own_daemon import BIN, NotStartedError, OwnDaemon, own_daemon


def say(text: str) -> None:
    print(f"\n\033[1m==> {text}\033[0m" if sys.stdout.isatty() else f"\n==> {text}", flush=True)


def show(*argv: str | Path) -> None:
    """Run a command in the open, as a reader would type it."""
    words = [str(word) for word in argv]
    print("$ " + shlex.join([Path(words[0]).name, *words[1:]]), flush=True)
    subprocess.run(words, check=True)


def convert(daemon: OwnDaemon, source: Path) -> None:
    hyperctl = (BIN / "hyperctl", "--url", daemon.url)
    say("A manifest for it, written by looking at the disk")
    show(*hyperctl, "manifest", "generate", source, daemon.base)
    say("Submitted, and followed to its end")
    show(*hyperctl, "manifest", "submit", "--wait", "-file", daemon.base / "web01-manifest.json")
    say("What the queue says")
    show(*hyperctl, "workflow", "list")
    (report,) = (daemon.queue / "processed").glob("*/*.report.json")
    say(f"Its report: {report}")
    print(report.read_text())
    (output,) = json.loads(report.read_text())["artifacts"]["outputs"]
    say("What FIX changed in the guest")
    for change in json.loads(report.read_text())["vms"][0]["changes"]:
        print(f"{change['path']}: {change['before']} -> {change['after']}")
    say("The result, and that the source is as it was")
    show("qemu-img", "info", output)
    show("qemu-img", "check", output)
    show("qemu-img", "compare", "-f", "raw", "-F", "vmdk", source.with_suffix(".source.raw"), source)


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the daemon running and the files in place")
    keep: bool = parser.parse_args().keep
    begin = time.monotonic()
    base = Path(tempfile.mkdtemp(prefix="hypersdkd-demo-"))
    done = False
    try:
        (base / "exports").mkdir()
        source = base / "exports/web01.vmdk"
        say(f"A small Linux as a streamOptimized VMDK, below {base}")
        build_vmdk(source, size_mib=4096, data_mib=512)
        show("qemu-img", "info", source)
        with own_daemon(base, keep=keep) as daemon:
            say(f"The daemon answers at {daemon.url}")
            convert(daemon, source)
            say("How the daemon is; the API, which docs/api.md describes, says the same")
            show(BIN / "hyperctl", "--url", daemon.url, "workflow", "status")
            print(f"API: curl {daemon.url}/api/workflow/status")
            if keep:
                print(f"\nIt goes on: open {daemon.url}/web/dashboard/")
                print(f"End it by: kill {daemon.process.pid}; rm -r {base}")
        done = True
    finally:
        if not (keep and done):
            shutil.rmtree(base)
    if not keep:
        print("\nscript/demo --keep leaves it running, to be looked at.")
    say(f"Done in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"demo: {shlex.join(str(word) for word in error.cmd)}: exit status {error.returncode}")
    except NotStartedError as error:
        sys.exit(f"demo: the daemon did not start:\n{error}")
