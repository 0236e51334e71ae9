"""Documents that name what they should not: dropped as they are, read as JSON or YAML by a program of a few lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from tests.hostile.case import LEAKS, REFUSES, SECRET, TAKES, Place


@dataclass(frozen=True)
class Document:
    """``text`` is dropped as a manifest with that suffix; ``does`` is what comes of a program that does as it says."""

    name: str
    suffix: str
    text: Callable[[Place], str | bytes]
    code: str
    does: str
    why: str = ""


def naive(document: Document, place: Place) -> str:
    """Parse, open the source and give back what a conversion would write; or make the output, if that is the harm."""
    text = document.text(place)
    try:
        found = json.loads(text) if document.suffix == "json" else yaml.load(text, yaml.Loader)
        stages = found["pipeline"]
        source = place.here / stages["load"]["source_path"].removeprefix("file://")
        output = place.here / stages["convert"].get("output_path", "out")
        content = source.read_bytes()[: 1 << 20]
        made = output.resolve()
    except (ValueError, KeyError, TypeError, OSError, AttributeError, RecursionError, yaml.YAMLError):
        return REFUSES
    if SECRET in content:
        return LEAKS
    return REFUSES if made.is_relative_to(place.here) else TAKES


def manifest(**load_or_convert: object) -> Callable[[Place], str]:
    """A manifest whose values have ``CANARY`` where the secret is, ``HERE`` for its own directory."""

    def text(place: Place) -> str:
        words = dict(load_or_convert)
        convert = {
            "output_format": "raw",
            **({"output_path": words.pop("output_path")} if "output_path" in words else {}),
        }
        document = {"version": "1.0", "pipeline": {"load": {"source_type": "raw", **words}, "convert": convert}}
        return _placed(json.dumps(document), place)

    return text


def literal(text: str) -> Callable[[Place], str]:
    return lambda place: _placed(text, place)


def _placed(text: str, place: Place) -> str:
    way_up = "../" * 24 + str(place.canary).lstrip("/")
    good = str(place.here / "good.raw")
    return text.replace("WAY_UP", way_up).replace("CANARY", str(place.canary)).replace("GOOD", good)


_YAML = "version: '1.0'\npipeline:\n  load:\n    source_type: raw\n    {}\n  convert:\n    output_format: raw\n"
_JSON = '{"version": "1.0", "pipeline": {"load": {"source_type": "raw", %s}, "convert": {"output_format": "raw"}}}'

DOCUMENTS = (
    Document("a path out", "json", manifest(source_path="CANARY"), "source-outside", LEAKS),
    Document("a way up", "json", manifest(source_path="WAY_UP"), "source-outside", LEAKS),
    Document("a way up in YAML", "yaml", literal(_YAML.format("source_path: WAY_UP")), "source-outside", LEAKS),
    Document("an address", "json", manifest(source_path="file://CANARY"), "source-missing", LEAKS),
    Document(
        "escaped letters", "json", literal(_JSON % '"source_path": "\\u002e\\u002e/WAY_UP"'), "source-outside", LEAKS
    ),
    Document(
        "a NUL in the path",
        "json",
        manifest(source_path="GOOD\0CANARY"),
        "manifest-value",
        REFUSES,
        "Python refuses it; C would not",
    ),
    Document(
        "two paths",
        "json",
        literal(_JSON % '"source_path": "GOOD", "source_path": "CANARY"'),
        "document-duplicate-key",
        LEAKS,
    ),
    Document(
        "two paths in YAML",
        "yaml",
        literal(_YAML.format("source_path: GOOD\n    source_path: CANARY")),
        "document-duplicate-key",
        LEAKS,
    ),
    Document(
        "a path by an alias",
        "yaml",
        literal("x: &x CANARY\n" + _YAML.format("source_path: *x")),
        "source-outside",
        LEAKS,
    ),
    Document(
        "a path merged in",
        "yaml",
        literal("x: &x {source_path: CANARY}\n" + _YAML.format("<<: *x")),
        "source-outside",
        LEAKS,
    ),
    Document(
        "an object of Python's",
        "yaml",
        literal(_YAML.format("source_path: !!python/object/apply:str [CANARY]")),
        "document-syntax",
        LEAKS,
    ),
    Document(
        "qemu's JSON as a path",
        "json",
        manifest(source_path='json:{"driver":"raw","file.filename":"CANARY"}'),
        "source-missing",
        REFUSES,
        "qemu alone would open it",
    ),
    Document(
        "a protocol as a path",
        "json",
        manifest(source_path="nbd://127.0.0.1:9/x"),
        "source-missing",
        REFUSES,
        "qemu alone would connect",
    ),
    Document(
        "an output outside",
        "json",
        manifest(source_path="GOOD", output_path="/etc/hypersdkd-hostile.raw"),
        "output-outside",
        TAKES,
    ),
    Document(
        "an output by a way up",
        "json",
        manifest(source_path="GOOD", output_path="../" * 24 + "etc/hypersdkd-hostile.raw"),
        "output-outside",
        TAKES,
    ),
    Document(
        "an output among the jobs",
        "json",
        manifest(source_path="GOOD", output_path="../to_be_processed/evil.json"),
        "output-outside",
        TAKES,
    ),
    Document(
        "a NUL in the output",
        "json",
        manifest(source_path="GOOD", output_path="a\0b"),
        "manifest-value",
        REFUSES,
        "Python refuses it; C would not",
    ),
)
