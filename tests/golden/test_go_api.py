"""Every recorded exchange with the Go API, replayed. What differs is in ``departures.py``, with its reason."""

from __future__ import annotations

import contextlib
import json
from itertools import groupby

import pytest

from hypersdkd.model.problem import ProblemError
from tests.golden.departures import DEPARTURES, HTTP_DEPARTURES, NOT_COPIED
from tests.golden.real_daemon import daemon_on
from tests.golden.recordings import body_of, differences, files_below, recordings, set_up
from tests.web.raw import Reply, ask

ALL = recordings()
#: The one queue that no daemon starts on.
UNUSABLE = "submit-directory-is-a-file"
DIFFERENT = {**DEPARTURES, **HTTP_DEPARTURES, **dict.fromkeys(NOT_COPIED, "bug of the original")}


def chapters() -> list[list[dict]]:
    """Recordings that can be played to one daemon: those that only look at the same files, and sequences."""
    found: list[list[dict]] = []
    for _, group in groupby(ALL, key=lambda each: (json.dumps(each["setup"]), bool(each.get("files_after")))):
        entries = list(group)
        if entries[0].get("files_after") and isinstance(entries[0]["setup"], dict):
            found.extend([entry] for entry in entries)
        elif isinstance(entries[0]["setup"], str):
            found[-1].extend(entries)
        else:
            found.append(entries)
    return found


PLAYED = [each for each in chapters() if each[0]["name"] != UNUSABLE]


@pytest.mark.parametrize("chapter", PLAYED, ids=lambda chapter: chapter[0]["name"])
async def test_chapter(chapter, tmp_path):
    setup = chapter[0]["setup"]
    set_up(tmp_path, setup)
    disk = any(name.startswith("workflow/") for name in setup)
    queue = tmp_path / ("workflow" if disk else "manifest-workflow")
    async with daemon_on(queue, "disk" if disk else "manifest") as address:
        for recording in chapter:
            before = files_below(tmp_path)
            reply = await replay(recording, address)
            new = {name: text for name, text in files_below(tmp_path).items() if before.get(name) != text}
            found = list(differences(recording, reply.status, document(reply), new, tmp_path))
            check(recording, found)


async def test_a_queue_that_is_a_file(tmp_path):
    (recording,) = (each for each in ALL if each["name"] == UNUSABLE)
    set_up(tmp_path, recording["setup"])
    with pytest.raises(ProblemError) as caught:
        async with daemon_on(tmp_path / "manifest-workflow", "manifest"):
            pass
    assert caught.value.problem.code == "queue-unusable"


async def replay(recording: dict, address: str) -> Reply:
    request = recording["request"]
    return await ask(address, request["method"], request["path"], body_of(request), request["headers"])


def document(reply: Reply) -> object:
    with contextlib.suppress(ValueError):
        return json.loads(reply.body)
    return reply.body.decode()


def check(recording: dict, found: list[str]) -> None:
    name = recording["name"]
    if name in DIFFERENT:
        assert found, f"{name} is listed as a departure ({DIFFERENT[name]}), but is as recorded"
    else:
        assert not found, f"{name}: {found}"


def test_every_departure_is_of_a_recording_and_has_a_reason():
    assert {each["name"] for each in ALL if each.get("bug")} >= NOT_COPIED
    assert set(DIFFERENT) <= {recording["name"] for recording in ALL}
    assert all(reason.strip() for reason in DIFFERENT.values())


def test_every_recording_is_played():
    played = [recording["name"] for chapter in chapters() for recording in chapter]
    assert played == [recording["name"] for recording in ALL]
    assert len(played) == 261
