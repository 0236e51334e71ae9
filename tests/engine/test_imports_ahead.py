"""A worker imports nothing of ours, or of what comes with it, once it works: it may have been replaced by then."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hypersdkd.engine.imports_ahead import LATER
from tests.images import make
from tests.test_worker import guest

ROOT = Path(__file__).parents[2]

#: Runs a worker, and prints what it imported after it had imported ahead; modules of the standard library are Debian's.
WATCHED = """
import sys
from hypersdkd import worker
from hypersdkd.engine import pipeline

ahead, seen = pipeline.import_ahead, set()

def watched():
    ahead()
    seen.update(sys.modules)

pipeline.import_ahead = watched
status = worker.main(sys.argv[1:])
late = [name for name in sys.modules if name not in seen and name.partition(".")[0] not in sys.stdlib_module_names]
print(sorted(late), len(seen) > 100, status)
"""


def imported_in_functions(path: Path) -> set[str]:
    """Modules that a file imports within functions."""
    found = set()
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom):
                    names = {f"{node.module}.{alias.name}" for alias in node.names}
                    found |= names & set(LATER) or {str(node.module)}
                elif isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
    return found


def test_all_that_is_imported_within_functions_is_imported_ahead() -> None:
    files = [
        path for floor in ("model", "spec", "host", "engine") for path in (ROOT / "hypersdkd" / floor).glob("*.py")
    ]
    files += (ROOT / "plugins").glob("*.py")
    assert set[str]().union(*map(imported_in_functions, files)) == set(LATER)


@pytest.mark.parametrize(("name", "options"), [("vmdk", ["subformat=streamOptimized"]), ("qcow2", []), ("vdi", [])])
def test_a_worker_imports_nothing_later(tmp_path: Path, name: str, options: list[str]) -> None:
    directory = guest(tmp_path, make(tmp_path / f"disk.{name}", *options, size=2 << 20), name)
    argv = [sys.executable, "-P", "-c", WATCHED, str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[] True 0\n", done.stderr
    assert os.listdir(tmp_path / "out") == ["web01.qcow2"]
