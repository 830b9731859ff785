"""The numbers of a policy file: divided by a scale, and as the rules of the reference model."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.addresses import Addresses
from benchmarks.correlation.months.rules import Rules
from ratelimit.allowance.schema import Earned, LimitKeys
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.schema.model import Limit

_A_DAY = re.compile(r'^(rate = ")(\d+)(/day")', re.MULTILINE)
_BURST = re.compile(r"^(burst = )(\d+)()$", re.MULTILINE)
_EARNED = re.compile(r"(\b(?:per_usd|most) = )(\d+)()")
_KINDS = {None: "account", (24, 48): "network", (24, 32): "provider"}
_REQUESTS = "requests"


def scaled(policy: Path, scale: int) -> str:
    """Return a policy's text with all that it admits a day divided by a number: dollars open less, too."""

    def less(found: re.Match[str]) -> str:
        return f"{found[1]}{max(1, int(found[2]) // scale)}{found[3]}"

    text = policy.read_text("utf-8")
    for numbers in (_A_DAY, _BURST, _EARNED):
        text = numbers.sub(less, text)
    return text


def rules_of(policy: Path) -> Rules:
    """Return the model's numbers as a policy file has them.

    Raises:
        ValueError: no limit of requests a day has `earned`.
    """
    compiled = Policy.from_toml(policy.read_text("utf-8")).compiled
    limits = [
        (limit, limit.part(LimitKeys))
        for limit in compiled.file.limit
        if isinstance(limit, Limit) and limit.unit == _REQUESTS
    ]
    for limit, keys in limits:
        if keys.allowance is not None:
            beyond = [other for other, its in limits if its.overflow]
            return _rules(compiled, limit, keys.allowance, beyond)
    raise ValueError(f"{policy} has no limit of requests with `earned`")


def public_of(policy: Path) -> Callable[[Addresses], NDArray[np.bool_]]:
    """Return what says which IPv4 addresses are in ranges that a policy names as public."""
    spec = Policy.from_toml(policy.read_text("utf-8"), str(policy)).compiled.correlation
    ranges = sorted(
        (int(each.network_address), int(each.broadcast_address))
        for each in chain.from_iterable(() if spec is None else spec.public)
        if each.version == 4
    )
    first = np.array([begin for begin, _ in ranges], dtype=np.uint64)
    # Ranges may lie in each other: what counts is the last end so far.
    last = np.maximum.accumulate(np.array([end for _, end in ranges], dtype=np.uint64)) if ranges else first

    def is_public(addresses: Addresses) -> NDArray[np.bool_]:
        at = np.searchsorted(first, addresses.lo, side="right")
        found: NDArray[np.bool_] = (addresses.hi == 0) & (at > 0)
        found[found] = addresses.lo[found] <= last[at[found] - 1]
        return found

    return is_public


def _rules(compiled: CompiledPolicy, limit: Limit, earned: Earned, beyond: list[Limit]) -> Rules:
    quotas = {rule.name: rule.quota for rule in compiled.rules}
    kinds = {
        spec.name: (spec.v4_prefix, spec.v6_prefix) if spec.sources[0].kind == "client" else None
        for spec in compiled.identities
    }
    least = {"account": inf, "network": inf, "provider": inf, "payer": inf}
    for other in beyond:
        assert isinstance(other.per, str)
        of = "payer" if other.per == limit.per else _KINDS[kinds[other.per]]
        least[of] = min(least[of], quotas[other.name])
    grows = earned.growth is not None and earned.most is not None
    return Rules(
        rate=quotas[limit.name],
        per_usd=earned.per_usd or 0.0,
        young_usd=compiled.file.tuning.young_usd,
        growth=earned.growth if grows and earned.growth is not None else 0.0,
        most=earned.most if grows and earned.most is not None else 0.0,
        reads_paid=earned.per_usd is not None,
        account=least["account"],
        network=least["network"],
        provider=least["provider"],
        payer=least["payer"],
    )
