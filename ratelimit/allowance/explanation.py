"""An explanation of allowances: what a payer has and why, and what a policy's numbers mean.

Records are looked at as a copy, so that a question changes nothing of what is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ratelimit.allowance.compile import Overflow, earned_of
from ratelimit.allowance.history import kept_beside
from ratelimit.allowance.memory import PIECE, SharedRecords, pieces_of, records_form
from ratelimit.allowance.model.levels import EarnedSpec
from ratelimit.allowance.records import Records, Standing
from ratelimit.allowance.stage import AllowancePart, Allowances, PickingStage, said_levels
from ratelimit.codes import every_code
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.matched import Matched
from ratelimit.deciding.variant import raised
from ratelimit.environment.finding import Fact, Finding
from ratelimit.errors import StoreError
from ratelimit.facts.numbers import PAID
from ratelimit.identity.fact import ABSENT
from ratelimit.inspection import formatting
from ratelimit.inspection.requests.explaining import FeatureLine, Looking, Question
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.contract import Store
from ratelimit.stores.factory import wish_of

PAST_DAYS = 30
"""From so many days on records say by themselves who is established."""
OF_PAID = 2
"""The payments of payers, among the regions of records."""
_DAY_NS = 86_400 * 1_000_000_000


class LookingAtAllowances(Looking):
    """Looks at what the payer of a request is allowed.

    Args:
        records: a copy of what this host's workers remember.
    """

    def __init__(self, records: Records) -> None:
        self.makers = {AllowancePart: lambda host: AllowancePart(host, lambda: records)}

    def said(self, question: Question) -> Iterator[FeatureLine]:
        """Yield a line for each limit that a payer can earn."""
        bound, matched = question.bound, question.matched
        found = allowances_of(bound, matched, list(question.row), question.now_ns)
        words = "; ".join(one.told for one in found)
        yield FeatureLine("allowances", words or None, [one.as_json() for one in found])


@contextmanager
def looking(policy: Policy, store: Store, *, is_live: bool) -> Iterator[LookingAtAllowances]:
    """Look at records like those of this host's workers; with `is_live` False, of a new installation.

    Raises:
        StoreError: they cannot be read.
    """
    own = SharedRecords.private(store, records_form(policy.compiled.file.tuning.payers))
    try:
        _fill(own.memory, policy, store, is_live=is_live)
        yield LookingAtAllowances(own.memory)
    finally:
        own.close()


def _fill(own: Records, policy: Policy, store: Store, *, is_live: bool) -> None:
    form = records_form(policy.compiled.file.tuning.payers)
    place = (store.place or wish_of(policy, needs_key=False).place) if is_live else None
    theirs = SharedRecords.existing(place, store.hasher.key, form)
    if theirs is not None:
        since, first = theirs.memory.days
        own.born(since or None, first or None)
        for piece in pieces_of(theirs.memory):
            own.take_in(piece, store.clock.now_ns() // 1_000_000_000)
        theirs.close()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one limit allows the payer of a request.

    Args:
        rule: the limit, with the payer's numbers.
        because: why it is so much, and what would open more.
        is_covered: whether it is for this account, at this place.
        paid, usable: what the payer paid, and what of it counts, in millionths of a dollar; None: not known.
        best: its best day that counts; 0 for none.
    """

    rule: LimitRule
    because: str
    is_covered: bool
    paid: int | None
    usable: int | None
    best: float

    @property
    def told(self) -> str:
        """Return it in one line."""
        return f"{self.rule.name}: {formatting.rate(self.rule)} {self.because}"

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "limit": self.rule.name,
            "quota": self.rule.quota,
            "because": self.because,
            "covered": self.is_covered,
            "paid_usd": None if self.paid is None else self.paid / 1e6,
            "usable_usd": None if self.usable is None else self.usable / 1e6,
            "best_day": self.best or None,
        }


