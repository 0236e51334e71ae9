"""OVF descriptors: XML that grows, that fetches files, that names files of the host."""

from __future__ import annotations

import io
import xml.sax
import xml.sax.handler
import xml.sax.saxutils
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from tests import appliances
from tests.hostile.bare import read
from tests.hostile.case import LEAKS, REFUSES, SECRET, TAKES, Case, Place


def ovf(info: str = "disks", href: str = "disk.vmdk", head: str = "") -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        (place.here / "disk.vmdk").write_bytes(b"x" * 512)
        text = appliances.ovf([{"file": _placed(href, place)}], extra=f"<Info>{info}</Info>").decode()
        declaration, rest = text.split("\n", 1)
        path = place.here / "guest.ovf"
        path.write_text(f"{declaration}{_placed(head, place)}{rest}")
        return path

    return make


def _placed(text: str, place: Place) -> str:
    way_up = "../" * 24 + str(place.canary).lstrip("/")
    return text.replace("WAY_UP", way_up).replace("CANARY", str(place.canary))


def linked(place: Place) -> Path:
    path = ovf(href="link.vmdk")(place)
    (place.here / "link.vmdk").symlink_to(place.canary)
    return path


def deep(place: Place) -> Path:
    path = place.here / "guest.ovf"
    path.write_text("<a>" * 200_000 + "</a>" * 200_000)
    return path


def tree(source: Path, scratch: Path) -> str:
    """``xml.etree``, as most programs read XML."""
    try:
        root = ElementTree.fromstring(source.read_bytes())
        return LEAKS if SECRET in ElementTree.tostring(root) else TAKES
    except (ElementTree.ParseError, RecursionError):
        return REFUSES


def external(source: Path, scratch: Path) -> str:
    """``xml.sax`` with external entities, as it was by default before Python 3.7.1."""
    out = io.StringIO()
    parser = xml.sax.make_parser()
    parser.setFeature(xml.sax.handler.feature_external_ges, True)
    parser.setContentHandler(xml.sax.saxutils.XMLGenerator(out))
    try:
        with source.open("rb") as file:
            parser.parse(file)
    except (xml.sax.SAXException, OSError, ValueError):
        return REFUSES
    return LEAKS if SECRET.decode() in out.getvalue() else TAKES


def named(source: Path, scratch: Path) -> str:
    """A program that reads the file that the OVF names."""
    href = next(
        value for file in ElementTree.parse(source).iter() for key, value in file.items() if key.endswith("href")
    )
    return read(source.parent / href, scratch)


_LAUGHS = "<!DOCTYPE x [<!ENTITY a0 'ha'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
_BLOWUP = f"<!DOCTYPE x [<!ENTITY a '{'x' * 100_000}'>]>"
_FILE = "<!DOCTYPE x [<!ENTITY f SYSTEM 'file://CANARY'>]>"
_DTD = "<!DOCTYPE x SYSTEM 'file://CANARY'>"

_LAUGHING = ovf("&a9;", head=f"{_LAUGHS}]>")

CASES = (
    Case(
        "entities that multiply",
        "ovf",
        ovf("&a9;", head=f"{_LAUGHS}]>"),
        "image-invalid",
        tree,
        REFUSES,
        "expat counts today",
    ),
    Case("an entity that is large", "ovf", ovf("&a;" * 50, head=_BLOWUP), "image-invalid", tree, TAKES),
    Case("an entity that is a file", "ovf", ovf("&f;", head=_FILE), "image-invalid", external, LEAKS),
    Case("a document type that is a file", "ovf", ovf(head=_DTD), "image-invalid", tree, TAKES),
    Case("elements two hundred thousand deep", "ovf", deep, "image-invalid", tree, REFUSES, "Python has a limit here"),
    Case("a disk by a path", "ovf", ovf(href="CANARY"), "source-outside", named, LEAKS),
    Case("a disk by a way up", "ovf", ovf(href="WAY_UP"), "source-outside", named, LEAKS),
    Case("a disk behind a link", "ovf", linked, "source-not-regular", named, LEAKS),
    Case("a disk that is the OVF", "ovf", ovf(href="guest.ovf"), "source-type-mismatch", named, TAKES),
)
