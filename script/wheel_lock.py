"""Writes packaging/debian/wheels.txt: what the Debian package brings along from elsewhere, pinned and with hashes.

Run by ``script/package --lock`` when setup.cfg asks for something else, or to take in newer versions.
"""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DEBIAN = ROOT / "packaging" / "debian"

#: Required by pbr alone, which calls it only to build packages.
UNUSED = {"setuptools"}

#: These come as source alone, of pure Python.
SOURCES = "sdnotify"

HEAD = """\
# Made by script/package --lock: what setup.cfg asks for besides wheels-from-debian.txt, for Python 3.11 on amd64.
"""


def requirements() -> list[str]:
    """What setup.cfg requires."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup["options"]["install_requires"].split()


def from_debian() -> set[str]:
    """Names, in lower case, of what Debian's packages bring."""
    lines = (DEBIAN / "wheels-from-debian.txt").read_text().splitlines()
    return {line.partition("==")[0].lower() for line in lines if line and not line.startswith("#")}


def main() -> int:
    """Resolve and write the file."""
    argv = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--quiet"]
    argv += ["--only-binary", ":all:", "--no-binary", SOURCES, "--report", "-"]
    argv += ["--constraint", str(DEBIAN / "wheels-from-debian.txt"), *requirements()]
    report = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    lines = []
    for found in report["install"]:
        name, version = found["metadata"]["name"], found["metadata"]["version"]
        if name.lower() not in from_debian() | UNUSED:
            digest = found["download_info"]["archive_info"]["hash"].replace("=", ":", 1)
            lines.append(f"{name}=={version} --hash={digest}\n")
    (DEBIAN / "wheels.txt").write_text(HEAD + "".join(sorted(lines, key=str.lower)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
