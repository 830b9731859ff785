"""The shed priority of a request: its class, its actor, its conduct, its use, and a number by lot."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.conduct.stage import factor_of
from ratelimit.core.sharing.heaviest import Heaviest
from ratelimit.core.sharing.shares import Shares
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.decider import actor_in
from ratelimit.decision import VERDICTS
from ratelimit.load.model.shedding import ShedPriority, draw_lot


def lottery_key(hash_key: bytes) -> int:
    """Return the secret that lots are drawn with, which all workers of a key know."""
    return int.from_bytes(hash_key[:8], "little")


def shed_priority_of(
    bound: BoundPolicy,
    row: Sequence[int],
    rank: int,
    classes: int,
    heaviest: Heaviest,
    shares: Shares,
    key: int,
    now_ns: int,
    units: int = 1,
) -> ShedPriority:
    """Return the priority of a request by its identities.

    Args:
        bound, row: the policy, and the identities by position, with their actor.
        rank, classes: of its class, and how many there are.
        heaviest: what accounts used lately.
        shares: what each of them may have had of what went on.
        key: see `lottery_key`.
        now_ns: when.
        units: its work.
    """
    payer = bound.payer(row)
    actor, certainty = actor_in(bound, row)
    return ShedPriority(
        rank,
        classes,
        verdict="none" if actor is None else VERDICTS[certainty] or "none",
        factor=factor_of(bound, row, now_ns),
        lighter=heaviest.share_lighter(payer, now_ns) if payer else 0.0,
        lot=draw_lot(payer, key, now_ns),
        account=payer,
        is_over=shares.is_over(payer, units),
    )
