"""The parts of the engine that tell of a queue and let manifests in; nothing here works a job."""

from __future__ import annotations

from dataclasses import dataclass

from hypersdkd.engine.announcer import Announcer
from hypersdkd.engine.claims import ClaimStore
from hypersdkd.engine.config_in_force import ConfigInForce
from hypersdkd.engine.door import Door
from hypersdkd.engine.hook_calls import HookCalls
from hypersdkd.engine.index import Index
from hypersdkd.engine.intake import Intake
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.plan import Places
from hypersdkd.engine.queries import Queries
from hypersdkd.engine.readiness import Readiness


@dataclass(frozen=True, slots=True)
class QueueParts:
    """What the services of one queue speak to. ``claims`` are only read here."""

    config: ConfigInForce
    mode: str
    mode_reason: str
    layout: QueueLayout
    claims: ClaimStore
    places: Places
    index: Index
    announcer: Announcer
    queries: Queries
    readiness: Readiness
    intake: Intake
    calls: HookCalls
    door: Door
