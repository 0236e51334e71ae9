"""What is said of an endpoint: enough to bind it, to document it and to publish it as OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from hypersdkd.model.role import Role
from hypersdkd.spec.service import Workflow

Answer = Callable[[Workflow, web.Request], Awaitable[web.StreamResponse]]

#: Problems that any endpoint may answer with.
COMMON_ERRORS: Final = (
    "request-invalid",
    "token-required",
    "token-unknown",
    "token-attempts",
    "role-insufficient",
    "request-refused",
    "internal",
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of a request outside its body; ``place`` is ``query``, ``header`` or ``path``."""

    name: str
    place: str
    meaning: str
    schema: Mapping[str, object]


#: What may stand in braces in a path.
PATH_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "id": Parameter("id", "path", "The job's ID, percent-encoded", {"type": "string", "minLength": 1}),
    "n": Parameter("n", "path", "The artifact's number", {"type": "integer", "minimum": 0}),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. ``{id}`` in a path is a job's ID, percent-encoded; ``answer`` makes the reply.

    ``reply``, ``body`` and ``refusal`` name schemas of ``web.schemas``: of the reply with ``status``, of the request's
    body (empty: none is read) and of error replies. ``errors`` are the problem codes beyond ``COMMON_ERRORS``.
    ``role`` is what a caller must be, where that does not go by the method.
    """

    method: str
    path: str
    summary: str
    answer: Answer
    reply: str = "Object"
    status: int = 200
    body: str = ""
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[str, ...] = ()
    refusal: str = "Error"
    media_types: tuple[str, ...] = field(default=("application/json",))
    name: str = ""
    role: Role | None = None

    @property
    def operation_id(self) -> str:
        """Its name in the OpenAPI document: that of ``answer``, unless it was given one."""
        return self.name or self.answer.__name__

    @property
    def needed(self) -> Role:
        """The role that a caller must have where tokens are in force."""
        return self.role or (Role.READ if self.method == "GET" else Role.OPERATE)

    @property
    def route(self) -> str:
        """The path in the router's spelling: an ID is anything but a slash (its default excludes braces)."""
        return self.path.replace("{id}", "{id:[^/]+}")

    @property
    def path_parameters(self) -> tuple[Parameter, ...]:
        """Those of the path, in its order."""
        return tuple(PATH_PARAMETERS[name] for name in re.findall(r"\{(\w+)\}", self.path))
