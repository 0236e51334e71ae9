"""``python -m build`` in a clean copy of the tree: what is in the sdist, what in the wheel that is made of it, and that
the wheel runs where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import hypersdkd
from tests.packaging.conftest import NEEDED, ROOT, tree

#: What lies in the repository and has no place in an sdist.
NOT_IN_SDIST = {".gitignore", "LEAD-NOTES.md"}


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return built / f"hypersdkd-{hypersdkd.__version__}-py3-none-any.whl"


def test_the_sdist_is_the_tree(built: Path) -> None:
    top = f"hypersdkd-{hypersdkd.__version__}"
    with tarfile.open(built / f"{top}.tar.gz") as archive:
        inside = {member.name.removeprefix(f"{top}/"): member for member in archive if member.isfile()}
    made = {name for name in inside if name == "PKG-INFO" or name.startswith("hypersdkd.egg-info/")}
    assert inside.keys() - made == {name for name in tree() - NOT_IN_SDIST if not name.startswith(".ci/")}
    assert inside["script/man"].mode & 0o111


def test_the_wheel_has_every_module_and_every_file_of_the_page(wheel: Path) -> None:
    """setup.cfg names packages one by one: one that is forgotten is found here."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    packages = {"hypersdkd/": "hypersdkd/", "plugins/": "hypersdkd_plugins/"}
    wanted = {
        target + name.removeprefix(source)
        for name in tree()
        for source, target in packages.items()
        if name.startswith(source)
    }
    assert inside == wanted
    assert {"hypersdkd/py.typed", "hypersdkd_plugins/py.typed", "hypersdkd/web/static/index.html"} <= inside


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel; what it needs is this environment's."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, system_site_packages=True, symlinks=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "-q", "--python", environment, "install", "--no-deps", "--no-index", wheel],
        env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        check=True,
        timeout=120,
    )
    # A path in a .pth is searched last, and the .pth of the checkout in it are not read.
    (environment / NEEDED.relative_to(sys.prefix) / "needed.pth").write_text(f"{NEEDED}\n")
    return environment


def run(environment: Path, *words: str, where: Path) -> str:
    ended = subprocess.run(
        [environment / "bin" / words[0], *words[1:]],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), words
    return ended.stdout


def test_what_is_installed_runs(installed: Path, tmp_path: Path) -> None:
    config = tmp_path / "hypersdkd.yaml"
    config.write_text(f"mode: disk\nworkflow: {{base_dir: {tmp_path}/queue}}\nplugins: {{dirs: []}}\n")
    place = "import hypersdkd, hypersdkd_plugins as plugins; print(hypersdkd.__file__, plugins.__file__)"
    for path in run(installed, "python", "-c", place, where=tmp_path).split():
        assert Path(path).is_relative_to(installed)
    assert run(installed, "hyperctl", "--version", where=tmp_path) == f"hyperctl {hypersdkd.__version__}\n"
    assert "fine; disk mode" in run(installed, "hypersdkd", "--check-config", "--config", str(config), where=tmp_path)


def test_every_entry_point_of_what_is_installed_loads(installed: Path, tmp_path: Path) -> None:
    program = (
        "from importlib.metadata import distribution\n"
        "for point in distribution('hypersdkd').entry_points:\n"
        "    print(point.group, point.name, point.load().__name__)\n"
    )
    told = run(installed, "python", "-c", program, where=tmp_path).splitlines()
    plugins = {row.split()[1] for row in told if row.startswith("hypersdkd ")}
    assert plugins == {path.stem for path in (ROOT / "plugins").glob("*.py")} - {"__init__"}
    assert {row for row in told if row.startswith("console_scripts ")} == {
        "console_scripts hyperctl main",
        "console_scripts hypersdkd main",
    }
