"""``python -P -m hypersdkd.worker_unit``: what ``hypersdkd-worker@.service`` runs; its input is the connection.

It finds out which guest the daemon handed over and becomes the worker of that. With ``ended``, as the unit's
``ExecStopPost=``, it leaves beside the guest how the unit ended.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Final

from hypersdkd.host.sessions import ProcessStamp
from hypersdkd.host.worker_unit import Handover, UnitEnd, answer
from hypersdkd.model.problem import one_line

#: ``EX_DATAERR`` of sysexits.h.
_NO_GUEST: Final = 65


def main(arguments: list[str] | None = None) -> int:
    """Run the worker of the guest that was handed over, or ``ended``. The worker's exit status, or 65 for no guest."""
    given = sys.argv[1:] if arguments is None else arguments
    with socket.socket(fileno=os.dup(0)) as connection:
        try:
            guest = Handover.peek(connection)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"<3>no guest was handed over: {error}\n")
            return _NO_GUEST
        if guest is None:
            return 0  # the daemon ended before it said which: the next one hands it over again
        if given == ["ended"]:
            return _tell_of_the_end(guest)
        sys.stderr.write(one_line(f"<6>job {guest.job_id}, guest {guest.vm}: begins in {guest.directory}") + "\n")
        stamp = ProcessStamp.of(os.getpid())
        if stamp is not None:
            answer(connection, stamp)
    _take_the_log(guest)
    # Not before: the module needs 100 ms, in which a daemon would not know whether its guest was taken.
    from hypersdkd import worker  # noqa: PLC0415

    return worker.main([str(guest.directory)])


def _take_the_log(guest: Handover) -> None:
    """What the worker says goes to its guest's log; the connection is not its business any more."""
    log = os.open(guest.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for old, new in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    os.close(log)
    os.close(nothing)
    os.chdir(guest.directory)


def _tell_of_the_end(guest: Handover) -> int:
    end = UnitEnd.of(os.environ)
    level = 6 if end.result in {"success", "exit-code"} else 4
    said = f"<{level}>job {guest.job_id}, guest {guest.vm}: ended, {end.result} {end.code} {end.status}"
    sys.stderr.write(one_line(said) + "\n")
    end.leave(guest.directory)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
