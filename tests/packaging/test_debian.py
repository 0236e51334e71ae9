"""The Debian package as it is built; what it does on a machine is tests/systemd/test_package.py's."""

from __future__ import annotations

import subprocess

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hypersdkd import __version__
from tests.systemd.packages import ROOT, SOURCES, built


def test_lintian_has_nothing_to_say_against_it() -> None:
    uncompressed = "uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball"
    argv = ["lintian", "--fail-on", "error,warning,info", "--allow-root", "--suppress-tags", uncompressed, built()]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_lock_is_what_the_program_requires() -> None:
    """Each requirement of setup.cfg is met by a locked wheel, or by a package of Debian's that is depended on."""
    text = (ROOT / "setup.cfg").read_text().split("install_requires =\n")[1].split("\n\n")[0]
    required = [Requirement(line.strip()) for line in text.splitlines()]
    pinned = {}
    for name in ("wheels.txt", "wheels-from-debian.txt"):
        for line in (ROOT / "packaging/debian" / name).read_text().splitlines():
            if line and not line.startswith("#"):
                package, _, version = line.split()[0].partition("==")
                pinned[canonicalize_name(package)] = version
    for requirement in required:
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, requirement
        assert requirement.specifier.contains(version), (requirement, version)


def test_it_has_the_programs_version() -> None:
    first = (ROOT / "packaging/debian/changelog").read_text().splitlines()[0]
    assert first.startswith(f"hypersdkd ({__version__}) ")
    assert f"_{__version__}_" in (ROOT / "docs/install.md").read_text()


def test_its_sources_are_those_that_the_tests_know() -> None:
    """What the package is made of decides whether the tests build it anew."""
    text = (ROOT / "script/package").read_text().split("tar --create")[1].split("|")[0]
    words = [word for word in text.replace("\\\n", " ").split() if (ROOT / word).exists()]
    assert tuple(words) == SOURCES
