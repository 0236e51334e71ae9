"""Converts N guests while the daemon and its workers are killed again and again; run it by script/soak."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.system.crash import storm


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/soak", description=__doc__)
    parser.add_argument("manifests", type=int, metavar="N", help="how many manifests")
    parser.add_argument("--kills", type=int, metavar="K", help="how many kills at random moments; N / 10 without it")
    parser.add_argument("--seed", type=int, help="to repeat a run; chosen at random without it")
    arguments = parser.parse_args()
    kills = max(1, arguments.manifests // 10) if arguments.kills is None else arguments.kills
    seed = random.randrange(1 << 31) if arguments.seed is None else arguments.seed
    print(f"soak: {arguments.manifests} manifests, {kills} kills, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="hypersdkd-soak-") as root:
        outcome = storm(Path(root), arguments.manifests, kills, seed, lambda text: print(text, flush=True))
    if outcome.clean:
        print(f"soak: nothing lost, nothing twice, nothing half; {outcome.seconds:.0f} s")
        return 0
    print(f"soak: {outcome}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
