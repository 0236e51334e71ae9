"""Ten thousand texts that were changed: descriptors, OVFs, checksums, manifests, job configs. Each is read or refused.

They begin as real ones and are changed where it hurts: another word for one, a number at a limit, a piece twice or in
another's place, a node in itself. Whatever is raised is a problem with its code and remedy, in bounded time.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypersdkd.engine.plan import Places, plan
from hypersdkd.host import ovf, ovf_manifest
from hypersdkd.host.companions import needed_beside
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.ovf_xml import is_cut
from hypersdkd.host.source_disk import read_disk
from hypersdkd.model.job_config import job_config_inputs, read_document, read_job_config
from hypersdkd.model.manifest import Validation
from hypersdkd.model.problem import CODES, Problem, ProblemError
from tests import appliances, vmdks

ROOT = Path(__file__).parents[2]

#: How many of each: ten thousand in all.
DESCRIPTORS, OVFS, CHECKSUMS, MANIFESTS, JOB_CONFIGS = 2500, 2500, 1000, 2500, 1500

#: Milliseconds that no text may take; the machine may be busy.
LIMIT = 10_000

bounded = partial(settings, deadline=LIMIT, suppress_health_check=list(HealthCheck))

# -- texts as rows of words -----------------------------------------------------------------------------

_WORDS = re.compile(rb"</?[\w:]+|\w+|\s+|[^\w\s]")

_NUMBERS = [0, 1, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**18, 10**40]
WORDS = [str(number).encode() for number in _NUMBERS] + [
    *(b"", b"-1", b"-0", b"1e999", b"NaN", b"0x7f", b"%d", b"${x}", "٣".encode(), b"1" * 5000),
    *(b"/etc/passwd", b"../../x", b".", b"..", b"a/b", b"link", b"fifo", b"x" * 300, b"nbd://h/x", b"json:{}"),
    *(b"\0", b"\r", b"\n", b"\n\n", b"\t", b"\x1b[2J", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xe2\x80\xae"),
    *(b'"', b"'", b"<", b">", b"&", b"&lt;", b"&#0;", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?", b"?>", b"</"),
    *(b"{", b"}", b"[", b"]", b": ", b"- ", b",", b"*a", b"&a ", b"!!python/object:os.system", b"<<", b"|", b"#"),
]

#: What may stand where a word does, so that more than the first line is read.
TAME = [word for word in WORDS if re.fullmatch(rb"[\w./${}-]{1,300}", word)]

_CHANGES = st.tuples(
    st.sampled_from([*["word"] * 6, "put", "into", "drop", "twice", "swap", "cut", "many", "flip"]),
    st.integers(0, 1 << 20),
    st.integers(0, 1 << 20),
)


def texts(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the samples, changed in one to three places."""
    rows = [_WORDS.findall(sample) for sample in samples]
    return st.builds(_changed, st.sampled_from(rows), st.lists(_CHANGES, min_size=1, max_size=3))


def _changed(row: Sequence[bytes], changes: Sequence[tuple[str, int, int]]) -> bytes:
    words = list(row)
    for kind, at, other in changes:
        if not words:
            break
        at, there = at % len(words), other % len(words)
        if kind == "word":
            place = next((place for place in range(at, len(words)) if re.fullmatch(rb"\w+", words[place])), at)
            words[place] = TAME[other % len(TAME)]
        elif kind == "put":
            words[at] = WORDS[other % len(WORDS)]
        elif kind == "into":
            words[at] += WORDS[other % len(WORDS)]
        elif kind == "drop":
            del words[at : at + 1 + other % 12]
        elif kind == "twice":
            words[at:at] = words[at : at + 1 + other % 60]
        elif kind == "swap":
            words[at], words[there] = words[there], words[at]
        elif kind == "cut":
            del words[at:]
        elif kind == "many":
            words[at] = (words[at] * (1 + other % 3000))[: 1 << 16]
        else:
            words[at] = bytes(byte ^ (1 << other % 8) for byte in words[at])
    return b"".join(words)


def outcome(read: Callable[[], object]) -> Problem | None:
    """What a text ends with; anything but a problem is this test's failure."""
    try:
        read()
    except ProblemError as error:
        require_told(error.problem)
        return error.problem
    return None


def require_told(problem: Problem) -> None:
    """A problem that can be shown: it has a code that is documented, a remedy, and words without control characters."""
    assert problem.code in CODES and problem.code not in {"internal", "step-failed"}
    assert problem.remedy and problem.message.isprintable(), problem


# -- descriptors ----------------------------------------------------------------------------------------

