"""What the sections of the configuration are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from hypersdkd.host.secret_file import CREDENTIALS, is_credential


def _absolute(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("must be a path")
    if "\0" in str(value) or not Path(value).is_absolute():
        raise ValueError("must be an absolute path (neither ~ nor the working directory is looked at)")
    return Path(value)


def _secret(value: object) -> Path:
    """A path that may also begin with $CREDENTIALS_DIRECTORY/, which is known only when the daemon runs."""
    if isinstance(value, str | Path) and is_credential(Path(value)):
        if len(Path(value).parts) != 2 or "\0" in str(value):
            raise ValueError(f"must be one name after {CREDENTIALS}/")
        return Path(value)
    return _absolute(value)


#: A path that starts at the root.
AbsolutePath = Annotated[Path, BeforeValidator(_absolute)]

#: The same, or one of the service's credentials.
SecretPath = Annotated[Path, BeforeValidator(_secret)]


class Group(BaseModel):
    """A section: no key that is not known, no value of another type, and null for all of it means the defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, values: object) -> object:
        """A section whose keys are all commented out is read as null: it means the defaults."""
        if not isinstance(values, dict):
            return values
        sections = {name for name, field in cls.model_fields.items() if isinstance(field.default, BaseModel)}
        return {key: value for key, value in values.items() if value is not None or key not in sections}
