"""The hooks. A plugin module implements those it wants with ``@hookimpl``; all are plain functions.

The first four are *calls*: each implementation is called by itself, off the event loop, with a time
limit, so that one that raises or blocks harms nobody but its own plugin's record. The others *declare*:
they are called when the plugin is loaded, once more at each reload, and return frozen declarations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pluggy

from hypersdkd.model.replies import QueueInspection, Receipt, Validation
from hypersdkd.spec.ports import DropDirectory, QueueView, StatusView
from hypersdkd.spec.system import Fixer, GuestCheck
from hypersdkd.spec.types import Endpoint, Executor, Loader, Step, Submission, Subscriber

PROJECT: Final = "hypersdkd"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """Every hook there is. ``docs/plugins.md`` shows an example of each."""

    @hookspec
    def hypersdkd_status(self, view: StatusView) -> Mapping[str, object]:  # type: ignore[empty-body]
        """Add fields to the status reply. JSON values only. Later plugins cannot replace a field.

        versionadded: 0.1.0
        """

    @hookspec
    def hypersdkd_inspect_queue(self, queue: QueueView) -> QueueInspection | None:
        """Describe the queue; the first plugin that returns something wins.

        versionadded: 0.1.0
        """

    @hookspec
    def hypersdkd_validate_manifest(self, text: bytes, syntax: str) -> Validation:  # type: ignore[empty-body]
        """Judge a manifest. ``syntax`` is ``json``, ``yaml`` or empty (find out).

        Problems and warnings of all plugins are put together; the guests are those of the first that
        returns any.

        versionadded: 0.1.0
        """

    @hookspec
    def hypersdkd_submit_manifest(self, submission: Submission, drop: DropDirectory) -> Receipt | None:
        """Put a valid manifest into the queue by ``drop.put``; the first plugin that returns a receipt wins.

        versionadded: 0.1.0
        """

    @hookspec
    def hypersdkd_loaders(self) -> Sequence[Loader]:  # type: ignore[empty-body]
        """Declare loaders of source types, for LOAD.

        versionadded: 0.1.0
        """

    @hookspec
    def hypersdkd_steps(self) -> Sequence[Step]:  # type: ignore[empty-body]
        """Declare steps of stages.

        versionadded: 0.1.0
        """

    @hookspec
    def hypersdkd_fixers(self) -> Sequence[Fixer]:  # type: ignore[empty-body]
        """Declare fixers: what FIX mends in a guest.

        versionadded: 0.1.0
        """

    @hookspec
    def hypersdkd_guest_checks(self) -> Sequence[GuestCheck]:  # type: ignore[empty-body]
        """Declare checks that look into a guest when it was fixed.

        versionadded: 0.1.0
        """

    @hookspec
    def hypersdkd_executors(self) -> Sequence[Executor]:  # type: ignore[empty-body]
        """Declare executors; the configuration names the one that is used.

        versionadded: 0.1.0
        """

    @hookspec
    def hypersdkd_subscribers(self) -> Sequence[Subscriber]:  # type: ignore[empty-body]
        """Declare subscribers: who hears of every change in the daemon.

        versionadded: 0.1.0
        """

    @hookspec
    def hypersdkd_endpoints(self) -> Sequence[Endpoint]:  # type: ignore[empty-body]
        """Declare endpoints: addresses of the API that the plugin answers.

        versionadded: 0.1.0
        """
