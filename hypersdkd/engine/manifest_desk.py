"""The manifest desk: manifests and job configs are judged, submitted and generated for whoever asks by the API."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hypersdkd.engine.generation import draft_manifest
from hypersdkd.engine.key_book import KeyBook
from hypersdkd.engine.outlook import outlook
from hypersdkd.engine.queue_parts import QueueParts
from hypersdkd.engine.source_inspection import SourcePlaces
from hypersdkd.engine.submissions import Submissions
from hypersdkd.engine.validation import validate
from hypersdkd.engine.workshop import WorkerPlugins
from hypersdkd.model.manifest_draft import ManifestWish, name_from
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.replies import JOB_CONFIG, ManifestInvalidError, Receipt, Validation
from hypersdkd.spec.types import Submission

#: Large manifests that are judged at once for those who ask by the API, and bytes from which on one is large.
_JUDGED_AT_ONCE: Final = 4
_LARGE: Final = 64 << 10

#: Sources that are looked at at once, each by a process.
_LOOKED_AT_ONCE: Final = 4

#: What a submitted job config without a name is called.
_JOB_NAME: Final = "job"


def _told_name(validation: Validation) -> str:
    """What an exporter calls the guest of a manifest that has no name of its own; outputs are called so."""
    alone = not validation.name and not validation.batch and len(validation.guests) == 1
    return validation.guests[0].name if alone else ""


class ManifestDesk:
    """The part of ``spec.service.Workflow`` that is about manifests; see there."""

    def __init__(self, parts: QueueParts) -> None:
        self._parts = parts
        self._submissions = Submissions(parts.calls, parts.door, KeyBook(parts.layout.private / "keys"))
        self._judging = 0
        self._looking = 0

    async def validate(self, text: bytes, syntax: str = "") -> Validation:
        """Judge a manifest by every plugin's rules, in disk mode a job config by its own; of a valid one also warn of
        what would keep it from running now.

        Raises ``request-busy`` and ``rules-unavailable``.
        """
        judged = await self._judged(text, syntax)
        warnings = await asyncio.to_thread(lambda: tuple(outlook(judged, self._parts.places)))
        return replace(judged, warnings=(*judged.warnings, *warnings))

    async def _judged(self, text: bytes, syntax: str) -> Validation:
        large = len(text) > _LARGE
        if large and self._judging >= _JUDGED_AT_ONCE:
            problem = Problem("request-busy", f"{_JUDGED_AT_ONCE} large manifests are being judged already")
            raise ProblemError(problem, retry_after=1.0)
        self._judging += large
        try:
            return await validate(self._parts.calls, text, syntax, mode=self._parts.mode, urgent=False)
        finally:
            self._judging -= large

    async def submit(self, text: bytes, syntax: str = "", idempotency_key: str = "", default_name: str = "") -> Receipt:
        """Validate, then hand it to the first plugin that puts it into the queue."""
        validation = await self._judged(text, syntax)
        if not validation.valid:
            raise ManifestInvalidError(validation)
        document, name = dict(validation.document), validation.name or default_name
        if validation.taken_for == JOB_CONFIG:  # which has no name of its own
            name = name or _JOB_NAME
        elif told := _told_name(validation):
            name = name_from(told.replace("/", "_")) or name
        elif default_name and not validation.name:
            document["name"] = default_name
        submission = Submission(text, document, name)
        digest = hashlib.sha256(b"\0".join((text, default_name.encode("utf-8", "surrogatepass")))).hexdigest()
        receipt = await self._submissions.submit(submission, idempotency_key, digest)
        self._parts.intake.look_at(receipt.job_id)
        return receipt

    async def generate(self, wish: ManifestWish) -> Mapping[str, object]:
        """A manifest for a source that is below the allowed roots. Raises ``request-busy`` besides."""
        if self._looking >= _LOOKED_AT_ONCE:
            problem = Problem("request-busy", f"{_LOOKED_AT_ONCE} sources are being looked at already")
            raise ProblemError(problem, retry_after=1.0)
        self._looking += 1
        try:
            return (await draft_manifest(wish, self._places())).document()
        finally:
            self._looking -= 1

    def _places(self) -> SourcePlaces:
        parts, configured = self._parts, self._parts.config.settings.plugins
        return SourcePlaces(
            scratch=parts.layout.scratch,
            roots=tuple(map(str, parts.places.source_roots)),
            plugins=WorkerPlugins.of(parts.calls.plugins, configured.dirs, configured.settings),
            queue=tuple(map(str, parts.places.queue)),
            appliance=str(parts.layout.appliance),
        )
