"""A trace: columns of numpy, sorted by time, and beside them the true actors.

What a limiter may see and what only the judge may see are kept apart. `Truth` is never
given to a contender that claims to infer something; the upper bound alone reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.addresses import Addresses, tabulate
from benchmarks.correlation.numbers import Floats, Ints, Words

Column = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Events:
    """Requests in the making, in any order; addresses still as words."""

    time_ns: Ints
    account: Column
    hi: Words
    lo: Words
    client: Column
    input_tokens: Column
    output_tokens: Column

    def __len__(self) -> int:
        return len(self.time_ns)

    def where(self, mask: NDArray[np.bool_]) -> Events:
        """Return some of them."""
        return Events(*(getattr(self, name)[mask] for name in _COLUMNS))


_COLUMNS = ("time_ns", "account", "hi", "lo", "client", "input_tokens", "output_tokens")


def joined(parts: Sequence[Events]) -> Events:
    """Return several parts as one."""
    return Events(*(np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS))


@dataclass(frozen=True, slots=True)
class Truth:
    """The actor behind each account; all columns have one row an account.

    Args:
        actor: accounts of one actor share it.
        klass: index into `klasses`: which kind of honest account, or which campaign.
        campaign: number of the campaign, -1 for the honest.
        generation: 0 for the first wave of a campaign, then 1, 2, ... for replacements.
        victim: an account that a poisoning campaign aims at.
    """

    actor: Ints
    klass: NDArray[np.int32]
    campaign: NDArray[np.int32]
    bound: NDArray[np.int32]
    victim: NDArray[np.bool_]
    klasses: tuple[str, ...]

    @property
    def honest(self) -> NDArray[np.bool_]:
        """Accounts of no campaign."""
        return self.campaign < 0


@dataclass(frozen=True)
class Trace:
    """Requests by time.

    Args:
        time_ns: whole microseconds, not descending.
        account: row of `truth`.
        ip: row of `addresses`.
        payment: number of the payment method, 0 for none.
        client: row of `clients`.
        input_tokens, output_tokens: what the request cost.
        starts_ns: by campaign number, when it begins; collateral is counted over all of the trace.
        end_ns: when the trace ends.
        created_ns: when each account was created, a row an account; None where nothing says so.
        sponsor: who pays in place of a payment method, a row an account, 0 for none; likewise.
        paid_usd: dollars that the payer of each request has cleared in 30 days; no number where
            nobody pays. None where nothing says so.
    """

    time_ns: Ints
    account: Column
    ip: Column
    payment: Column
    client: Column
    input_tokens: Column
    output_tokens: Column
    addresses: Addresses
    clients: tuple[str, ...]
    truth: Truth
    starts_ns: dict[int, int] = field(default_factory=dict)
    end_ns: int = 0
    created_ns: Ints | None = None
    sponsor: Column | None = None
    paid_usd: Floats | None = None

    def __len__(self) -> int:
        return len(self.time_ns)

    @property
    def accounts(self) -> int:
        """How many accounts the truth knows; not all of them need to appear."""
        return len(self.truth.actor)

    @property
    def ip64(self) -> Words:
        """Key of the whole IPv4 address or of the /64."""
        return self.addresses.ip64[self.ip]

    @property
    def network(self) -> Words:
        """Key of the /24 or of the /48."""
        return self.addresses.network[self.ip]

    @property
    def campaign(self) -> NDArray[np.int32]:
        """Campaign number of each request, -1 for an honest one."""
        return self.truth.campaign[self.account]

    @property
    def payer(self) -> Column:
        """Number of each request's payment method, else of its sponsor; 0 for none. They share numbers."""
        if self.sponsor is None:
            return self.payment
        return np.where(self.payment > 0, self.payment, self.sponsor[self.account])

    @property
    def paid_cents(self) -> Ints:
        """Cents that the payer of each request has cleared; -1: not known."""
        if self.paid_usd is None:
            return np.full(len(self), -1)
        cents = np.floor(np.nan_to_num(self.paid_usd) * 100).astype(np.int64)
        return np.where(np.isnan(self.paid_usd), -1, cents)

    @property
    def first_seen_ns(self) -> Ints:
        """When each account first appears; the largest number when it never does."""
        first = np.full(self.accounts, np.iinfo(np.int64).max)
        np.minimum.at(first, self.account, self.time_ns)
        return first

    def where(self, mask: NDArray[np.bool_]) -> Trace:
        """Return some of its requests."""
        names = ("time_ns", "account", "ip", "payment", "client", "input_tokens", "output_tokens")
        some = {name: getattr(self, name)[mask] for name in names}
        return replace(self, **some, paid_usd=None if self.paid_usd is None else self.paid_usd[mask])

    def with_paid(self, paid_usd: Floats | None) -> Trace:
        """Return the trace with other payments."""
        return replace(self, paid_usd=paid_usd)


