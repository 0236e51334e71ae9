"""What lies where in a queue, and what must always be true of it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from hypersdkd.engine.claims import ClaimState
from hypersdkd.engine.group_moves import COMPANIONS
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.spool import Spool
from hypersdkd.model.job import SIDECAR_SUFFIXES, JobState


def spool_of(layout: QueueLayout) -> Spool:
    """A spool as a daemon makes it: the names of ended jobs are known."""
    return Spool(layout, "manifest", lambda name: any(os.path.lexists(day / name) for day in layout.dated()))


def contents(layout: QueueLayout) -> Counter[bytes]:
    """How often each file of a job is there, its companions included, wherever in the queue."""
    places = [layout.drop, layout.processing, *layout.dated(), *(companions(layout)), *layout.jobs.glob("*/companions")]
    found = [path for place in places for path in place.iterdir() if not path.name.endswith(SIDECAR_SUFFIXES)]
    found += layout.jobs.glob("*/job")
    return Counter(path.read_bytes() for path in found if path.is_file())


def companions(layout: QueueLayout) -> list[Path]:
    """The directories of ended jobs' companions."""
    return [path for day in layout.dated() for path in day.iterdir() if path.name.endswith(COMPANIONS)]


def recover(layout: QueueLayout) -> None:
    """What a daemon does at its start; jobs that were about to end, end."""
    spool = spool_of(layout)
    layout.clear_scratch()
    for claim in spool.claims.all():
        rested = spool.recover(claim)
        if rested is not None and rested.state is ClaimState.FINISHING:
            spool.complete_finish(rested, b"again")


def check_at_rest(layout: QueueLayout) -> None:
    """After a recovery: every record beside its file, every file in ``processing/`` claimed, nothing between."""
    for day in layout.dated():
        names = {path.name for path in day.iterdir() if not path.name.endswith(COMPANIONS)}
        jobs = {name for name in names if not name.endswith(SIDECAR_SUFFIXES)}
        suffix = ".report.json" if day.parent.name == "processed" else ".error.json"
        assert names == jobs | {name + suffix for name in jobs}, day
    assert not [*layout.jobs.glob("*/job"), *layout.jobs.glob("*/companions")]
    assert all(list(directory.iterdir()) for directory in companions(layout)), "an empty directory"
    claims = list(spool_of(layout).claims.all())
    assert len(claims) == len(list(layout.jobs.iterdir())), "a directory without a claim"
    where = {ClaimState.ACTIVE: layout.processing, ClaimState.PENDING: layout.drop}
    for claim in claims:
        assert claim.state in {*where, ClaimState.FINISHED}
        if claim.state is ClaimState.ACTIVE:
            assert (layout.processing / claim.file).exists()
    active = {name for claim in claims if claim.state is ClaimState.ACTIVE for name in (claim.file, *claim.companions)}
    assert {path.name for path in layout.processing.iterdir()} == active


def end_all(layout: QueueLayout) -> None:
    """Let every active job end."""
    spool = spool_of(layout)
    for claim in spool.claims.all():
        if claim.state is ClaimState.ACTIVE:
            spool.finish(claim, JobState.COMPLETED, b"done")


def make_queue(base: Path) -> QueueLayout:
    """A queue without anything in it."""
    layout = QueueLayout(base)
    layout.prepare()
    return layout
