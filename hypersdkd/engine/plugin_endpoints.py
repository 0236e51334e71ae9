"""Answering for plugins' endpoints: each in its plugin's thread, with what the core counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hypersdkd.engine.hook_calls import PluginCallError
from hypersdkd.engine.observing_service import OBSERVE
from hypersdkd.engine.queue_parts import QueueParts
from hypersdkd.model.problem import fail
from hypersdkd.spec.ports import Counts, StatusView
from hypersdkd.spec.types import Endpoint, Request, Response

#: Replies of the API by route, method and HTTP status.
Requests = Mapping[tuple[str, str, int], int]

_STATUSES: Final = range(200, 600)


class EndpointCalls:
    """Implements ``spec.service.PluginEndpoints``."""

    def __init__(self, parts: QueueParts, view: Callable[[], StatusView]) -> None:
        self._parts = parts
        self._view = view

    def all(self) -> Sequence[Endpoint]:
        """Each endpoint that a loaded plugin has declared."""
        return [endpoint for _record, endpoint in self._parts.calls.plugins.endpoints.values()]

    async def answer(self, endpoint: Endpoint, request: Request, requests: Requests) -> Response:
        """The plugin's reply. Raises its ``ProblemError``, else ``plugin-failed``."""
        record, _ = self._parts.calls.plugins.endpoints[endpoint.path]
        counts = self._counts(requests)
        try:
            response = await self._parts.calls.contained(record, lambda: _checked(endpoint.answer(request, counts)))
        except PluginCallError as error:
            raise fail("plugin-failed", f"the plugin {record.name} does not answer") from error
        assert isinstance(response, Response)
        return response

    def _counts(self, requests: Requests) -> Counts:
        view, parts = self._view(), self._parts
        errors: Counter[str] = Counter()
        for record in parts.calls.plugins.records:  # one that was refused may have the name of another
            errors[record.name] += record.errors
        return Counts(
            version=view.version,
            jobs={state.value: number for state, number in parts.queries.counts().items()},
            workers_running=view.workers_running,
            max_workers=0 if view.executor == OBSERVE else view.max_workers,  # what others work needs no slot of ours
            rescans=dict(parts.intake.rescans),
            requests=dict(requests),
            plugin_errors=errors,
        )


def _checked(response: object) -> Response:
    if not isinstance(response, Response):
        raise TypeError(f"an endpoint must return a Response, not {type(response).__name__}")
    kind = response.content_type
    if not (
        isinstance(response.body, bytes) and response.status in _STATUSES and kind.isascii() and kind.isprintable()
    ):
        raise ValueError("a Response has bytes, a status from 200 to 599, and a content type of printable ASCII")
    return response
