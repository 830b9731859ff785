"""The callers that the deny list refuses, noted beside those that limits refuse: see `core.memory.refusals`.

An operator's `stop` is an entry of this list. The caller is noted by the identity that is listed; where a
network is, by its address. Each refusal belongs to one entry: that of the policy, or else the oldest act that
stops any identity of the request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ratelimit.core.memory.refusals import note_refused
from ratelimit.core.memory.table import Table
from ratelimit.errors import StoreError
from ratelimit.identity.extract import Extractor
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.compile.identities import INTERNAL
from ratelimit.stores.acts.act import Act

DENY_LIST = "deny list"
"""The name that screens have for it, beside those of limits."""


def counter_of(identity: str) -> str:
    """Return the name of the counter that callers of an identity are noted by."""
    return f"\x1fdenied {identity}"


def denied_counters(compiled: CompiledPolicy, table: Table) -> Mapping[int, str]:
    """Return the names of identities by these counters."""
    names = [spec.name for spec in compiled.identities if spec.name not in INTERNAL]
    return {counter: name for name in names if (counter := _counter(table, name)) >= 0}


def _counter(table: Table, identity: str) -> int:
    """Return the number of an identity's counter; -1 where the table has none left."""
    try:
        return table.counter(counter_of(identity))
    except StoreError:
        return -1


def address_position(compiled: CompiledPolicy) -> int:
    """Return the position of the identity that is most nearly the client's address; -1 for none."""
    found = [
        spec for spec in compiled.identities if spec.name not in INTERNAL and spec.sources and spec.is_address
    ]
    return max(found, key=lambda spec: (spec.v4_prefix, spec.v6_prefix)).index if found else -1


_OF_POLICY = 0, 0
"""The place of the policy's own entries among those that stop a request, and their mark."""


class Denials:
    """Notes the callers that one bound policy's deny list refuses.

    Args:
        compiled: the policy.
        extractor: its identities and lists.
        acts: the operator's acts in force, the oldest first.
        table: where they are noted; None for a trial, which notes none.
    """

    __slots__ = ("_address", "_entries", "_listed", "_names", "_table")

    def __init__(
        self, compiled: CompiledPolicy, extractor: Extractor, acts: Sequence[Act], table: Table | None
    ) -> None:
        self._names = {spec.index: spec.name for spec in compiled.identities}
        self._table = table
        self._listed = tuple(extractor.denied.items())
        self._entries: dict[tuple[int, int], tuple[int, int]] = {}
        for age, act in enumerate(acts, 1):
            if act.of.effect == "denied" and act.identity in extractor.positions:
                for one in act.accounts:
                    entry = extractor.positions[act.identity], one
                    self._entries.setdefault(entry, (age, act.mark))
        for at, value in compiled.deny.values:
            for one in extractor.value_hashes(self._names[at], value):
                self._entries[at, one] = _OF_POLICY
        self._address = address_position(compiled) if compiled.deny.networks else -1

    def note(self, row: Sequence[int], now_ns: int) -> None:
        """Note the caller of a request that was denied."""
        found = [
            (self._entries.get((at, row[at]), _OF_POLICY), at)
            for at, hashes in self._listed
            if row[at] in hashes
        ]
        (_, mark), position = min(found, default=(_OF_POLICY, self._address))
        if self._table is not None and position >= 0 and row[position] >= 0:
            counter = _counter(self._table, self._names[position])
            note_refused(self._table, row[position], counter, now_ns, mark)
