"""The one place where a problem becomes an exit status."""

from __future__ import annotations

from typing import Final

#: All is well.
FINE: Final = 0
#: Invalid, failed, unknown or not possible.
FAILED: Final = 1
#: The command line cannot be understood.
USAGE: Final = 2
#: No daemon answers, or none that can be trusted, and the command needs one.
UNREACHABLE: Final = 3
#: Ended by Ctrl-C: 128 + SIGINT, as shells report it.
INTERRUPTED: Final = 130
#: The reader of the output went away: 128 + SIGPIPE, as shells report it.
PIPE_CLOSED: Final = 141

_BY_CODE: Final = {"usage": USAGE, "daemon-unreachable": UNREACHABLE, "daemon-untrusted": UNREACHABLE}


def exit_status(code: str) -> int:
    """The exit status of a problem's ``code``."""
    return _BY_CODE.get(code, FAILED)
