"""The artifacts of a job: what its guests read and left, and the small ones among them to be sent. Blocks.

A worker is not trusted with this: its journal may name any file. Sent are only files that lie in the guest's own
directory for them, reached by a walk that follows no link.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from hypersdkd.engine.guest_files import ARTIFACTS
from hypersdkd.host.files import read_regular
from hypersdkd.host.output_directory import OutputDirectory
from hypersdkd.model.problem import ProblemError, fail
from hypersdkd.model.replies import Artifact, ArtifactContent

#: Bytes of an artifact that is sent: a screenshot has 1 MiB, a console's log that is longer was cut.
SENT_LIMIT: Final = 16 << 20

#: What the API calls them. A text is never called anything that a browser would run.
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".png": "image/png",
    ".xml": "application/xml",
    ".json": "application/json",
    ".txt": "text/plain",
    ".log": "text/plain",
}
_UNKNOWN_TYPE: Final = "application/octet-stream"


def artifacts_of(record: Mapping[str, object], guests: Sequence[Path]) -> tuple[Artifact, ...]:
    """Those that a job's record tells of, numbered from 0; ``guests`` are those of its directories that there are."""
    places = {guest / ARTIFACTS for guest in guests}
    return tuple(
        Artifact(
            number=number,
            vm=vm,
            kind=str(row.get("kind", "")),
            path=str(row.get("path", "")),
            size=size if isinstance(size := row.get("bytes"), int) else None,
            media_type=_media_type(Path(str(row.get("path", ""))), places),
        )
        for number, (vm, row) in enumerate(_rows(record))
    )


def content_of(artifact: Artifact) -> ArtifactContent:
    """The artifact itself. Raises ``artifact-unavailable`` where it is not to be sent, or is not there any more."""
    path = Path(artifact.path)
    if not artifact.media_type:
        raise fail("artifact-unavailable", f"{path} is not sent: it is no file that the job left for that")
    try:
        with OutputDirectory.open(path.parent, path.parent.parent) as directory:
            content = read_regular(directory.at(path.name), SENT_LIMIT + 1)
    except (OSError, ProblemError) as error:
        raise fail("artifact-unavailable", f"{path} cannot be read: {error}") from error
    if len(content) > SENT_LIMIT:
        raise fail("artifact-unavailable", f"{path} has more than {SENT_LIMIT} bytes")
    return ArtifactContent(path.name, artifact.media_type, content)


def _rows(record: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    for guest in _objects(record.get("vms")):
        for row in _objects(guest.get("files")):
            yield str(guest.get("vm", "")), row


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    """The objects of a list; another daemon's record may have anything there."""
    return (each for each in (value if isinstance(value, list | tuple) else ()) if isinstance(each, Mapping))


def _media_type(path: Path, places: set[Path]) -> str:
    return _MEDIA_TYPES.get(path.suffix.lower(), _UNKNOWN_TYPE) if path.parent in places and path.name else ""
