"""Keys of encrypted guests: from a file that nobody else can read, never from a manifest itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from hypersdkd.host.secret_file import expand, read_secret
from hypersdkd.model.problem import fail

#: Bytes of a file of keys, and keys in it: each is tried on each encrypted device, a second or two a try.
_LIMIT: Final = 16 << 10
_KEYS: Final = 8


def key_file(inspect: Mapping[str, object]) -> Path | None:
    """The file that ``inspect.luks_key_file`` names; ``None`` where it names none, or an absent credential."""
    path = inspect.get("luks_key_file")
    try:
        return expand(Path(path)) if isinstance(path, str) and path else None
    except FileNotFoundError:
        return None


def read_keys(inspect: Mapping[str, object]) -> Sequence[str]:
    """The passphrases that ``inspect.luks_key_file`` names, one a line; none where it names nothing.

    Raises ``guest-key-unusable``, never with anything of the content.
    """
    path = inspect.get("luks_key_file")
    if not isinstance(path, str) or not path:
        return ()
    try:
        text = read_secret(Path(path), _LIMIT).decode()
    except OSError as error:
        raise fail("guest-key-unusable", f"the file of keys {path} cannot be used: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise fail("guest-key-unusable", f"the file of keys {path} is not text") from error
    keys = [line for line in text.splitlines() if line]
    if not 0 < len(keys) <= _KEYS:
        raise fail("guest-key-unusable", f"the file of keys {path} has {len(keys)} lines; 1 to {_KEYS} are used")
    return keys
