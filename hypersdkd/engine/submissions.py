"""Submissions: each is put into the queue once, whatever times out, is repeated or is killed on the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

from hypersdkd.engine.door import Door
from hypersdkd.engine.hook_calls import HookCalls
from hypersdkd.engine.key_book import KeyBook, Submitted
from hypersdkd.model.problem import Problem, ProblemError, fail
from hypersdkd.model.replies import Receipt
from hypersdkd.spec.types import Submission

#: Seconds after which storage that did not answer may be asked again.
_RETRY: Final = 5.0


class _Attempt:
    """The door as one submission sees it: remembers the key before the file appears, and closes when time is up."""

    def __init__(self, door: Door, remember: Callable[[Receipt], None], forget: Callable[[], None]) -> None:
        self._door = door
        self._remember = remember
        self._forget = forget
        self._lock = threading.Lock()
        self._closed = False
        self.under_way = False
        """A put has begun and not ended."""
        self.receipt: Receipt | None = None
        """Of the put that was done."""

    def put(self, name: str, content: bytes) -> Receipt:
        """See ``spec.ports.DropDirectory``."""
        with self._lock:
            if self._closed:
                raise fail("submission-unknown", "the submission took too long and was given up")
            self.under_way = True
        try:
            self.receipt = self._put(name, content)
            return self.receipt
        finally:
            self.under_way = False

    def _put(self, name: str, content: bytes) -> Receipt:
        receipt = self._door.check(name)
        try:
            self._remember(receipt)
        except OSError as error:
            raise fail("queue-unusable", f"the submission cannot be recorded: {error.strerror}") from error
        try:
            return self._door.put(name, content)
        except FileExistsError:
            self._forget()
            raise

    def close(self) -> None:
        """Let nothing more through; a put that is under way ends when it ends."""
        with self._lock:
            self._closed = True


class Submissions:
    """Hands manifests to the plugin that puts them into the queue, one at a time."""

    def __init__(self, calls: HookCalls, door: Door, book: KeyBook) -> None:
        self._calls = calls
        self._door = door
        self._book = book
        self._one = asyncio.Lock()
        self._late: dict[str, _Attempt] = {}

    async def submit(self, submission: Submission, key: str, digest: str) -> Receipt:
        """Put it into the queue, or say again what became of it if ``key`` is known.

        ``key`` is empty for a submission that may be repeated; ``digest`` stands for all that was sent. Raises
        ``submission-unknown`` (with ``retry_after``) when the storage has not said in time whether it took it.
        """
        async with self._one:
            if key:
                known = await asyncio.to_thread(self._known, key, digest)
                if known is not None:
                    return known
            receipt = await self._put(submission, key, digest)
            if key:
                await asyncio.to_thread(self._confirm, key, digest, receipt)
            return receipt

    async def _put(self, submission: Submission, key: str, digest: str) -> Receipt:
        def remember(receipt: Receipt) -> None:
            if key:
                self._book.write(key, Submitted(digest, receipt.job_id, receipt.manifest_path))

        attempt = _Attempt(self._door, remember, lambda: self._book.forget(key) if key else None)
        try:
            answer = await self._calls.first("hypersdkd_submit_manifest", submission=submission, drop=attempt)
        finally:
            attempt.close()
            if attempt.under_way and key:
                self._late[key] = attempt
        receipt = answer if isinstance(answer, Receipt) else attempt.receipt
        if receipt is not None:
            return receipt
        if attempt.under_way:
            raise _unknown()
        remedy = "See `hyperctl plugins` for what became of the plugin manifest_submission."
        raise fail("plugin-failed", "no plugin submits manifests", remedy=remedy)

    def _known(self, key: str, digest: str) -> Receipt | None:
        """What became of a submission with this key; ``None`` if it never reached the queue."""
        late = self._late.get(key)
        if late is not None and late.under_way:
            raise _unknown()
        self._late.pop(key, None)
        try:
            before = self._book.read(key)
        except OSError as error:
            raise fail("queue-unusable", f"former submissions cannot be read: {error.strerror}") from error
        if before is None:
            return None
        if before.digest != digest:
            raise fail("request-invalid", "this Idempotency-Key was used for another manifest")
        if before.taken or self._door.taken(before.job_id):
            return Receipt(before.path, before.job_id)
        return None

    def _confirm(self, key: str, digest: str, receipt: Receipt) -> None:
        """From now on the key answers also when the job is long gone."""
        try:
            self._book.write(key, Submitted(digest, receipt.job_id, receipt.manifest_path, taken=True))
        except OSError:
            return  # the queue has it, which the job's presence says as long as it is there


def _unknown() -> ProblemError:
    message = "the queue's storage has not said yet whether it took the manifest"
    return ProblemError(Problem("submission-unknown", message), retry_after=_RETRY)
