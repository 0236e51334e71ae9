"""Makes the shells' completions: hyperctl is asked each time; hypersdkd, which starts slowly, is written out."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from hypersdkd import daemon
from hypersdkd.cli import completion
from hypersdkd.model.role import Role

#: What ROLE in the help stands for.
ROLES = f"{Role.READ} {Role.OPERATE}"


def options() -> Iterator[tuple[str, argparse.Action, tuple[str, ...]]]:
    """Each option of hypersdkd by its long name, and what its values are called."""
    for action in daemon.build_parser()._actions:
        values = action.metavar if isinstance(action.metavar, tuple) else (action.metavar,) if action.metavar else ()
        yield action.option_strings[-1], action, values


def bash() -> str:
    """For bash-completion's directory; readline completes files where this has nothing to offer."""
    names = " ".join(name for name, _action, _values in options())
    roles = "|".join(name for name, _action, values in options() if values[:1] == ("ROLE",))
    return f"""\
_hypersdkd() {{
    if [[ $3 == @({roles}) ]]; then
        mapfile -t COMPREPLY < <(compgen -W '{ROLES}' -- "$2")
    elif [[ $2 == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '{names}' -- "$2")
    fi
}}
complete -o default -F _hypersdkd hypersdkd
"""


def zsh() -> str:
    """For a directory of fpath."""
    kinds = {"FILE": "_files", "ROLE": f"({ROLES})"}
    words = []
    for name, action, values in options():
        told = (action.help or "").replace("[", r"\[").replace("]", r"\]").replace(":", r"\:")
        words.append(shlex.quote(f"{name}[{told}]" + "".join(f":{value}:{kinds.get(value, ' ')}" for value in values)))
    lines = " \\\n    ".join(words)
    return f"#compdef hypersdkd\n_arguments \\\n    {lines}\n"


def fish() -> str:
    """For fish's directory of completions."""
    lines = ["complete -c hypersdkd -f"]
    for name, action, values in options():
        takes = {(): "", ("FILE",): " -r -F"}.get(values, f" -x -a '{ROLES}'")
        lines.append(f"complete -c hypersdkd -l {name.lstrip('-')}{takes} -d {shlex.quote(action.help or '')}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write them below the directory that is named, by the names that the shells look for."""
    directory = Path(sys.argv[1])
    for path, script in {
        "bash/hyperctl": completion.script("bash"),
        "zsh/_hyperctl": completion.script("zsh"),
        "fish/hyperctl.fish": completion.script("fish"),
        "bash/hypersdkd": bash(),
        "zsh/_hypersdkd": zsh(),
        "fish/hypersdkd.fish": fish(),
    }.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(script)


if __name__ == "__main__":
    main()
