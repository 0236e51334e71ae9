"""Drafts are valid whatever they say, and names that come from files are those that a job can have."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.guest import OUTPUT_FORMATS, SOURCE_TYPES
from hypersdkd.model.manifest import read_manifest
from hypersdkd.model.manifest_draft import MAX_NAME_BYTES, ManifestDraft, name_from, name_of

drafts = st.builds(
    ManifestDraft,
    source_path=st.just("/srv/a"),
    source_type=st.sampled_from(SOURCE_TYPES),
    name=st.text(max_size=20).map(lambda path: name_from(PurePosixPath(path).stem)),
    inspect=st.booleans(),
    fix=st.booleans(),
    output_format=st.sampled_from(OUTPUT_FORMATS),
    compress=st.booleans(),
    validate=st.booleans(),
)


@given(draft=drafts)
def test_every_draft_is_a_valid_manifest(draft: ManifestDraft) -> None:
    validation = read_manifest(json.dumps(draft.document()).encode())
    assert (validation.problems, validation.warnings) == ((), ())
    (guest,) = validation.guests
    assert (guest.name, guest.output_format, guest.compress) == (draft.name, draft.output_format, draft.compress)
    assert guest.disks[0].source_type == draft.source_type


@pytest.mark.parametrize("stem", ["web01", "web 01.tar", "ünï", "-x", "x" * MAX_NAME_BYTES])
def test_names_that_a_job_can_have(stem: str) -> None:
    assert name_from(stem) == stem


@pytest.mark.parametrize("stem", ["", ".hidden", "a\nb", "a\x1b[31m", "\udcff", "é" * MAX_NAME_BYTES])
def test_names_that_none_can_have(stem: str) -> None:
    assert name_from(stem) == ""


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/srv/web01.vmdk", "web01"),
        ("/srv/debian-12.4.tar.xz", "debian-12.4"),
        ("/srv/disk.RAW.GZ", "disk"),
        ("/srv/disk.qcow2.zst", "disk"),
        ("/srv/image.tar", "image"),
        ("/srv/web.example.org.vmdk", "web.example.org"),
        ("/srv/v1.2.gz", "v1.2"),
        ("web.tar.xz/disk", "disk"),
        ("/srv/.xz", ""),
        ("/srv/.tar.xz", ""),
    ],
)
def test_the_name_of_a_source(source: str, name: str) -> None:
    assert name_of(source) == name
