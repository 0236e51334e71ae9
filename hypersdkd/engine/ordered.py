"""Keys that stay in order while they come and go."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

_V = TypeVar("_V")
_K = TypeVar("_K", bound=tuple[object, ...])


class Ordered(Generic[_K]):
    """Sorted when they are first asked for; from then on a change costs a search and a move of memory, some 50 µs
    among 100,000, where sorting again would hold the loop for 100 ms. No key may come twice."""

    def __init__(self, all_keys: Callable[[], Iterable[_K]]) -> None:
        """``all_keys`` is asked once, and not before that: what was told until then is in its answer."""
        self._all_keys = all_keys
        self._keys: list[_K] | None = None

    def keys(self) -> list[_K]:
        """All of them, the least first; not to be changed, nor kept beyond the next change."""
        if self._keys is None:
            self._keys = sorted(self._all_keys())
        return self._keys

    def add(self, key: _K) -> None:
        """One more."""
        if self._keys is not None:
            bisect.insort(self._keys, key)

    def remove(self, key: _K) -> None:
        """One less; it is there."""
        if self._keys is not None:
            del self._keys[bisect.bisect_left(self._keys, key)]


@dataclass(frozen=True, slots=True)
class NamedRows(Generic[_V]):
    """What is known by name, in the order of ``keys``, which end with the names: as it is now, not for later."""

    keys: Sequence[tuple[bool, int, str]] | Sequence[tuple[int, str]]
    values: Mapping[str, _V]

    def __iter__(self) -> Iterator[tuple[str, _V]]:
        values = self.values
        return ((key[-1], values[key[-1]]) for key in self.keys)

    def copy(self) -> NamedRows[_V]:
        """The same for later, in a thread too."""
        return NamedRows(self.keys[:], dict(self.values))
