"""Which files the names in an OVF and in its ``.mf`` mean: they are URIs, which exporters spell as they like."""

from __future__ import annotations

from collections.abc import Container
from urllib.parse import unquote


def spellings(reference: str) -> tuple[str, ...]:
    """Names that a reference may mean, relative to the descriptor's directory, the likelier first: with its escapes
    (``%20``) decoded, as in a URI, and as it stands. ``./`` is left out; a way up stays, for readers to refuse."""
    return tuple(map(_plain, dict.fromkeys((unquote(reference, errors="surrogateescape"), reference))))


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part != ".")


def file_meant(reference: str, known: Container[str], directory: str = "") -> str | None:
    """The one of the ``known`` names that a reference means, which stands in a file of ``directory``; of none ``None``.

    Known names lead nowhere out, so a reference that does is none of them.
    """
    before = f"{directory}/" if directory else ""
    return next((before + name for name in spellings(reference) if before + name in known), None)
