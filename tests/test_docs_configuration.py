"""etc/hypersdkd.yaml and docs/configuration.md hold every key that the settings have, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel

from hypersdkd.engine.config import Settings, load_config
from hypersdkd.engine.config_read import DROPPED, MODE_SWITCHES, RENAMED

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "etc/hypersdkd.yaml"
PAGE = ROOT / "docs/configuration.md"


def leaves(model: type[BaseModel], at: str = "") -> Iterator[tuple[str, str, object]]:
    """(path, description, default) of every key that holds a value."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{at}{name}.")
        else:
            yield f"{at}{name}", field.description or "", field.default


def flatten(values: Mapping[str, object], at: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{at}{key}."))
        else:
            flat[f"{at}{key}"] = value
    return flat


def uncommented() -> str:
    """The example with the # of every setting taken away; prose has a space after its #."""
    return re.sub(r"^( *)#(?=\w)", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)


def test_the_example_as_shipped_changes_nothing() -> None:
    loaded = load_config(EXAMPLE)
    assert loaded.warnings == ()
    assert loaded.settings == Settings()


def test_the_example_uncommented_is_every_key_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(uncommented())
    settings = load_config(path).settings
    shown = flatten(yaml.safe_load(uncommented()))
    assert shown.keys() == {path for path, _description, _default in leaves(Settings)}
    default = Settings()
    assert settings.workflow.output_dir == default.workflow.outputs
    told = {"mode": settings.mode, "workflow": settings.workflow.model_copy(update={"output_dir": None})}
    assert settings.model_copy(update=told) == default.model_copy(update={"mode": "manifest"})


def test_every_key_is_on_the_page_in_the_words_of_its_field() -> None:
    sections = dict(re.findall(r"^### `(\S+)`\n\n(.+?)(?=\n#|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    assert {path: " ".join(text.split()) for path, text in sections.items()} == {
        path: description for path, description, _default in leaves(Settings)
    }


def test_every_description_says_the_default() -> None:
    for path, description, _default in leaves(Settings):
        assert "Default:" in description, path


def test_every_old_key_is_on_the_page() -> None:
    table = PAGE.read_text().split("## hyper2kvm's keys")[1].split("# Every key")[0]
    named = set(re.findall(r"`(\w+)(?:: true)?`", table.replace("`daemon`; no effect", "")))
    assert named == {*RENAMED, *MODE_SWITCHES, *DROPPED}
