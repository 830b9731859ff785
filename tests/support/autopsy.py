"""The invariants of a table, whatever happened to its workers: read from its raw bytes.

Knows where entries lie and how their first word is made: 52 bits of key, then what
kind of state it is. Knows nothing of the code that writes them.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

ENTRY = struct.Struct("<QQ")
KINDS = range(1, 7)
PENDING = 7
PAGE_BYTES = 1 << 17


def entries(memory: Any, table: Any) -> list[tuple[int, int]]:
    """Return every place's two words."""
    blocks_bytes = table.stats(table.epoch_ns)["pages"] * PAGE_BYTES
    end = len(memory) - blocks_bytes
    start = end - table.capacity * ENTRY.size
    return list(ENTRY.iter_unpack(bytes(memory[start:end])))


def examine(memory: Any, table: Any, now_ns: int, kills: int = 0) -> None:
    """Assert that every place is empty, unfinished or one key's only state, and that totals agree."""
    places = entries(memory, table)
    kinds = Counter(tag & 7 for tag, _ in places)
    assert kinds[PENDING] <= kills, "more unfinished insertions than workers died"
    copies = Counter(tag for tag, _ in places if tag & 7 in KINDS)
    assert all(count == 1 for count in copies.values()), "a key has two entries"
    stats = table.stats(now_ns)
    assert 0 <= stats["live"] <= stats["used"] <= stats["capacity"] == len(places)
    assert stats["blocks_used"] <= stats["blocks"]
