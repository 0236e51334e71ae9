"""The completions as they are installed, in the shells themselves: what is typed, Tab, and what then stands there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).parents[2]

#: The kill of what is typed, in the emacs mode of bash and zsh.
CLEAR = "\x15"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("completions")
    environment = {**os.environ, "PYTHON": str(ROOT / ".venv/bin/python")}
    subprocess.run([ROOT / "script/completions", directory], env=environment, check=True, timeout=60)
    return directory


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """A user with three files and no settings."""
    for name in ("disk.vmdk", "web 01.json", "x$(touch pwned).json"):
        (tmp_path / name).touch()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("HYPERSDKD_")},
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
    }


def start(program: list[str], settings: str, environment: Mapping[str, str], directory: Path) -> pexpect.spawn:
    child = pexpect.spawn(
        program[0],
        program[1:],
        env=dict(environment),
        cwd=str(directory),
        encoding="utf-8",
        timeout=20,
        dimensions=(40, 200),
    )
    # Put together, so that the echo of this line is not taken for the prompt.
    child.sendline(f"{settings}; PS1='rea''dy> '")
    child.expect_exact("ready> ")
    return child


@pytest.fixture
def bash(scripts: Path, environment: Mapping[str, str], tmp_path: Path) -> Iterator[pexpect.spawn]:
    settings = f"source {scripts}/bash/hyperctl; source {scripts}/bash/hypersdkd; bind 'set enable-bracketed-paste off'"
    child = start(["bash", "--norc", "--noprofile"], settings, environment, tmp_path)
    yield child
    child.close(force=True)


@pytest.fixture
def zsh(scripts: Path, environment: Mapping[str, str], tmp_path: Path) -> Iterator[pexpect.spawn]:
    settings = f"fpath=({scripts}/zsh $fpath); autoload -U compinit; compinit -D; bindkey -e; unset zle_bracketed_paste"
    child = start(["zsh", "-f"], settings, environment, tmp_path)
    yield child
    child.close(force=True)


TYPED = [
    ("hyperctl wor", "hyperctl workflow "),
    ("hyperctl workflow list --js", "hyperctl workflow list --json "),
    ("hyperctl manifest submit w", r"hyperctl manifest submit web\ 01.json "),
    ("hyperctl manifest submit x", r"hyperctl manifest submit x\$\(touch\ pwned\).json "),
    ("hypersdkd --ch", "hypersdkd --check-config "),
    ("hypersdkd --config d", "hypersdkd --config disk.vmdk "),
    ("hypersdkd --make-token re", "hypersdkd --make-token read "),
]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_what_is_typed_is_completed(shell: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    child = request.getfixturevalue(shell)
    for typed, completed in TYPED:
        child.send(f"{typed}\t")
        child.expect_exact(completed.rstrip() if shell == "zsh" else completed)
        child.send(CLEAR)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("program", "settings"),
    [
        (["bash", "--norc", "--noprofile"], "source <(hyperctl completion bash)"),
        (["zsh", "-f"], "autoload -U compinit; compinit -D; source <(hyperctl completion zsh)"),
    ],
    ids=["bash", "zsh"],
)
def test_without_a_package_by_a_line_in_the_settings(
    program: list[str], settings: str, environment: Mapping[str, str], tmp_path: Path
) -> None:
    child = start(program, settings, environment, tmp_path)
    child.send("hyperctl plug\t")
    child.expect_exact("hyperctl plugins")
    child.close(force=True)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_what_is_not_clear_is_listed(shell: str, request: pytest.FixtureRequest) -> None:
    child = request.getfixturevalue(shell)
    child.send("hyperctl workflow list --status=p\t" + ("\t" if shell == "bash" else ""))
    child.expect(r"(?s)pending.*processing|processing.*pending")


def test_zsh_says_what_each_is(zsh: pexpect.spawn) -> None:
    zsh.send("hyperctl job \t")
    zsh.expect(r"report +-- its report, as JSON")


def fish(line: str, source: str, environment: Mapping[str, str], directory: Path) -> dict[str, str]:
    """What fish would offer, and what it says of it."""
    told = subprocess.run(
        ["fish", "--no-config", "-c", f"{source}; complete -C '{line}'"],
        env=dict(environment),
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stderr == ""
    return dict(tuple(row.partition("\t")[::2]) for row in told.stdout.splitlines())


def test_fish(scripts: Path, environment: Mapping[str, str], tmp_path: Path) -> None:
    source = f"source {scripts}/fish/hyperctl.fish; source {scripts}/fish/hypersdkd.fish"

    def offered(line: str) -> dict[str, str]:
        return fish(line, source, environment, tmp_path)

    assert offered("hyperctl wor") == {"workflow": "the daemon and its queue"}
    assert offered("hyperctl manifest submit w") == {"web 01.json": ""}
    assert offered("hypersdkd --ch") == {"--check-config": "check the configuration and exit"}
    assert set(offered("hypersdkd --make-token ")) == {"read", "operate"}
    assert "disk.vmdk" in offered("hypersdkd --config d")
    assert not (tmp_path / "pwned").exists()


def test_fish_by_a_line_in_the_settings(environment: Mapping[str, str], tmp_path: Path) -> None:
    offered = fish("hyperctl completion f", "hyperctl completion fish | source", environment, tmp_path)
    assert set(offered) == {"fish"}
