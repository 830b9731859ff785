"""Allowances as a feature of a policy: which numbers a payer has, and what its allowance has no room for.

Theory of operation. A plan with allowances is never asked itself. Its stage picks a variant over the same
counters: with the numbers that the payer has earned, and without the limits beyond allowances. If only
allowances refuse such a request, it is asked again the other way: without the allowances, by the limits
beyond them. A request without a payer goes that way at once. So exactly one way is charged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from ratelimit.allowance.compile import Overflow, allowance_of, earned_of
from ratelimit.allowance.history import read_history
from ratelimit.allowance.memory import SharedRecords
from ratelimit.allowance.picking import AllowancePicker
from ratelimit.allowance.records import Records
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.part import Host, Part
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Deciding, Draft, Feature, Instead, Pending, Rest, Stage
from ratelimit.deciding.variant import Pick
from ratelimit.stores.contract import Outcome, Store, alone, refused_by
from ratelimit.stores.factory import open_records


class Allowances(Feature):
    """The allowances of one bound policy.

    Args:
        bound: the policy.
    """

    def __init__(self, bound: BoundPolicy) -> None:
        self._bound = bound

    def stage_of(self, draft: Draft) -> Stage | None:
        """Return what picks the variant to ask; of such a variant, what is asked beyond its allowances."""
        allowances = [at for at, rule in enumerate(draft.rules) if allowance_of(rule) is not None]
        overflow = [at for at, rule in enumerate(draft.rules) if rule.spec(Overflow) is not None]
        if not allowances:
            return None  # nothing covers these requests: limits beyond allowances are limits like others
        if draft.variant.pick is None:
            return PickingStage(draft, allowances, overflow, self._bound.compiled.paid)
        if not overflow or draft.variant.left_out != frozenset(overflow):
            return None
        return BeyondStage(draft, allowances)


class AllowancePart(Part):
    """The allowances of one limiter, and its records of payers.

    Args:
        host: the limiter.
    """

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._opened: list[tuple[Store, SharedRecords]] = []

    @property
    def records(self) -> Records | None:
        """The records of payers; None where no policy asked for them."""
        return next((shared.memory for home, shared in self._opened if home is self.host.home), None)

    def records_memory(self) -> Records:
        """Return the records of payers; the policy's history is read when they are opened.

        Raises:
            StoreError: they cannot be had, or the file is none that this installation can use.
        """
        if self.records is None:
            opened = open_records(self.host.policy, self.host.store)
            try:
                self._read_history(opened.memory)
            except BaseException:
                opened.close()
                raise
            self._opened.append((self.host.home, opened))
        return self._opened[-1][1].memory

    def _read_history(self, records: Records) -> None:
        path = self.host.policy.compiled.file.store.history
        if path is not None:
            with suppress(FileNotFoundError):  # it is written when there is something to keep
                history = read_history(Path(path), self.host.store.hasher.key)
                history.put_into(records, self.host.clock.now_ns() // 1_000_000_000)

    @property
    def looks(self) -> Sequence[Callable[[], str | None]]:
        """What renews the records."""
        return [shared.renew for home, shared in self._opened if home is self.host.home]

    def close(self) -> None:
        """Let go of the records."""
        for _, shared in self._opened:
            shared.close()

    def features(self, bound: BoundPolicy) -> Iterator[Allowances]:
        """Yield the allowances of a policy, where it has any."""
        if any(allowance_of(rule) is not None for rule in bound.compiled.rules):
            yield Allowances(bound)


PART = AllowancePart


class PickingStage(Stage):
    """Picks the numbers of a payer's allowances.

    Args:
        draft: a plan of which nothing was picked.
        allowances, overflow: positions of its allowances, and of limits beyond them.
        paid_at: the position of what the payer paid; -1: nowhere.
    """

    name = "allowance"
    is_compiled = True

    def __init__(
        self, draft: Draft, allowances: Sequence[int], overflow: Iterable[int], paid_at: int
    ) -> None:
        self._draft = draft
        self._allowances = frozenset(allowances)
        self._overflow = frozenset(overflow)
        self._earned = [
            (at, earned) for at in allowances if (earned := earned_of(draft.rules[at])) is not None
        ]
        self.picker: AllowancePicker = AllowancePicker(
            self._made,
            draft.rules[allowances[0]].per[0],
            paid_at,
            [earned.paid_from for _, earned in self._earned],
        )

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request by the numbers of its payer."""
        return pending.by(self.picker.plan_for(pending.row, pending.now_ns))

    def _made(self, levels: tuple[int, ...] | None) -> RoutePlan:
        draft = self._draft
        if levels is None:
            pick = Pick(left_out=self._allowances if self._overflow else frozenset())
        else:
            quotas = [0] * len(draft.rules)
            for (at, earned), level in zip(self._earned, levels, strict=True):
                quotas[at] = earned.quotas[level]
            pick = Pick(tuple(quotas), self._overflow)
        return draft.make(replace(draft.variant, pick=pick))


class BeyondStage(Stage):
    """Asks requests that only allowances refuse once more: without these, by the limits beyond them.

    Args:
        draft: a plan with the numbers of a payer.
        allowances: positions of its allowances.
    """

    name = "beyond allowance"
    is_compiled = True

    def __init__(self, draft: Draft, allowances: Iterable[int]) -> None:
        self._draft = draft
        self._allowances = frozenset(allowances)
        self.instead = Instead(self._allowances, lambda: self._beyond)

    @property
    def is_idle(self) -> bool:
        """Whether a request that has room may go on: always."""
        return True

    @cached_property
    def _beyond(self) -> RoutePlan:
        draft = self._draft
        return draft.make(replace(draft.variant, pick=Pick(left_out=self._allowances)))

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request by its allowances, or beyond them."""
        if pending.plan.away is None:
            # So that a request which goes on is not counted as refused.
            seen: Outcome = yield pending.look()
            if self._is_short(seen):
                return (yield from pending.by(self._beyond))
        decided = yield from rest(pending)
        if decided[3] is not None and self._is_short(decided[3]):
            return (yield from pending.by(self._beyond))
        return decided

    def _is_short(self, outcome: Outcome) -> bool:
        """Return whether allowances refused, and nothing else."""
        return bool(alone(refused_by(outcome, len(self._draft.rules)), self._allowances))
