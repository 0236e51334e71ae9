"""The recorded exchanges with the Go API as the tests of single plugins need them: what was asked and answered."""

from __future__ import annotations

from dataclasses import dataclass

from tests.golden.recordings import body_of, recordings


@dataclass(frozen=True)
class Exchange:
    """One recorded exchange. ``bug`` is the recorder's note that the answer is not to be copied."""

    name: str
    body: bytes
    status: int
    answer: object
    files_after: dict[str, str]
    bug: str


def posts_to(path: str) -> list[Exchange]:
    """The recorded POSTs to ``path``, in their order."""
    return [
        Exchange(
            name=raw["name"],
            body=body_of(raw["request"]) or b"",
            status=raw["response"]["status"],
            answer=raw["response"]["body"],
            files_after=raw.get("files_after", {}),
            bug=str(raw.get("bug", "")),
        )
        for raw in recordings()
        if (raw["request"]["method"], raw["request"]["path"]) == ("POST", path)
    ]