def allowances_of(bound: BoundPolicy, matched: Matched, row: list[int], now_ns: int) -> list[Allowance]:
    """Return what the payer of a row is allowed, by each limit that it can earn."""
    feature, plan = bound.find(Allowances), matched.plan_for(row)
    stage = None if plan is None else plan.find(PickingStage)
    told = None if stage is None else stage.picker.told(row, now_ns)
    if feature is None or plan is None or told is None:
        return []
    standing, settled, levels = told
    paid = row[feature.places.paid] if feature.places.paid >= 0 else ABSENT
    is_covered = not standing & Standing.ELSEWHERE
    found = []
    rules = [(rule, spec) for rule in plan.rules if (spec := earned_of(rule)) is not None]
    for (rule, spec), (level, best) in zip(rules, levels, strict=True):
        known = usable = None if paid == ABSENT else paid
        if known is not None and not standing & Standing.UNSETTLED_COUNTS:
            usable = min(known, spec.young_paid + settled)
        said = said_levels(rule, spec, bound.amendment).get(row[feature.places.payer], ())
        if is_covered and any(now_ns < until_ns for _, until_ns in said):
            because = "by an operator's act"
        elif not is_covered:
            because = "at its places; this account is new, and elsewhere: not covered"
        elif known is not None and usable is not None:
            because = _by_paid(spec, level, known, usable)
        else:
            because = _by_use(rule, spec, best)
        own = raised(rule, spec.quotas[level])
        found.append(Allowance(own, because, is_covered, known, usable, best))
    return found


def _by_paid(spec: EarnedSpec, level: int, paid: int, usable: int) -> str:
    if level + 1 >= len(spec.paid_from):
        return "for what was paid"
    if usable < paid:
        return f"for {_usd(usable)} of {_usd(paid)}: the rest counts once it has been there for a month"
    return f"until {_usd(spec.paid_from[level + 1] - paid)} more have cleared"


def _by_use(rule: LimitRule, spec: EarnedSpec, best: float) -> str:
    if len(spec.grown_from) < 2:
        return "as nothing is known of what was paid"
    if not best:
        return "as nothing is known of what was paid, and no day of 30 days ago or more counts"
    day = formatting.amount(int(best), rule.unit)
    return f"by use, as nothing is known of what was paid; its best day that counts had {day}"


