"""Makes the man pages of the parsers, of the settings' definition, and of the docs' words on both."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel
from roff import Page, bold, code, italic, unbroken

import hypersdkd
from hypersdkd import daemon
from hypersdkd.cli import arguments
from hypersdkd.engine.config import SEARCH, Settings

DOCS = Path(__file__).resolve().parent.parent / "docs"

#: What stands for which file that the docs name.
PAGES = {
    "hyperctl.md": "hyperctl(1)",
    "hypersdkd.md": "hypersdkd(8)",
    "configuration.md": "hypersdkd.yaml(5)",
    "../etc/hypersdkd.yaml": "/etc/hypersdkd/hypersdkd.yaml",
}

SEE_ALSO = "The other pages that are named here are in **/usr/share/doc/hypersdkd/docs**: where to begin is install.md."

ENVIRONMENT = {
    "HYPERSDKD_URL": "Where the daemon is, unless an option says so: `http://HOST:PORT`, `https://HOST:PORT` or "
    "`unix:PATH`.",
    "HYPERSDKD_TOKEN_FILE": "Stands for `--token-file`.",
    "HYPERSDKD_CA_FILE": "Stands for `--ca`.",
    "NO_COLOR": "Where it is set, nothing is coloured.",
}


def new_page(title: str, section: int) -> Page:
    """An empty page. Its date is that of ``SOURCE_DATE_EPOCH``, so that a package can be built twice alike."""
    moment = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    return Page(title, section, time.strftime("%Y-%m-%d", moment), f"hypersdkd {hypersdkd.__version__}", PAGES)


def sections(page: str, heading: str = "##") -> dict[str, str]:
    """What stands below each heading of a page, or of a part of one; what stands before the first is below ``""``."""
    parts = re.split(rf"^{heading} (.+)\n", page, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def options(page: Page, parser: argparse.ArgumentParser, also: str = "") -> None:
    """Each option and each word of ``parser``; of a command only those that are not every command's."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or (not also and action.dest == "help"):
            continue
        value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
        value = " ".join(value) if isinstance(value, tuple) else value
        if not action.option_strings:
            page.entry(italic(value), action.help or "")
            continue
        term = ", ".join(bold(option) for option in action.option_strings) + (f" {italic(value)}" if value else "")
        choices = f" ({', '.join(map(str, action.choices))})" if action.choices else ""
        page.entry(term, f"{action.help}{choices}")


def synopsis(parser: argparse.ArgumentParser) -> str:
    """The usage: options and what is typed bold, what stands for something else italic."""
    usage = " ".join(parser.format_usage().split()).removeprefix("usage: ").replace("[-h] ", "").replace(" [-h]", "")
    words = re.split(r"([\[\] |{},]+)", usage)
    line = "".join(
        code(word)
        if re.fullmatch(r"[\[\] |{},]*|\.+", word)
        else italic(word)
        if re.fullmatch(r"[A-Z][A-Z-]*", word)
        else bold(word)
        for word in words
    )
    return unbroken(line).replace(",", r",\:")


def hyperctl() -> Page:
    """hyperctl(1)."""
    page, parser = new_page("hyperctl", 1), arguments.build_parser()
    # Examples are left to the docs, and so is what is said of them.
    told = sections(re.sub(r"^The examples below .*\n", "", (DOCS / "hyperctl.md").read_text(), flags=re.MULTILINE))
    commands = {" ".join(words): leaf for words, leaf in arguments.leaves(parser)}
    page.section("name")
    page.line(r"hyperctl \- watch and steer hypersdkd, which converts virtual machines for KVM")
    page.section("synopsis")
    page.line(synopsis(parser))
    page.section("description")
    page.paragraph(told.pop("").split("\n", 1)[1])
    told_of = {"Options of every command": "options", "Exit status": "exit status"}
    del told["Tab and man"]  # who reads this page has it
    for heading, words in told.items():
        below = sections(words, "###")
        page.section(told_of.get(heading, heading))
        if heading == "Options of every command":
            where, below[""] = re.split(r"(?:^\|.*\n)+", below[""], maxsplit=1, flags=re.MULTILINE)
            page.markdown(where)
            options(page, parser, also="help")
        page.markdown(below.pop(""))
        for title, body in below.items():
            name = next(name for name in commands if re.match(rf"`hyperctl {name}[ `]", title))
            command = commands.pop(name)
            page.subsection(synopsis(command))
            page.markdown(re.sub(r"^```.*?^```\n|^\|.*?\n", "", body, flags=re.MULTILINE | re.DOTALL))
            options(page, command)
    if commands:
        raise SystemExit(f"docs/hyperctl.md says nothing of: {', '.join(commands)}")
    page.section("environment")
    for variable, words in ENVIRONMENT.items():
        page.entry(bold(variable), words)
    page.section("files")
    for path in SEARCH:
        page.entry(bold(str(path)), "The daemon's configuration: where the API and the queue are.")
    page.section("see also")
    page.paragraph(f"**hypersdkd(8)**, **hypersdkd.yaml(5)**. {SEE_ALSO}")
    return page


