"""packaging/rpm/hypersdkd.spec: right for rpmlint, true to setup.cfg, and built for real by rpmbuild.

On Debian, so with the few macros of Fedora's that it uses (``macros``), and without the Python packages that a real
build brings along: pip would have to fetch them.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import hypersdkd
from tests.packaging.conftest import NEEDED, ROOT

SPEC = ROOT / "packaging/rpm/hypersdkd.spec"
MACROS = Path(__file__).with_name("macros")
LINT = ["rpmlint", "--config", ROOT / "packaging/rpm/rpmlint.toml"]

#: Where the program lies.
PRIVATE = "/usr/lib/hypersdkd"

UNITS = sorted(
    path.name for path in (ROOT / "systemd").glob("hypersdkd*") if path.suffix in (".service", ".socket", ".slice")
)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Debian's rpm makes a database in the home directory, whatever it is asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


def run(*words: str | Path, environment: dict[str, str] | None = None, where: Path = ROOT) -> str:
    ended = subprocess.run(
        words,
        cwd=where,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def requirements() -> dict[str, str]:
    """What setup.cfg asks for, by the name that distributions use, and from which version on."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    pairs = (line.split(">=") for line in setup["options"]["install_requires"].split())
    return {re.sub(r"[._]", "-", name): version for name, version in pairs}


