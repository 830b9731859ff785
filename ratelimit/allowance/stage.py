"""Allowances as a feature of a policy: which numbers a payer has, and what its allowance has no room for.

Theory of operation. A plan with allowances is never asked itself. Its stage picks a variant over the same
counters: with the numbers that the payer has earned, and without the limits beyond allowances. If only
allowances refuse such a request, it is asked again the other way: without the allowances, by the limits
beyond them. A request without a payer goes that way at once. So exactly one way is charged.

An allowance does not cover a newcomer to an established payer where none of the payer's established accounts
was before: a stolen or resold card opens nothing of what its owner has earned, and takes nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from ratelimit.allowance.compile import Overflow, allowance_of, earned_of, place_of, salt_of
from ratelimit.allowance.history import kept_beside, read_history, take_kept
from ratelimit.allowance.memory import SharedRecords
from ratelimit.allowance.model.levels import EarnedSpec, Grown
from ratelimit.allowance.picking import AllowanceNotes, AllowancePicker, Places, note_refused
from ratelimit.allowance.records import Records
from ratelimit.clustering.amendment import Amendment
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.part import Host, Part
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Deciding, Draft, Feature, Instead, Pending, Rest, Stage
from ratelimit.deciding.variant import Pick
from ratelimit.decision import Reason
from ratelimit.facts.numbers import PAID
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.contract import Outcome, Store, alone, refused_by
from ratelimit.stores.factory import open_records


class Allowances(Feature):
    """The allowances of one bound policy.

    Args:
        bound: the policy.
        records: what is remembered of payers; None: nothing, so that none is young and none has a past.
    """

    def __init__(self, bound: BoundPolicy, records: Records | None) -> None:
        self._bound = bound
        self.records = records
        self.places = places_of(bound.compiled)

    def stage_of(self, draft: Draft) -> Stage | None:
        """Return what picks the variant to ask, or of such a variant, what becomes of its requests."""
        allowances = frozenset(at for at, rule in enumerate(draft.rules) if allowance_of(rule) is not None)
        overflow = frozenset(at for at, rule in enumerate(draft.rules) if rule.spec(Overflow) is not None)
        pick = draft.variant.pick
        if not allowances:
            return None  # nothing covers these requests: limits beyond allowances are limits like others
        if pick is None:
            each = ((at, earned_of(rule)) for at, rule in enumerate(draft.rules))
            earned = {at: spec for at, spec in each if spec is not None}
            levels = [self._grown(draft.rules[at], spec) for at, spec in earned.items()]
            picker = AllowancePicker(
                _Making(draft, allowances, overflow, earned), self.places, levels, self.records
            )
            return PickingStage(picker)
        if pick.left_out == allowances:
            return None
        notes = None
        if self.records is not None:
            hasher = self._bound.store.hasher
            salts = [(at, salt_of(draft.rules[at], hasher)) for at in sorted(allowances)]
            notes = AllowanceNotes(self.records, self.places.payer, salts)
        return None if notes is None and not overflow else CoveredStage(draft, allowances, overflow, notes)

    def _grown(self, rule: LimitRule, earned: EarnedSpec) -> Grown:
        salt = salt_of(rule, self._bound.store.hasher)
        return Grown(salt, earned, said_levels(rule, earned, self._bound.amendment))


def said_levels(
    rule: LimitRule, earned: EarnedSpec, amendment: Amendment
) -> dict[int, tuple[tuple[int, int], ...]]:
    """Return by the payer's hash the levels that operators said, and until when; the latest first."""
    numbers, _ = amendment.said_of(rule)
    return {
        payer: tuple((earned.level_of(units), until_ns) for units, until_ns in each)
        for payer, each in numbers.get(rule.per[0], {}).items()
    }


def places_of(compiled: CompiledPolicy) -> Places:
    """Return where rows have what a policy's allowances go by."""
    payer = next(rule.per[0] for rule in compiled.rules if allowance_of(rule) is not None)
    spec = compiled.correlation
    if spec is None:
        return Places(payer, compiled.place_of(PAID), -1, -1, -1, ())
    return Places(
        payer, compiled.place_of(PAID), spec.created, place_of(compiled), spec.origin, spec.principal
    )


