"""An explanation of conduct: how far it lowers the limits of one request's account, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from ratelimit.conduct.compile import Ramp, ramp_of
from ratelimit.conduct.conduct import Conduct, key_of
from ratelimit.conduct.lowered import WHOLE, falls
from ratelimit.conduct.memory import SharedConduct, conduct_form
from ratelimit.conduct.model.strikes import Strike, Struck, struck
from ratelimit.conduct.ramps import Ramps, ramps_of
from ratelimit.conduct.stage import Adapting, ConductPart
from ratelimit.core.memory.table import Table
from ratelimit.core.sharing.conduct import ConductMemory
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.part import Host
from ratelimit.inspection import formatting
from ratelimit.inspection.requests.explaining import FeatureLine, Looking, Question
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.contract import Store
from ratelimit.stores.factory import counting_table, wish_of

ENOUGH = (WHOLE - 1) / WHOLE
"""Above this, limits have all their numbers."""
_KINDS = {
    Strike.PERSISTS: "it kept calling through refusals",
    Strike.GROWS: "its actor got more accounts",
    Strike.SURER: "the verdict on it rose",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """The record of an account and its cluster on this host; None without strikes."""

    account: Struck | None
    cluster: Struck | None
    limits: Mapping[str, Struck] = field(default_factory=dict)
    """Of the account at each limit where it has strikes."""

    @property
    def told(self) -> str:
        """Return it in one line."""
        at_limits = [(f"account at `{name}`", one) for name, one in self.limits.items()]
        said = [
            f"the {what} has {_strikes(one)}, {_since(one)}; {_until(one)}"
            for what, one in (*at_limits, ("account", self.account), ("cluster", self.cluster))
            if one is not None
        ]
        return "; ".join(said) or "nothing struck"

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "account": _json(self.account),
            "cluster": _json(self.cluster),
            "limits": {name: _json(one) for name, one in self.limits.items()},
        }


class Remembered:
    """The memory of this host's workers about accounts, to look at.

    Args:
        memory: where it is.
        table: where their counters are.
    """

    def __init__(self, memory: ConductMemory, table: Table) -> None:
        self._memory = memory
        self._table = table

    def conduct(self) -> Conduct:
        """Return what is known of accounts."""
        return Conduct(self._memory, self._table)

    def ramps(self, spec: Ramp) -> Ramps:
        """Return how steep rises are."""
        return Ramps(spec, self._memory, None)

    def part(self, host: Host) -> ConductPart:
        """Return the part of conduct that knows these."""
        return ConductPart(host, self.conduct, self.ramps)


@dataclass(frozen=True, slots=True)
class Rise:
    """The rise of an account.

    Args:
        used: requests that limits let through in this hour.
        past: the same of the highest hour of its past, as it counts now.
        held_ns: how long a request of it is held; in shadow, would be.
        is_shadow: whether it is only counted.
    """

    used: int
    past: int
    held_ns: int
    is_shadow: bool

    @property
    def told(self) -> str:
        """Return it in one line."""
        said = f"{self.used:,} requests this hour, {self.past:,} in its highest hour before"
        if not self.held_ns:
            return f"{said}; not held"
        return f"{said}; {'would be held' if self.is_shadow else 'held'} {formatting.wait(self.held_ns)}"

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "used": self.used,
            "past": self.past,
            "held": self.held_ns / 1e9,
            "mode": "shadow" if self.is_shadow else "enforce",
        }


def rise_of(bound: BoundPolicy, row: Sequence[int], now_ns: int) -> Rise | None:
    """Return how the account of a row rises; None where no rise is delayed."""
    ramps, account = ramps_of(bound), bound.payer(row)
    if ramps is None:
        return None
    return Rise(*ramps.used(account, now_ns), ramps.delay_ns(account, now_ns), ramps.is_shadow)


@contextmanager
def remembered_of(policy: Policy, store: Store) -> Iterator[Remembered | None]:
    """Look at what this host's workers remember; None where they remember nothing.

    Raises:
        StoreError: it cannot be read.
    """
    # A policy's server is asked from memory of our own; conduct is the host's all the same.
    place = store.place or wish_of(policy, needs_key=False).place
    shared = SharedConduct.existing(place, store.hasher.key, conduct_form())
    if shared is None:
        yield None
        return
    memory = shared.memory
    try:
        yield Remembered(memory, counting_table(store))
    finally:
        shared.close()


def standing_of(bound: BoundPolicy, row: Sequence[int], now_ns: int) -> Standing:
    """Return what is remembered of a decided row."""
    adapting = bound.find(Adapting)
    if adapting is None:
        return Standing(None, None)
    word = adapting.conduct.memory.word
    account, cluster = bound.payer(row), key_of(row, bound.compiled.cluster)
    at_limits = {
        name: struck(word(spec.key(spec.own, row)), now_ns, ENOUGH)
        for name, spec in adapting.specs.items()
        if spec.own
    }
    return Standing(
        struck(word(account), now_ns, ENOUGH),
        struck(word(cluster), now_ns, ENOUGH),
        {name: one for name, one in at_limits.items() if one is not None},
    )


def _strikes(one: Struck) -> str:
    strikes = round(one.strikes, 1)
    return "1 strike" if strikes == 1 else f"{strikes:g} strikes"


def _since(one: Struck) -> str:
    why = " and ".join(_KINDS[kind] for kind in one.kinds)
    return f"the last {formatting.wait(one.ago_s * 10**9)} ago" + (f" as {why}" if why else "")


def _until(one: Struck) -> str:
    return f"whole again in {formatting.wait(one.recovers_s * 10**9)}" if one.recovers_s else "whole again"


def _json(one: Struck | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "factor": one.factor,
        "strikes": one.strikes,
        "last": [kind.name.lower() for kind in one.kinds],
        "last_ago": one.ago_s,
        "whole_in": one.recovers_s,
    }


class ConductLooking(Looking):
    """Conduct and rises of one request's account.

    Args:
        remembered: what this host's workers remember; None: nothing.
        is_live: whether that was looked at.
    """

    def __init__(self, remembered: Remembered | None, is_live: bool) -> None:
        self.makers = {} if remembered is None else {ConductPart: remembered.part}
        self._is_live = is_live

    def said(self, question: Question) -> Iterator[FeatureLine]:
        """Yield how far limits are lowered, and how steep the account rises."""
        bound, row, now_ns = question.bound, question.row, question.now_ns
        standing, rise = standing_of(bound, row, now_ns), rise_of(bound, row, now_ns)
        words = None
        if any(falls(line.rule) and line.verdict is not None for line in question.limits):
            words = standing.told if self._is_live else "--live would say, and what it leaves of limits"
        yield FeatureLine("conduct", words, standing.as_json() if self._is_live else None)
        words = None
        if ramp_of(bound.compiled) is not None:
            words = "--live would say how steep it is" if rise is None else rise.told
        yield FeatureLine("rise", words, None if rise is None else rise.as_json())


@contextmanager
def looking(policy: Policy, store: Store, *, is_live: bool) -> Iterator[ConductLooking]:
    """Look at the conduct of one request's account."""
    with ExitStack() as stack:
        remembered = stack.enter_context(remembered_of(policy, store)) if is_live else None
        yield ConductLooking(remembered, is_live)


def rule_words(rule: LimitRule) -> list[str]:
    """Return what is to be known of a rule, each in one phrase."""
    steps = ", then ".join(rule.on_refusal[1:] or rule.on_refusal)
    return [f"falls with bad conduct: {steps}"] if falls(rule) else []


def rule_json(rule: LimitRule) -> dict[str, Any]:
    """Return the same for machines."""
    return {"adaptive": falls(rule)}
