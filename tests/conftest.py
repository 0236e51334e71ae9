"""What every test is held to: nothing of it is left when it has ended.

No open descriptor, no child process, no unfinished task of its loop. Helpers for tests lie beside the tests
that need them; those here are for all (``images``, ``problems``, ``privileges``).
"""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import gc
import inspect
import os
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hypothesis import settings

#: Where libguestfs' appliance is kept, once for all queues of all tests: making it takes seconds and 700 MB.
APPLIANCE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hypersdkd-guests"
APPLIANCE.mkdir(parents=True, exist_ok=True)
os.environ.setdefault("LIBGUESTFS_CACHEDIR", str(APPLIANCE))

# A machine that does other things too makes single examples slow; that is no failure.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


def open_descriptors() -> dict[int, str]:
    """Each open descriptor and what it is of."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def has_children() -> bool:
    """Whether this process has a child, running or not yet waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Descriptors and child processes after each test are those of before."""
    before, had_children = open_descriptors(), has_children()
    yield
    if open_descriptors() != before:
        gc.collect()  # what is only waiting to be collected is not left open
    after = open_descriptors()
    assert {fd: name for fd, name in after.items() if before.get(fd) != name} == {}, "open descriptors are left"
    assert had_children or not has_children(), "a child process is left"


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """Every task that the test began has ended; for tests that are coroutines."""
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        if getattr(task.get_coro(), "__qualname__", "") == "RequestHandler.start":
            task.cancel()  # aiohttp lingers for seconds on a request whose sender is gone
    if left:  # a cancelled task needs a moment for its end
        _ended, left = await asyncio.wait(left, timeout=2)
    assert not left, "tasks are left"


def pytest_configure() -> None:
    """Say so when a plugin was added and the environment has not been made anew since: many tests would fail of it."""
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parent.parent / "setup.cfg")
    wanted = {line.partition(" = ")[0] for line in setup["options.entry_points"]["hypersdkd"].split("\n") if line}
    missing = wanted - {point.name for point in entry_points(group="hypersdkd")}
    if missing:
        raise pytest.UsageError(f"not installed yet: {', '.join(sorted(missing))}; run script/setup")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hold each coroutine to :func:`no_task_is_left`; before its other fixtures, so that it is checked after them."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.fixturenames.insert(0, "no_task_is_left")