DATA = vmdks.noise(1 << 20)
SECTORS = len(DATA) // 512

VMDKS = [
    vmdks.text("vmfs", f'RW {SECTORS} VMFS "web01-flat.vmdk"'),
    vmdks.text("monolithicFlat", f'RW {SECTORS} FLAT "web01-flat.vmdk" 0', more='ddb.geometry.cylinders = "2"'),
    vmdks.text(
        "custom", f'RW {SECTORS - 8} FLAT "web01-flat.vmdk" 8', "RW 8 ZERO", 'RDONLY 8 FLAT "web01-flat.vmdk" 0'
    ),
    vmdks.text("vmfsSparse", f'RW {SECTORS} VMFSSPARSE "web01-000001-delta.vmdk"', parent=1, hint="web01.vmdk"),
    vmdks.text("twoGbMaxExtentSparse", f'RW {SECTORS} SPARSE "web01-flat.vmdk"', 'RW 128 SPARSE "disk.vmdk"'),
]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the descriptors name, and what nobody should follow."""
    here = tmp_path_factory.mktemp("crowd") / "disk"
    here.mkdir()
    vmdks.esx_flat(here, "web01", DATA, cid=1)
    vmdks.esx_delta(here, "web01-000001", "web01.vmdk", len(DATA), {512: DATA[:1024]})
    (here / "link").symlink_to("/etc/passwd")
    os.mkfifo(here / "fifo")
    return here


@bounded(max_examples=DESCRIPTORS)
@given(text=texts(VMDKS))
def test_descriptors(crowd: Path, text: bytes) -> None:
    path = crowd / "disk.vmdk"
    path.write_bytes(text)

    def read() -> None:
        with OpenSource([crowd.parent], seconds=LIMIT / 1000) as source:
            source.open(str(path))
            facts, _graph = read_disk(source, "vmdk")
            assert {file.path.parent for file in source.files} == {crowd} and facts.virtual_size > 0

    outcome(read)
    assert all("/" not in name for name in needed_beside(path))


# -- appliances -----------------------------------------------------------------------------------------

_TWO = [{"file": "a.vmdk", "size": 512, "bus": 5, "unit": 1}, {"file": "b%20c.vmdk", "compression": "gzip", "boot": 1}]
OVF_TEXTS = [appliances.ovf(_TWO, dialect=dialect) for dialect in ("vmware", "virtualbox", "0.9")]


@bounded(max_examples=OVFS)
@given(text=texts(OVF_TEXTS))
def test_ovfs(text: bytes) -> None:
    outcome(lambda: ovf.references(text, "web01.ovf"))
    outcome(lambda: judged(ovf.read(text, "web01.ovf")))
    is_cut(text)


def judged(appliance: ovf.Appliance) -> None:
    """What goes into a report is JSON, and short."""
    told = json.dumps([appliance.hardware(), [card.as_dict() for card in appliance.cards]])
    assert len(told) < 1 << 20 and appliance.name.isprintable()
    assert all(disk.capacity is None or disk.capacity >= 0 for disk in appliance.disks)


_FILES = {"web01.ovf": b"x", "a b.vmdk": b"y", "c.vmdk.gz": b"z"}
MF_TEXTS = [
    appliances.mf(_FILES, algorithm, line)
    for algorithm, line in (
        ("sha1", "{word}({name})= {digits}\n"),
        ("sha256", "{word} ({name}) = {digits}\r\n"),
        ("sha512", "{word}({name})={digits}\n"),
    )
]


@bounded(max_examples=CHECKSUMS)
@given(text=texts(MF_TEXTS))
def test_checksums(text: bytes) -> None:
    outcome(lambda: ovf_manifest.read(text, "web01.mf"))


# -- documents ------------------------------------------------------------------------------------------

EXAMPLES = {path: path.read_bytes() for path in sorted((ROOT / "docs/examples").glob("*/*.*"))}
TREES = {path: yaml.safe_load(text) for path, text in EXAMPLES.items()}

ODD: list[object] = [
    *(None, True, False, *_NUMBERS, -1, 1.5, "", " ", "1", "no", "\0", "\ud800", "\u202e", "a\nb", "x" * 300),
    *(
        "/etc/passwd",
        "../../x",
        "a/../b",
        "/srv/exports/../../etc/shadow",
        "nbd://h/x",
        "file:///etc/passwd",
        "~",
        "$HOME",
    ),
    *([], {}, [[]], [{}], {"": None}, [None] * 50, {"on": {"yes": [1]}}),
]


def trees(of: Callable[[Path], bool]) -> st.SearchStrategy[bytes]:
    """An example in which one to three nodes are others, written as JSON or YAML."""
    samples = [tree for path, tree in TREES.items() if of(path)]
    changes = st.lists(
        st.tuples(
            st.sampled_from(["odd", "odd", "odd", "drop", "rename", "other", "wrap"]),
            st.integers(0, 1 << 20),
            st.integers(0, 1 << 20),
        ),
        min_size=1,
        max_size=3,
    )
    return st.builds(_other_tree, st.sampled_from(samples), changes, st.booleans())


def _nodes(tree: object) -> list[tuple[dict[object, object] | list[object], object]]:
    """Each node as its holder and its key there."""
    found: list[tuple[dict[object, object] | list[object], object]] = []
    ahead = [tree]
    for holder in ahead:
        if isinstance(holder, dict):
            found += [(holder, key) for key in holder]
            ahead += holder.values()
        elif isinstance(holder, list):
            found += [(holder, index) for index in range(len(holder))]
            ahead += holder
    return found


def _other_tree(sample: object, changes: Sequence[tuple[str, int, int]], as_yaml: bool) -> bytes:
    tree = copy.deepcopy(sample)
    for kind, at, other in changes:
        nodes = _nodes(tree)
        if not nodes:
            break
        holder, key = nodes[at % len(nodes)]
        odd = ODD[other % len(ODD)]
        if kind == "odd":
            holder[key] = copy.deepcopy(odd)  # type: ignore[index]
        elif kind == "drop":
            del holder[key]  # type: ignore[arg-type]
        elif kind == "rename" and isinstance(holder, dict):
            holder[odd if isinstance(odd, str) else str(key).upper()] = holder.pop(key)
        elif kind == "other":
            above, name = nodes[other % len(nodes)]
            holder[key] = copy.deepcopy(above[name])  # type: ignore[index]
        else:
            holder[key] = [holder[key]] if other % 2 else {str(key): holder[key]}  # type: ignore[index]
    if as_yaml:
        return yaml.dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    return json.dumps(tree).encode()


def judge(validation: Validation, places: Places) -> None:
    """Valid or with reasons; what is valid can be planned, and lies where it may."""
    for problem in validation.problems:
        require_told(problem)
    assert validation.valid == bool(validation.guests)
    for planned in plan("job.yaml", validation.guests, places, lambda _path: False):
        if planned.problem is not None:
            require_told(planned.problem)
        else:
            assert all(Path(path).is_relative_to(places.output) for path in planned.guest.outputs)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    base = tmp_path_factory.mktemp("queue")
    return Places.of(base, [base / "sources"], base.with_name("output"), [])


#: Found out from the text, mostly; else as by the suffix of its file.
SYNTAX = st.sampled_from(["", "", "", "", "json", "yaml"])


def _is_job_config(path: Path) -> bool:
    return path.parent.name == "disk-mode"


def documents(of: Callable[[Path], bool]) -> st.SearchStrategy[bytes]:
    """Two of three with other nodes, one with other letters."""
    written = texts([text for path, text in EXAMPLES.items() if of(path)])
    return st.one_of(trees(of), trees(of), written)


@bounded(max_examples=MANIFESTS)
@given(text=documents(lambda path: not _is_job_config(path)), syntax=SYNTAX)
def test_manifests(places: Places, text: bytes, syntax: str) -> None:
    judge(read_document(text, syntax), places)


@bounded(max_examples=JOB_CONFIGS)
@given(text=documents(_is_job_config), syntax=SYNTAX)
def test_job_configs(places: Places, text: bytes, syntax: str) -> None:
    validation = read_job_config(text, syntax)
    if validation is not None:
        judge(validation, places)
    assert all("/" not in name for name in job_config_inputs(text, syntax))


def test_there_are_ten_thousand_and_they_begin_well(crowd: Path) -> None:
    """The originals are read as they are: else the changes would all end at the same first line."""
    assert DESCRIPTORS + OVFS + CHECKSUMS + MANIFESTS + JOB_CONFIGS == 10_000
    assert [outcome(partial(ovf.read, text, "web01.ovf")) for text in OVF_TEXTS] == [None] * 3
    assert [len(ovf_manifest.read(text, "web01.mf")) for text in MF_TEXTS] == [len(_FILES)] * 3
    assert all(read_document(text).valid for text in EXAMPLES.values())
    for text in VMDKS[:3]:
        (crowd / "disk.vmdk").write_bytes(text)
        with OpenSource([crowd.parent], seconds=60) as source:
            source.open(str(crowd / "disk.vmdk"))
            assert read_disk(source, "vmdk")[0].virtual_size >= len(DATA)