def _usd(micros: int) -> str:
    """Return an amount rounded up to the cent: less would not do."""
    cents = -(-micros // 10_000)
    return f"${cents // 100:,}" if cents % 100 == 0 else f"${cents / 100:,.2f}"


def rule_words(rule: LimitRule) -> list[str]:
    """Return what is to be known of a rule, each in one phrase."""
    said = []
    if rule.spec(Overflow) is not None:
        said.append("binds what no allowance covers")
    spec = earned_of(rule)
    if spec is None:
        return said
    if spec.per_usd is not None:
        said.append(
            f"{spec.per_usd:,.12g} for each dollar paid; of those it did not have a month ago "
            f"{_usd(spec.young_paid)} count"
        )
    if spec.growth is not None:
        most = formatting.amount(spec.quotas[len(spec.grown_from) - 1], rule.unit)
        said.append(f"by use {spec.growth:,.12g} times the best day a month ago, up to {most}")
    return said


def rule_json(rule: LimitRule) -> dict[str, Any]:
    """Return the same for machines."""
    spec = earned_of(rule)
    if rule.spec(Overflow) is not None:
        return {"budget": "overflow"}
    if spec is None:
        return {}
    budget = {
        "per_usd": spec.per_usd,
        "young_usd": spec.young_paid / 1e6,
        "growth": spec.growth,
        "most": None if spec.growth is None else spec.quotas[len(spec.grown_from) - 1],
    }
    return {"budget": budget}


def findings(policy: Policy, store: Store | None) -> Iterator[Finding]:
    """Yield whether the records of payers have room, are of use, and know what payers paid."""
    compiled = policy.compiled
    rule = next((rule for rule in compiled.rules if earned_of(rule) is not None), None)
    if rule is None:
        return
    form = records_form(compiled.file.tuning.payers)
    try:
        shared = None if store is None else SharedRecords.existing(store.place, store.hasher.key, form)
    except StoreError as error:
        yield Finding("payers", "warn", f"{error} [{error.code}]", every_code()[error.code].remedy)
        return
    base = formatting.rate(rule)
    if store is None or shared is None:
        yield _of_history(compiled, f"no records are to be seen here yet: each payer begins with {base}")
        return
    try:
        yield from _of_records(compiled, shared.memory, base, store.clock.now_ns())
    finally:
        shared.close()


def _of_records(compiled: CompiledPolicy, records: Records, base: str, now_ns: int) -> Iterator[Finding]:
    payers, pairs, _, displaced, unrecorded, imported = records.counts
    since, _ = records.days
    days = now_ns // _DAY_NS - since if since else 0
    age = formatting.count(days, "day")
    said = f"{formatting.count(payers, 'payer')} known, the oldest record {age} old; newcomers have {base}"
    facts: dict[str, Fact] = {
        "payers": payers,
        "pairs": pairs,
        "room": records.slots[0],
        "displaced": displaced,
        "unrecorded": unrecorded,
        "imported": imported,
        "days": days,
    }
    if displaced or unrecorded:
        yield Finding(
            "payers",
            "warn",
            f"records are full: {displaced:,} established payers, accounts or places made room for others, "
            f"{unrecorded:,} times a newcomer found no room and was not recorded; {said}",
            "Raise `payers` in the file of `tuning`, restart the workers: new records begin, which take in "
            "what `history` in [store] has.",
            facts=facts,
        )
    elif days < PAST_DAYS and not imported:
        yield replace(_of_history(compiled, said), facts=facts)
    else:
        yield Finding("payers", "ok", said, facts=facts)
    source = compiled.file.correlation.source_of(PAID)
    if source is not None and payers and not _have_paid(records):
        yield Finding(
            "paid",
            "warn",
            f"[correlation] names `{source}`, and no request ever had it: allowances "
            "go by use, as if nothing were known of payments",
            "Set it before the limiter sees the request: dollars of the last 30 days, 0 for nothing paid.",
        )


def _of_history(compiled: CompiledPolicy, said: str) -> Finding:
    """Return a finding of records that have no past; a history that is there gives them one."""
    path = compiled.file.store.history
    if path is not None and any(each.is_file() for each in (Path(path), kept_beside(path))):
        return Finding("payers", "ok", f"{said}. The limiter takes in {path} when it starts")
    lacks = "names no `history`" if path is None else f"names {path}, which is not there"
    return Finding(
        "payers",
        "warn",
        f"{said}. [store] {lacks}",
        "`ratelimit make history` makes a history of a month of logs; `history` in [store] names it.",
    )


def _have_paid(records: Records) -> bool:
    """Return whether it is known of any payer what it paid."""
    return any(records.export(OF_PAID, start, PIECE) for start in range(0, records.slots[OF_PAID], PIECE))


def prospects(compiled: CompiledPolicy) -> Iterator[str]:
    """Yield what a policy's allowances mean for an installation that begins, and for the price of growth."""
    earned = [(rule, spec) for rule in compiled.rules if (spec := earned_of(rule)) is not None]
    if not earned:
        return
    history = (
        f"Use before it comes from {compiled.file.store.history}."
        if compiled.file.store.history
        else "No history is imported: `ratelimit make history` reads logs, `history` in [store] names it."
    )
    yield (
        "A new installation has no records of payers. For its first 30 days all counts that was paid for "
        "accounts created a month before it or more, or at a time that is not known, and such accounts are "
        f"at home with their payer everywhere. {history}"
    )
    for rule, spec in earned:
        if spec.growth is None or rule.unit_index:
            continue
        last = spec.quotas[len(spec.grown_from) - 1] / rule.quota
        steps = [min(spec.growth**months, last) for months in (1, 2, 3)]
        shares = ", ".join(f"1/{step:,.0f}" for step in steps)
        yield (
            f"{rule.name}: where it is not known what was paid, use grows upon use. A payer that uses all it "
            f"has makes {formatting.rate(rule)} cost {shares} of a payment method after one, two and three "
            f"months, and 1/{last:,.0f} at the least."
        )
