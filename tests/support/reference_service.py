"""A plain model of Envoy's rate-limit service, after what its documentation says of matching and counting.

It takes a configuration as Python values and a call as lists of entries, and answers whether the call is over
a limit. It knows nothing of policies.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

SECONDS = {
    "second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400,
    "year": 365 * 86_400,
}  # fmt: skip
Entries = list[tuple[str, str]]


class ReferenceService:
    """Counts by aligned windows of whole seconds; each descriptor of a call, whatever another says."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._descriptors = configuration["descriptors"]
        self._counts: Counter[tuple[Any, ...]] = Counter()

    def is_over(self, descriptors: list[Entries], now_s: float) -> bool:
        """Count one call; return whether it is to be refused."""
        found = [(entries, self._node(entries)) for entries in descriptors]
        limits = [(entries, node) for entries, node in found if node is not None and node.get("rate_limit")]
        replaced = {one["name"] for _, node in limits for one in node["rate_limit"].get("replaces", ())}
        over = over_quotas = quotas = 0
        for entries, node in limits:
            limit = node["rate_limit"]
            if limit.get("unlimited") or limit.get("name") in replaced:
                continue
            length = SECONDS[limit["unit"].lower()]
            key = (*self._shared(entries, node), length, int(now_s) // length)
            self._counts[key] += 1
            is_over = self._counts[key] > limit.get("requests_per_unit", 0) and not node.get("shadow_mode")
            if node.get("quota_mode"):
                quotas += 1
                over_quotas += is_over
            else:
                over += is_over
        return over > 0 or (quotas > 0 and quotas == over_quotas)

    def _node(self, entries: Entries) -> dict[str, Any] | None:
        """Return the descriptor of the same depth that fits best."""
        siblings, node = self._descriptors, None
        for at, (key, value) in enumerate(entries):
            node = self._best(siblings, key, value)
            if node is None:
                return None
            siblings = node.get("descriptors") or []
            if not siblings and at < len(entries) - 1:
                return None
        return node

    @staticmethod
    def _best(siblings: list[dict[str, Any]], key: str, value: str) -> dict[str, Any] | None:
        # The service joins key and value by an underscore, and compares the whole.
        whole = f"{key}_{value}"
        names = [(_name(node), node) for node in siblings]
        for name, node in names:
            if name == whole:
                return node
        for name, node in names:
            if "*" in name and re.fullmatch(".*".join(map(re.escape, name.split("*"))), whole, re.DOTALL):
                return node
        return next((node for name, node in names if name == key), None)

    def _shared(self, entries: Entries, node: dict[str, Any]) -> tuple[Any, ...]:
        shares = node.get("share_threshold") and "*" in (node.get("value") or "")
        return tuple((key, node["value"] if shares else value) for key, value in entries)


def _name(node: dict[str, Any]) -> str:
    return f"{node['key']}_{node['value']}" if node.get("value") else node["key"]


def key_lists(descriptors: list[dict[str, Any]], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the lists of keys that lead to a limit, each once: Envoy sends a descriptor for each."""
    found: dict[tuple[str, ...], None] = {}
    for node in descriptors:
        here = (*above, node["key"])
        if node.get("rate_limit"):
            found[here] = None
        found.update(dict.fromkeys(key_lists(node.get("descriptors") or [], here)))
    return list(found)