class _Making:
    """Makes the variants of one plan."""

    def __init__(
        self,
        draft: Draft,
        allowances: frozenset[int],
        overflow: frozenset[int],
        earned: dict[int, EarnedSpec],
    ) -> None:
        self._draft = draft
        self._allowances = allowances
        self._overflow = overflow
        self._earned = earned

    def __call__(self, levels: tuple[int, ...] | None) -> RoutePlan:
        draft = self._draft
        if levels is None:
            return beyond(draft, self._allowances) if self._overflow else _covered(draft, Pick())
        quotas = [0] * len(draft.rules)
        for (at, earned), level in zip(self._earned.items(), levels, strict=True):
            quotas[at] = earned.quotas[level]
        return _covered(draft, Pick(tuple(quotas), self._overflow))


def _covered(draft: Draft, pick: Pick) -> RoutePlan:
    return draft.make(replace(draft.variant, pick=pick))


def beyond(draft: Draft, allowances: frozenset[int]) -> RoutePlan:
    """Return the variant of requests that no allowance covers."""
    return draft.make(replace(draft.variant, pick=Pick(left_out=allowances)))


class PickingStage(Stage):
    """Picks the numbers of a payer's allowances.

    Args:
        picker: picks the plan.
    """

    name = "allowance"
    is_compiled = True

    def __init__(self, picker: AllowancePicker) -> None:
        self.picker: AllowancePicker = picker

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request by the numbers of its payer."""
        return pending.by(self.picker.plan_for(pending.row, pending.now_ns))


class CoveredStage(Stage):
    """Remembers what an allowance let through, and asks what it has no room for once more, beyond it.

    Args:
        draft: a plan with the numbers of a payer.
        allowances, overflow: positions of its allowances, and of limits beyond them.
        notes: remembers; None: nothing does.
    """

    name = "beyond allowance"
    is_compiled = True

    def __init__(
        self, draft: Draft, allowances: frozenset[int], overflow: frozenset[int], notes: AllowanceNotes | None
    ) -> None:
        self._draft = draft
        self._allowances = allowances
        self.notes: AllowanceNotes | None = notes
        self.instead = Instead(allowances, lambda: self._beyond) if overflow else None

    @property
    def is_idle(self) -> bool:
        """Whether a request that has room may go on: always."""
        return True

    @cached_property
    def _beyond(self) -> RoutePlan:
        return beyond(self._draft, self._allowances)

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request by its allowances, or beyond them."""
        if self.instead is not None and pending.plan.away is None:
            # So that a request which goes on is not counted as refused.
            seen: Outcome = yield pending.look()
            if self._is_short(seen):
                found = yield from pending.by(self._beyond)
                if not found[0] and pending.charges:
                    note_refused(seen, pending.row)
                return found
        decided = yield from rest(pending)
        allowed, reason, plan, outcome = decided
        if plan is None or outcome is None:
            return decided
        if self.instead is not None and self._is_short(outcome):
            return (yield from pending.by(self._beyond))
        if allowed and reason is Reason.LIMITS and pending.charges and self.notes is not None:
            self.notes.note(pending.row, plan, outcome, pending.now_ns)
        return decided

    def _is_short(self, outcome: Outcome) -> bool:
        """Return whether allowances refused, and nothing else."""
        return bool(alone(refused_by(outcome, len(self._draft.rules)), self._allowances))


class AllowancePart(Part):
    """The allowances of one limiter, and its records of payers.

    Args:
        host: the limiter.
        records: returns records of payers, in place of this host's own.
    """

    def __init__(self, host: Host, records: Callable[[], Records] | None = None) -> None:
        super().__init__(host)
        self._opened: list[tuple[Store, SharedRecords]] = []
        self._records = self.records_memory if records is None and host.is_enabled else records

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
        if path is None:
            return
        key, now_s = self.host.store.hasher.key, self.host.clock.now_ns() // 1_000_000_000
        take_kept(records, kept_beside(path), key, now_s, self.host.diagnose)
        with suppress(FileNotFoundError):  # an installation without logs has what it keeps by itself
            read_history(Path(path), key).put_into(records, now_s)

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
            yield Allowances(bound, None if self._records is None else self._records())


PART = AllowancePart