def version(text: str) -> tuple[int, ...]:
    """With zeros at its end left out: 1.0 is 1."""
    numbers = [int(part) for part in text.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def test_the_spec_is_of_this_version_and_asks_for_what_setup_cfg_does() -> None:
    text = SPEC.read_text()
    assert f"\nVersion:        {hypersdkd.__version__}\n" in text
    assert f" - {hypersdkd.__version__}-1\n" in text.partition("%changelog")[2]
    asked = dict(re.findall(r"^Requires: +python%\{python3_pkgversion\}dist\((\S+)\) >= (\S+)$", text, re.MULTILINE))
    wanted = requirements()
    assert {name: version(least) for name, least in asked.items()} == {
        name: version(least) for name, least in wanted.items()
    }
    assert set(re.findall(r"^Provides: +bundled\(python3dist\((\S+)\)\)$", text, re.MULTILINE)) == wanted.keys()


def test_rpmlint_has_nothing_to_say_of_the_spec() -> None:
    assert " 0 errors, 0 warnings" in run(*LINT, SPEC)


@pytest.mark.parametrize(
    "chosen", [(), ("--without", "bundled"), ("-D", "rhel 9"), ("-D", "rhel 10"), ("-D", "fedora 42")]
)
def test_the_spec_is_understood_for_each_distribution(chosen: tuple[str, ...]) -> None:
    """Nothing is left that rpm could not make sense of."""
    text = run("rpmspec", "--load", MACROS, *chosen, "-P", SPEC)
    assert "warning" not in text
    assert "error" not in text
    assert not re.search(r"%\{\w+\}", text)
    is_el9 = "rhel 9" in chosen
    assert ("Recommends:     python3-libguestfs" in text) != is_el9
    assert ("BuildRequires:  python3.11-devel" in text) == is_el9


@pytest.fixture(scope="module")
def package(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The RPM with no Python packages in it."""
    top = tmp_path_factory.mktemp("rpm")
    (top / "SOURCES").mkdir()
    name = f"hypersdkd-{hypersdkd.__version__}"
    shutil.copy(built / f"{name}.tar.gz", top / "SOURCES")
    (top / "SOURCES" / f"{name}-wheels.tar").touch()
    # Debian knows no RPMs that are installed, and has here what the build and its check need.
    run(
        *("rpmbuild", "-bb", "--quiet", "--nodeps", "--without", "bundled"),
        *("--load", MACROS, "-D", f"_topdir {top}", SPEC),
        environment={"PYTHONPATH": str(NEEDED)},
    )
    (made,) = (top / "RPMS").rglob("*.rpm")
    return made


@pytest.fixture(scope="module")
def root(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the package holds, unpacked."""
    directory = tmp_path_factory.mktemp("root")
    with subprocess.Popen(["rpm2cpio", package], stdout=subprocess.PIPE) as unpacking:
        subprocess.run(
            ["cpio", "-idm", "--quiet", "--no-absolute-filenames"], cwd=directory, stdin=unpacking.stdout, check=True
        )
    assert unpacking.returncode == 0
    return directory


def test_what_is_in_it(package: Path) -> None:
    files = set(run("rpm", "-qpl", package).splitlines())
    assert {f"/usr/lib/systemd/system/{name}" for name in UNITS} <= files
    assert {f"/usr/share/doc/hypersdkd/{path.relative_to(ROOT)}" for path in (ROOT / "docs").rglob("*")} <= files
    assert {
        f"/usr/share/man/man{name[-1]}/{name}" for name in ("hyperctl.1", "hypersdkd.8", "hypersdkd.yaml.5")
    } <= files
    assert {"/usr/bin/hypersdkd", "/usr/bin/hyperctl", "/usr/lib/sysusers.d/hypersdkd.conf"} <= files
    assert run("rpm", "-qpc", package) == "/etc/hypersdkd/hypersdkd.yaml\n"
    flags = run("rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags} %{FILEUSERNAME}\n]", package).splitlines()
    assert "/etc/hypersdkd/hypersdkd.yaml cn root" in flags  # c: configuration, n: not replaced
    assert {row.rpartition(" ")[2] for row in flags} == {"root"}


def test_rpmlint_has_nothing_to_say_of_it(package: Path) -> None:
    # Debian's rpmbuild does not compress man pages, and its rpmlint knows neither these nor SPDX's names.
    known = r"manpage-not-compressed|no-manual-page-for-binary|invalid-license"
    said = run(*LINT, package)
    assert "1 packages and 0 specfiles checked; 0 errors" in said
    assert [line for line in said.splitlines() if re.search(r": W: ", line) and not re.search(known, line)] == []


def test_the_units_start_what_is_there(root: Path) -> None:
    started = set()
    for path in (root / "usr/lib/systemd/system").glob("*.service"):
        assert "/opt/" not in path.read_text()
        started |= set(re.findall(r"^Exec\w+=(\S+)", path.read_text(), re.MULTILINE))
    assert started == {f"{PRIVATE}/bin/hypersdkd", f"{PRIVATE}/bin/python"}
    for program in started:
        assert os.access(root / program.removeprefix("/"), os.X_OK)
    assert (root / "usr/bin/hyperctl").resolve() == (root / "usr/lib/hypersdkd/bin/hyperctl").resolve()


def test_it_runs_and_knows_no_place_where_it_was_built(root: Path, package: Path, tmp_path: Path) -> None:
    python = root / PRIVATE.removeprefix("/") / "bin/python"
    for words, told in (
        (("-m", "hypersdkd", "--version"), f"hypersdkd {hypersdkd.__version__}\n"),
        (("-c", "from hypersdkd.cli.hyperctl import main; main(['--version'])"), f"hyperctl {hypersdkd.__version__}\n"),
    ):
        assert run(python, *words, environment={"PYTHONPATH": str(NEEDED)}, where=tmp_path) == told
    # -I: what this environment has is not looked at.
    where = run(python, "-I", "-c", "import hypersdkd; print(hypersdkd.__file__)", where=tmp_path)
    assert Path(where.strip()).is_relative_to(root)
    building = str(package.parents[2]).encode()
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert building not in path.read_bytes(), path
    for name in ("hypersdkd", "hyperctl"):
        assert (python.parent / name).read_text().startswith(f"#!{PRIVATE}/bin/python\n")


def test_bytecode_comes_along_for_where_it_is_installed(root: Path) -> None:
    sources = list((root / "usr/lib/hypersdkd/lib").rglob("hypersdkd*/**/*.py"))
    for source in sources:
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")
        assert str(root).encode() not in compiled.read_bytes()
    assert len(sources) > 200


def test_scriptlets_are_right_for_a_shell(package: Path, tmp_path: Path) -> None:
    """What runs at installation, upgrade and removal: understood by sh, and kind to running workers in an upgrade."""
    calls = tmp_path / "systemctl"
    calls.write_text('#!/bin/sh\necho "$*" >>"$CALLS"\n')
    calls.chmod(0o755)

    def scriptlet(tag: str, count: int) -> list[str]:
        told = tmp_path / "calls"
        told.write_text("")
        script = run("rpm", "-qp", "--qf", f"%{{{tag}}}", package).replace("-d /run/systemd/system", "-d /")
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(told)}
        run("sh", "-eu", "-c", script, "sh", str(count), environment=environment)
        return told.read_text().splitlines()

    assert scriptlet("PREIN", 1) == []
    assert scriptlet("POSTIN", 1) == ["--no-reload preset hypersdkd.service hypersdkd.socket hypersdkd-worker.socket"]
    assert scriptlet("PREIN", 2) == ["stop hypersdkd-worker.socket"]
    assert scriptlet("POSTIN", 2) == scriptlet("PREUN", 1) == []
    assert scriptlet("POSTUN", 1) == ["try-restart hypersdkd.service", "try-restart hypersdkd@*.service"]
    assert scriptlet("PREUN", 0) == [
        "--no-reload disable --now hypersdkd.service hypersdkd.socket hypersdkd-worker.socket",
        "stop hypersdkd@*.service hypersdkd@*.socket hypersdkd-worker@*.service",
    ]
    assert scriptlet("POSTUN", 0) == []