def hypersdkd_page() -> Page:
    """hypersdkd(8)."""
    page, parser = new_page("hypersdkd", 8), daemon.build_parser()
    text = (DOCS / "hypersdkd.md").read_text().split("\n", 1)[1]
    intro, _options, statuses, signals, rest = re.split(r"\n(?=\| (?:option|exit status|signal) \||The log)", text)
    page.section("name")
    page.line(r"hypersdkd \- converts virtual machines for KVM, as a service")
    page.section("synopsis")
    page.line(synopsis(parser))
    page.section("description")
    page.markdown(intro)
    page.section("options")
    options(page, parser, also="help")
    for heading, words in (("exit status", statuses), ("signals", signals), ("log", rest)):
        page.section(heading)
        page.markdown(words)
    page.section("files")
    for path in SEARCH:
        page.entry(bold(str(path)), "The configuration; the first that is there is read.")
    page.entry(
        bold("/var/lib/hyper2kvm"), "The queue, its results, and what is kept of each job, unless told otherwise."
    )
    page.section("see also")
    page.paragraph(
        f"**hyperctl(1)**, **hypersdkd.yaml(5)**, **journalctl(1)**, **qemu-img(1)**, **guestfs(3)**. {SEE_ALSO}"
    )
    return page


def kind(schema: Mapping[str, object]) -> str:
    """What a value of this JSON Schema is, in a few words."""
    match schema:
        case {"anyOf": [*some]}:
            kinds = [kind(one) for one in some]
            return (", or " if "," in kinds[0] else " or ").join(kinds)
        case {"enum": [*some]}:
            return ", ".join(f"`{one}`" for one in some)
        case {"type": "array", "items": items}:
            return f"list of {kind(items)}s"
        case {"type": "integer" | "number" as name, "minimum": least, "maximum": most}:
            return f"{name}, {least} to {most}"
        case {"format": "path"}:
            return "path"
        case {"type": "object"}:
            return "mapping"
        case {"type": str(name)}:
            return name
    raise ValueError(f"no words for {schema}")


def settings(page: Page, model: type[BaseModel], at: str = "") -> None:
    """Every key of ``model`` with its kind and its description."""
    shapes = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            page.subsection(bold(f"{at}{name}"))
            page.paragraph(field.description or "")
            settings(page, field.annotation, f"{at}{name}.")
        else:
            page.entry(bold(f"{at}{name}"), f"({kind(shapes[name])}) {field.description}")
    if model.model_config.get("extra") == "allow":
        page.entry(f"{bold(at)}{italic('NAME')}", "(mapping) Settings for the plugin of this name: plugins.md.")


def configuration() -> Page:
    """hypersdkd.yaml(5)."""
    page = new_page("hypersdkd.yaml", 5)
    text = sections((DOCS / "configuration.md").read_text(), "#")
    page.section("name")
    page.line(r"hypersdkd.yaml \- configuration of hypersdkd")
    page.section("synopsis")
    page.line(bold(str(SEARCH[0])))
    page.section("description")
    told = sections(text["Configuration"])
    page.markdown(told.pop(""))
    page.section("keys")
    settings(page, Settings)
    for heading, words in {"When a file is taken": text["When a file is taken"], **told}.items():
        page.section(heading)
        page.markdown(words)
    page.section("see also")
    page.paragraph(f"**hypersdkd(8)**, **hyperctl(1)**. {SEE_ALSO}")
    return page


def main() -> None:
    """Write the pages into the directory that is named."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, page in (
        ("hyperctl.1", hyperctl()),
        ("hypersdkd.8", hypersdkd_page()),
        ("hypersdkd.yaml.5", configuration()),
    ):
        (directory / name).write_text(str(page))


if __name__ == "__main__":
    main()
