"""virt-v2v takes minutes without KVM: its test is run by ``script/test --all-guests``."""

from __future__ import annotations

from tests.guests.recipe import ALL_GUESTS

collect_ignore = [] if ALL_GUESTS else ["test_virt_v2v.py"]
