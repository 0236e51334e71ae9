"""Converts N guests while the daemon and its workers are killed again and again; run it by script/soak."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.system.crash import storm


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/soak", description=__doc__)
    parser.add_argument("manifests", type=int, metavar="N", help="how many manifests")
    parser.add_argument("--kills", type=int, metavar="K", help="how many kills at random moments; N / 10 without it")
    arguments = parser.parse_args()
    kills = max(1, arguments.manifests // 10) if arguments.kills is None else arguments.kills
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hypersdkd-soak-") as base:
        storm(Path(base), arguments.manifests, kills)
    print(
        f"soak: {arguments.manifests} manifests, {kills} kills, nothing lost, nothing twice, nothing half: "
        f"{time.monotonic() - begin:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
