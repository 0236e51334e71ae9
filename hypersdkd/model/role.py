"""What a caller of the API may do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """``read`` looks, ``operate`` changes as well; what ``anyone`` may do needs no token, and no token says it."""

    ANYONE = "anyone"
    READ = "read"
    OPERATE = "operate"

    def allows(self, needed: Role) -> bool:
        """Whether one with this role may do what ``needed`` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)
