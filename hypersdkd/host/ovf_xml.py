"""An OVF's text as a tree of elements, which are known by their local names alone: exporters disagree on namespaces.

The text is a stranger's: no DTD, no entities, nothing from outside, and limits to all that is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers.expat import errors

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from hypersdkd.model.problem import ProblemError, fail, one_line

#: Bytes of a descriptor, elements of it, and elements within one another, that are read at most.
MAX_BYTES: Final = 4 << 20
_MAX_ELEMENTS: Final = 20_000
_MAX_DEPTH: Final = 64

#: Characters of a text that is kept.
MAX_TEXT: Final = 255

#: Errors of expat's that more text may mend.
_UNFINISHED: Final = frozenset(
    errors.codes[message]
    for message in (
        errors.XML_ERROR_NO_ELEMENTS,
        errors.XML_ERROR_UNCLOSED_TOKEN,
        errors.XML_ERROR_PARTIAL_CHAR,
        errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
)

#: What an end that was only set aside holds; not the end of any text, in UTF-16 either.
_UNWRITTEN: Final = bytes(4)


class _Limited(TreeBuilder):
    """Builds a tree as long as it is an OVF's, not too large and not too deep; ends the reading where it is not."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._count = self._depth = 0

    def start(self, tag: str, attributes: dict[str, str], /) -> Element:
        """An element begins."""
        if self._count == 0 and local(tag) != "Envelope":
            raise fail("image-invalid", f"{self._name} is not an OVF: it holds {one_line(local(tag))[:40]!r}")
        self._count, self._depth = self._count + 1, self._depth + 1
        if self._count > _MAX_ELEMENTS or self._depth > _MAX_DEPTH:
            message = f"{self._name} has over {_MAX_ELEMENTS} elements, or {_MAX_DEPTH} within one another"
            raise fail("image-limits", message)
        return super().start(tag, attributes)

    def end(self, tag: str, /) -> Element:
        """An element ends."""
        self._depth -= 1
        return super().end(tag)


def parsed(text: bytes, name: str) -> Element:
    """The envelope. Raises ``image-invalid`` and ``image-limits``."""
    if len(text) > MAX_BYTES:
        raise fail("image-limits", f"{name} has over {MAX_BYTES} bytes")
    parser = DefusedXMLParser(target=_Limited(name), forbid_dtd=True)
    try:
        parser.feed(text)
        root: Element = parser.close()
    except DefusedXmlException as error:
        message = f"{name} has a document type or entities, which no OVF needs: {type(error).__name__}"
        raise fail("image-invalid", message, remedy="Do not trust it; ask for another export.") from error
    except (ParseError, ValueError, LookupError) as error:  # the last two: of its encoding
        raise fail("image-invalid", f"{name} is not well-formed XML: {one_line(str(error))}") from error
    return root


def is_cut(text: bytes) -> bool:
    """Whether more text might make it whole, which it is not."""
    try:
        parsed(text, "")
    except ProblemError as error:
        cause = error.__cause__
        return isinstance(cause, ParseError) and (cause.code in _UNFINISHED or text.endswith(_UNWRITTEN))
    return False


# -- elements -------------------------------------------------------------------------------------------


def local(tag: object) -> str:
    """A name without its namespace; of what is no element, such as a comment, none."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Element, name: str) -> str:
    """The value as it stands, or none."""
    return next((value for key, value in element.attrib.items() if local(key) == name), "")


def children(element: Element, name: str) -> Iterator[Element]:
    """Those of that name."""
    return (child for child in element if local(child.tag) == name)


def text_of(element: Element, name: str) -> str:
    """The text of the first child of that name that has any, as it may be shown."""
    return next((shown(child.text or "") for child in children(element, name) if child.text), "")


def value_of(element: Element, name: str) -> str:
    """The text of the first child of that name; unlike :func:`text_of` as it is."""
    return next(((child.text or "").strip() for child in children(element, name)), "")


def shown(text: str) -> str:
    """As it may stand in a report."""
    return one_line(text.strip())[:MAX_TEXT]


def is_a(element: Element, name: str) -> bool:
    """Whether it is that section, also in the spelling of 0.9: ``<Section xsi:type="ovf:NAME_Type">``."""
    return local(element.tag) == name or attribute(element, "type").rpartition(":")[2] == f"{name}_Type"


def within(envelope: Element, section: str, name: str) -> Iterator[Element]:
    """The elements of that name in the envelope's sections of that kind."""
    for part in envelope:
        if is_a(part, section):
            yield from children(part, name)
