"""What ``python -m build`` makes of a clean copy of the tree: once for all tests of what is made of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Where this environment has what hypersdkd needs, but for what the distribution's Python has.
NEEDED = Path(sys.prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def tree() -> set[str]:
    """The files of the repository, as they would be committed now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with sdist and wheel. Without network, by what is installed here."""
    clean = tmp_path_factory.mktemp("tree")
    for name in tree():
        (clean / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, clean / name)
    ended = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", clean / "dist"],
        cwd=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout
    return clean / "dist"
