"""Run something in a process apart, which a test may confine for good."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

Probe = Callable[[], object]


def apart(confine: Callable[[], object], **probes: Probe) -> dict[str, str]:
    """What each probe came to in a fork of this process that called ``confine`` first: ``ok``, or the error's name."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            confine()
            for name, probe in probes.items():
                os.write(writing, f"{name}={_tried(probe)}\n".encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as file:
        lines = file.read().splitlines()
    assert os.waitpid(child, 0)[1] == 0
    return dict(line.split("=", 1) for line in lines)


def _tried(probe: Probe) -> str:
    try:
        probe()
    except BaseException as error:
        return type(error).__name__
    return "ok"
