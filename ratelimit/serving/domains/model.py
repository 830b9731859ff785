"""Domains, their descriptors and limits, and the limit that a descriptor of a call falls under.

The rules, which docs/serve.md has for operators:

- A descriptor of a call goes down the tree by its entries. Its limit is where the last one arrives.
- On each level comes a key with this value, then patterns (`*`) in the file's order, then the key alone.
- Key and value are compared as one text with `_` between them, as the reference service does.
- A counter belongs to all entries of a descriptor with their values. Where a pattern shares its threshold, it
  takes the place of the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PERIODS_S: Mapping[int, int] = {
    1: 1,
    2: 60,
    3: 3_600,
    4: 86_400,
    7: 7 * 86_400,
    5: 30 * 86_400,
    6: 365 * 86_400,
}
"""The seconds of a window, by the protocol's number of its unit."""
UNITS: Mapping[str, int] = {
    "SECOND": 1,
    "MINUTE": 2,
    "HOUR": 3,
    "DAY": 4,
    "WEEK": 7,
    "MONTH": 5,
    "YEAR": 6,
}
Entry = tuple[str, str]
"""A key and a value."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The `rate_limit` of a descriptor, with what the descriptor says of it."""

    requests: int
    unit: int
    """The protocol's number; 0 of an unlimited one."""
    name: str = ""
    replaces: tuple[str, ...] = ()
    is_unlimited: bool = False
    is_shadow: bool = False
    is_quota: bool = False
    is_detailed: bool = False
    metadata: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Node:
    """One descriptor, or the top of a domain."""

    key: str = ""
    """The whole name: domain, keys and values from the top down."""
    limit: Limit | None = None
    children: dict[str, Node] = field(default_factory=dict)
    """By key, or by key and value with `_` between them."""
    patterns: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """Names of children with a `*`, in the order of the file, each with its fixed parts."""
    names_value: bool = False
    """True if values are in the names of metrics."""
    shares: bool = False
    """True if all values of a pattern count together."""


@dataclass(frozen=True, slots=True)
class MatchedLimit:
    """The limit of one descriptor of a call."""

    limit: Limit
    series: str
    """The name under which its statistics are kept."""
    rolled_up: str
    """The name without values of a call: of which there are as many as the file says."""
    partition: Sequence[str]
    """The counter: keys and values in turn."""


class Domains:
    """All domains of a configuration."""

    def __init__(self, tops: Mapping[str, Node]) -> None:
        self._tops = tops

    def __len__(self) -> int:
        return len(self._tops)

    def __contains__(self, domain: str) -> bool:
        return domain in self._tops

    def find(self, domain: str, entries: Sequence[Entry]) -> MatchedLimit | None:
        """Return the limit of a descriptor; None where none applies."""
        node = self._tops.get(domain)
        if node is None:
            return None
        partition: list[str] = []
        named = [domain]
        shares = False
        for key, value in entries:
            found = _child(node, key, value)
            if found is None:
                return None
            node, pattern, is_valued = found
            shared = pattern if pattern is not None and node.shares else None
            shares |= shared is not None
            partition += key, value if shared is None else shared
            if pattern is not None:
                said = shared or (value if node.names_value else pattern)
            else:
                said = value if is_valued or node.names_value else ""
            named.append(f"{key}_{said}" if said else key)
        limit = node.limit
        if limit is None:
            return None
        series = ".".join(named)
        if limit.is_detailed:
            # Values that share a threshold are counted under their pattern; all others are spelled out.
            pairs = zip(partition[::2], partition[1::2], strict=True)
            series = ".".join(
                [domain, *(f"{key}_{value}" if value or not shares else key for key, value in pairs)]
            )
        return MatchedLimit(limit, series, node.key, partition)

    def dump(self) -> list[str]:
        """Return a line for each limit, as the reference service's `/rlconfig` has it."""
        lines: list[str] = []
        names = {number: name for name, number in UNITS.items()} | {0: "UNKNOWN"}
        left = list(self._tops.values())
        while left:
            node = left.pop()
            left += node.children.values()
            if (limit := node.limit) is not None:
                lines.append(
                    f"{node.key}: unit={names[limit.unit]} requests_per_unit={limit.requests}, "
                    f"shadow_mode: {str(limit.is_shadow).lower()}, quota_mode: {str(limit.is_quota).lower()}"
                )
        return sorted(lines)


def overriding(domain: str, entries: Sequence[Entry], requests: int, unit: int) -> MatchedLimit:
    """Return the limit that a descriptor of a call brings with it."""
    parts = [f"{key}_{value}" if value else key for key, value in entries]
    series = f"{domain}.{'.'.join(parts)}"
    return MatchedLimit(Limit(requests, unit), series, domain, [text for entry in entries for text in entry])


def _child(node: Node, key: str, value: str) -> tuple[Node, str | None, bool] | None:
    """Return the child of an entry, the pattern that its value fits, and whether it has a value."""
    whole = f"{key}_{value}"
    found = node.children.get(whole)
    if found is not None:
        return found, None, True
    for name, parts in node.patterns:
        if fits(parts, whole):
            return node.children[name], name.removeprefix(f"{key}_"), True
    found = node.children.get(key)
    return None if found is None else (found, None, False)


def fits(parts: Sequence[str], text: str) -> bool:
    """Return whether a text has a pattern's fixed parts, in their order and not over each other."""
    first, last = parts[0], parts[-1]
    if len(text) < sum(map(len, parts)) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in parts[1:-1]:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
