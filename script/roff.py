"""Writes man pages: roff with the macros of man(7), and the little Markdown that the project's docs are written in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: Characters that roff reads or shows as something else; the minus and these quotes must stay what they are in code.
_TEXT = {"\\": r"\e", "'": r"\(aq", "`": r"\(ga"}
_CODE = {**_TEXT, "-": r"\-", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}

_INLINE = re.compile(r"`(?P<code>[^`]+)`|\[(?P<label>[^\]]+)\]\((?P<target>[^)]+)\)|\*\*(?P<strong>.+?)\*\*")


def text(words: str) -> str:
    """Plain words."""
    return "".join(_TEXT.get(character, character) for character in words)


def code(words: str) -> str:
    """What is typed as it stands, without a font."""
    return "".join(_CODE.get(character, character) for character in words)


def bold(words: str) -> str:
    """What is typed as it stands."""
    return rf"\fB{code(words)}\fR"


def italic(words: str) -> str:
    """What stands for something else."""
    return rf"\fI{code(words)}\fR"


def unbroken(line: str) -> str:
    """``line`` so that no option or name in it is broken at its minus: what is copied from a page must be right."""
    return " ".join(rf"\%{word}" if r"\-" in word else word for word in line.split(" "))


class Page:
    """One man page; ``str()`` of it is the file. ``pages`` says which man page stands for which file of the docs."""

    def __init__(self, title: str, section: int, date: str, source: str, pages: Mapping[str, str]) -> None:
        self._pages = pages
        # No stretched lines around long names.
        self._lines = [
            r".\" Made by script/man from the program and its docs.",
            f'.TH "{code(title.upper() if section != 5 else title)}" {section} {date} "{source}" "{source.split()[0]}"',
            ".nh",
            ".ad l",
        ]

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)

    def section(self, heading: str) -> None:
        """A heading of the first level."""
        self._lines.append(f".SH {text(heading.upper())}")

    def subsection(self, heading: str) -> None:
        """A heading of the second level, in roff already."""
        self._lines.append(f".SS {heading}")

    def paragraph(self, words: str) -> None:
        """A paragraph of Markdown's inline elements."""
        self.line(".PP", self.inline(words))

    def line(self, *lines: str) -> None:
        """Lines of roff; one that would begin like a request by chance must be guarded by the caller."""
        self._lines += lines

    def entry(self, term: str, words: str) -> None:
        """A term, in roff already, and what is said of it."""
        self.line(".TP", term, self.inline(words) or r"\&")

    def example(self, lines: Iterable[str]) -> None:
        """Lines as they are typed."""
        self.line(".PP", ".RS 4", ".nf", *(r"\&" + code(line) for line in lines), ".fi", ".RE")

    def inline(self, words: str) -> str:
        """One line of roff from Markdown's inline elements."""
        parts: list[str] = []
        at = 0
        words = " ".join(words.split())
        for match in _INLINE.finditer(words):
            parts += [text(words[at : match.start()]), self._element(match)]
            at = match.end()
        line = unbroken("".join([*parts, text(words[at:])]))
        return r"\&" + line if line.startswith(".") else line

    def _element(self, match: re.Match[str]) -> str:
        if match["code"]:
            return bold(match["code"])
        if match["strong"]:
            return bold(match["strong"])
        page = self._pages.get(match["target"])
        is_name = match["label"].strip("`").rpartition("/")[2] == match["target"].rpartition("/")[2]
        return bold(page) if page and is_name else self.inline(match["label"])

    def markdown(self, source: str) -> None:
        """Paragraphs, lists, tables of two columns, and code blocks."""
        for block in re.findall(r"^```[\s\S]*?^```$|(?:^(?!```).+\n?)+", source, re.MULTILINE):
            lines = block.strip("\n").splitlines()
            if lines[0].startswith("```"):
                self.example(lines[1:-1])
            elif lines[0].startswith("|"):
                for row in lines[2:]:
                    term, words = re.split(r"(?<!\\) \| ", row.strip("| \n"), maxsplit=1)
                    self.entry(self.inline(term), words)
            elif re.match(r"(-|\d+\.) ", lines[0]):
                for item in re.split(r"^(?=(?:-|\d+\.) )", block.strip("\n"), flags=re.MULTILINE)[1:]:
                    mark, words = item.split(" ", 1)
                    self.line(rf".IP {mark if mark != '-' else chr(92) + '(bu'} 4", self.inline(words))
            else:
                self.paragraph(block)
