"""``python -P -m hypersdkd.worker GUEST_DIR``: one guest, one process, which confines itself to that guest's files.

Without ``-P`` Python would look for modules in the guest's directory first.

Exit status: 0 finished, 1 failed (the journal says how), 75 another worker holds the guest.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from pathlib import Path
from typing import Final

from hypersdkd.engine.guest_files import LOCK, MARKER, STAMP, WorkOrder
from hypersdkd.engine.journal import JournalWriter, read_journal
from hypersdkd.engine.narrowing import narrow
from hypersdkd.engine.pipeline import Pipeline
from hypersdkd.engine.plugins import Plugins
from hypersdkd.host.files import try_lock
from hypersdkd.host.sessions import write_stamp
from hypersdkd.model.report import fold

#: ``EX_TEMPFAIL`` of sysexits.h: try again later.
BUSY: Final = 75


def main(arguments: list[str] | None = None) -> int:
    """Run the worker; see the module for the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        sys.stderr.write("usage: python -m hypersdkd.worker GUEST_DIR\n")
        return 2
    directory = Path(given[0])
    with contextlib.suppress(PermissionError):  # refused where it leads a group already: then it is one
        os.setsid()
    os.environ[MARKER] = str(directory)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a disk may be thousands of files, each opened twice
    lock = try_lock(directory / LOCK)
    if lock is None:
        sys.stderr.write(f"{directory}: another worker holds this guest\n")
        return BUSY
    write_stamp(directory / STAMP)
    if fold(read_journal(directory)).state is not None:
        return 0  # a worker that was started twice by a daemon killed in between: the guest has ended
    order = WorkOrder.read(directory)
    directories, names = [Path(path) for path in order.plugin_directories], frozenset(order.plugins)
    plugins = Plugins.load(directories, only=names, settings=order.plugin_settings)
    with JournalWriter(directory, order.guest.name) as journal:
        finished = Pipeline(directory, order, plugins, journal, lambda: narrow(directory, order)).run()
    return 0 if finished else 1


if __name__ == "__main__":
    raise SystemExit(main())
