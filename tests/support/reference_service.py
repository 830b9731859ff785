"""A plain model of Envoy's rate-limit service, after what its documentation says of matching and counting.

It takes a configuration as Python values and calls as lists of descriptors. It answers with a code for the
call and for each descriptor. It knows nothing of stores and policies.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

SECONDS = {
    "second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400,
    "year": 365 * 86_400,
}  # fmt: skip
Entries = list[tuple[str, str]]


@dataclass
class Descriptor:
    """One descriptor of a call."""

    entries: Entries
    hits: int | None = None
    limit: tuple[int, str] | None = None
    """Requests and unit that it brings."""


@dataclass
class Status:
    """The answer for one descriptor."""

    is_over: bool = False
    requests: int | None = None
    unit: str = ""
    name: str = ""
    remaining: int = 0
    reset_s: int = 0


@dataclass
class Answer:
    """The answer to a call."""

    is_over: bool
    statuses: list[Status] = field(default_factory=list)


class ReferenceService:
    """Counts by aligned windows of whole seconds; each descriptor of a call, whatever another says."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._domain = configuration["domain"]
        self._descriptors = configuration["descriptors"]
        self._counts: Counter[tuple[Any, ...]] = Counter()

    def call(self, domain: str, descriptors: list[Descriptor], now_s: float, hits: int = 0) -> Answer:
        """Count one call; return what is answered."""
        found = [self._found(domain, each) for each in descriptors]
        replaced = {
            one["name"] for _, node in found for one in node.get("rate_limit", {}).get("replaces", ())
        }
        over = over_quotas = quotas = 0
        statuses = []
        for (shared, node), descriptor in zip(found, descriptors, strict=True):
            limit = node.get("rate_limit")
            if limit is None or (not limit.get("unlimited") and limit.get("name") in replaced):
                statuses.append(Status())
                continue
            if limit.get("unlimited"):
                statuses.append(Status(remaining=2**32 - 1))
                continue
            length = SECONDS[limit["unit"].lower()]
            key = (*shared, length, int(now_s) // length)
            self._counts[key] += max(1, hits) if descriptor.hits is None else descriptor.hits
            requests = limit.get("requests_per_unit", 0)
            is_over = self._counts[key] > requests
            left = max(0, requests - self._counts[key])
            is_over = is_over and not node.get("shadow_mode")
            reset_s = length - int(now_s) % length
            statuses.append(Status(is_over, requests, limit["unit"], limit.get("name", ""), left, reset_s))
            if node.get("quota_mode"):
                quotas += 1
                over_quotas += is_over
            else:
                over += is_over
        return Answer(over > 0 or (quotas > 0 and quotas == over_quotas), statuses)

    def _found(self, domain: str, descriptor: Descriptor) -> tuple[list[tuple[str, str]], dict[str, Any]]:
        """Return what a descriptor counts in, and the node with its limit."""
        entries = descriptor.entries
        if domain != self._domain:
            return [], {}
        if descriptor.limit is not None:
            requests, unit = descriptor.limit
            return entries, {"rate_limit": {"requests_per_unit": requests, "unit": unit}}
        siblings, node, shared = self._descriptors, {}, []
        for key, value in entries:
            node = self._best(siblings, key, value) or {}
            if not node:
                return [], {}
            is_pattern = f"{key}_{value}" not in (_name(node), node["key"]) and key != _name(node)
            shares = is_pattern and node.get("share_threshold") and "*" in _name(node)
            shared.append((key, _name(node).removeprefix(f"{key}_") if shares else value))
            siblings = node.get("descriptors") or []
        return shared, node

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


def _name(node: dict[str, Any]) -> str:
    return f"{node['key']}_{node['value']}" if node.get("value") else node["key"]