def collect(events: Events, payment: Column, clients: Sequence[str], truth: Truth, **times: object) -> Trace:
    """Return events as a trace; `payment` has one row an account."""
    time_ns = events.time_ns // 1000 * 1000
    order = np.argsort(time_ns, kind="stable")
    addresses, ip = tabulate(events.hi, events.lo)
    account = events.account[order]
    return Trace(
        time_ns[order],
        account,
        ip[order],
        payment[account],
        events.client[order],
        events.input_tokens[order],
        events.output_tokens[order],
        addresses,
        tuple(clients),
        truth,
        **times,  # type: ignore[arg-type]
    )


def merge(traces: Sequence[Trace]) -> Trace:
    """Return traces of different worlds as one, by time; they share addresses and clients, nothing else."""
    clients: dict[str, int] = {}
    accounts = np.cumsum([0, *(trace.accounts for trace in traces)])
    payments = np.cumsum([0, *(int(trace.payment.max(initial=0)) for trace in traces)])
    actors = np.cumsum([0, *(int(trace.truth.actor.max(initial=-1)) + 1 for trace in traces)])
    campaigns = np.cumsum([0, *(int(trace.truth.campaign.max(initial=-1)) + 1 for trace in traces)])
    klasses = tuple(dict.fromkeys(name for trace in traces for name in trace.truth.klasses))
    parts, cards, truths, starts = [], [], [], {}
    for number, trace in enumerate(traces):
        truth = trace.truth
        rename = np.array([clients.setdefault(text, len(clients)) for text in trace.clients], dtype=np.uint32)
        card = np.zeros(trace.accounts, dtype=np.uint32)
        card[trace.account] = np.where(trace.payment, trace.payment + np.uint32(payments[number]), 0)
        cards.append(card)
        parts.append(
            Events(
                trace.time_ns,
                (trace.account + accounts[number]).astype(np.uint32),
                trace.addresses.hi[trace.ip],
                trace.addresses.lo[trace.ip],
                rename[trace.client],
                trace.input_tokens,
                trace.output_tokens,
            )
        )
        names = np.array([klasses.index(name) for name in truth.klasses], dtype=np.int32)
        moved = np.where(truth.campaign >= 0, truth.campaign + campaigns[number], -1).astype(np.int32)
        truths.append((truth.actor + actors[number], names[truth.klass], moved, truth.bound, truth.victim))
        starts.update({int(key + campaigns[number]): value for key, value in trace.starts_ns.items()})
    actor, klass, campaign, bound, victim = (np.concatenate(column) for column in zip(*truths, strict=True))
    truth = Truth(actor, klass, campaign, bound, victim, klasses)
    return collect(
        joined(parts),
        np.concatenate(cards),
        list(clients),
        truth,
        starts_ns=starts,
        end_ns=max(trace.end_ns for trace in traces),
        created_ns=_created(traces),
    )


def _created(traces: Sequence[Trace]) -> Ints | None:
    """Return when all their accounts were created; None if one trace does not say."""
    known = [trace.created_ns for trace in traces if trace.created_ns is not None]
    return np.concatenate(known) if len(known) == len(traces) else None
