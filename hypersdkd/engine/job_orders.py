"""Work orders of a job: a directory and an order for each of its guests."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypersdkd.engine.claims import Claim
from hypersdkd.engine.guest_files import WorkOrder
from hypersdkd.engine.journal import JournalWriter
from hypersdkd.engine.plan import PlannedGuest, plan
from hypersdkd.engine.workshop import Workshop
from hypersdkd.host.companions import needed_beside
from hypersdkd.host.files import remove_tree
from hypersdkd.model.event import EventType
from hypersdkd.model.guest import DiskSource, Guest
from hypersdkd.model.job_config import sibling
from hypersdkd.model.replies import MANIFEST
from hypersdkd.model.stage import Stage


def write_orders(shop: Workshop, claim: Claim, guests: Sequence[Guest]) -> None:
    """Give each guest its directory and its order, those that are there already excepted. Blocks."""
    known = _known_orders(shop, claim)
    in_use = shop.outputs_in_use

    def busy(path: Path) -> bool:
        return in_use.setdefault(path, claim.id) != claim.id  # at once: other jobs are planned in other threads

    located = _located(shop, claim, guests) if claim.companions else guests
    located = [replace(guest, networks=shop.networks) for guest in located]
    for number, planned in enumerate(plan(claim.id, located, shop.places, busy), start=1):
        if known.pop(number, None) != planned.guest:
            _write_order(shop, claim, number, planned)
    for number in known:  # of a manifest that was changed before its retry
        remove_tree(guest_directory(shop, claim, number))


def _located(shop: Workshop, claim: Claim, guests: Sequence[Guest]) -> list[Guest]:
    """The guests with those of their sources that came along where they are now: beside the job's file."""
    here, companions = shop.spool.layout.processing, frozenset(claim.companions)

    def where(disk: DiskSource) -> DiskSource:
        name = sibling(disk.source_path)
        return replace(disk, source_path=str(here / name)) if name in companions else disk

    return [replace(guest, disks=tuple(map(where, guest.disks))) for guest in guests]


def _companions(shop: Workshop, claim: Claim, guest: Guest) -> tuple[str, ...]:
    """Those of the job's companions that this guest's sources need: of a list's disks each guest gets its own."""
    here, ours = shop.spool.layout.processing, frozenset(claim.companions)
    sources = [Path(disk.source_path) for disk in guest.disks]
    needed = [name for source in sources if source.parent == here for name in needed_beside(source)]
    return tuple(dict.fromkeys(name for name in needed if name in ours))


def _known_orders(shop: Workshop, claim: Claim) -> dict[int, Guest]:
    """Guests that are there already: after a kill while they were planned, or completed before a retry."""
    orders = {}
    for directory in shop.spool.claims.guest_directories(claim.id):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            orders[int(directory.name)] = WorkOrder.read(directory).guest
    return orders


def guest_directory(shop: Workshop, claim: Claim, number: int) -> Path:
    """The directory of a job's guest; the first has number 1."""
    return shop.spool.claims.directory(claim.id) / f"{number:05d}"


def _write_order(shop: Workshop, claim: Claim, number: int, planned: PlannedGuest) -> None:
    directory = guest_directory(shop, claim, number)
    if (directory / "guest.json").exists():  # another guest's, of a former run
        remove_tree(directory)
    directory.mkdir(mode=0o750, exist_ok=True)
    plugins = shop.worker_plugins
    roots = tuple(str(root) for root in shop.places.source_roots)
    queue = tuple(map(str, shop.places.queue))
    order = WorkOrder(
        job_id=claim.id,
        guest=planned.guest,
        source_roots=roots,
        plugin_directories=plugins.directories,
        plugins=plugins.names,
        queue=queue,
        companions=_companions(shop, claim, planned.guest),
        plugin_settings=plugins.settings,
        appliance=str(shop.spool.layout.appliance),
    )
    with JournalWriter(directory, planned.guest.name) as journal:
        journal.append(EventType.CLAIMED, "", {"job": claim.id})
        if planned.problem is not None:
            # only a manifest has the place that a plan's problem names
            problem = planned.problem if claim.taken_for == MANIFEST else planned.problem.at("")
            journal.append(EventType.FAILED, Stage.LOAD.value, {"problem": problem.as_dict()})
    order.write(directory)  # last: a guest without it is planned again
