"""Budgets of customers as an operator looks at them and changes them: numbers, units left, and acts on both.

A change is an act, as `exempt` is one. It names a customer by a hash, is in force on all hosts within two
seconds, lapses by itself, and is in the log with its reason. An act never empties a counter, so an undo
leaves the customer with what it used. A bucket has no window: it gets units back, once. So does a lifetime,
and more than was used of it: that is a balance that was paid in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ratelimit.algorithms import IN_WORDS, PREPAID, REFILLED, SECOND_NS
from ratelimit.allowance.compile import earned_of
from ratelimit.allowance.stage import said_levels
from ratelimit.budgets.compile import amount_in, most_units, own_number
from ratelimit.budgets.stage import budgeted_of, own_rule, said_to
from ratelimit.clustering.amendment import FOREVER_NS, BudgetAmendment, amendment_of
from ratelimit.deciding.variant import raised, with_number
from ratelimit.environment.spelling import nearest
from ratelimit.identity.fact import ABSENT
from ratelimit.inspection import formatting
from ratelimit.inspection.acts.own_numbers import number_act
from ratelimit.inspection.callers.knowledge import Knowledge, Left
from ratelimit.inspection.callers.naming import Caller
from ratelimit.inspection.callers.plans import Plans, noted_plans
from ratelimit.inspection.callers.stand_in import StandIn
from ratelimit.inspection.callers.together import one_identity
from ratelimit.inspection.callers.waits import refuses_words, waits_json
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.proposals.effects import passing_of_caller, refused_by_words
from ratelimit.inspection.proposals.filling import charge_again, give_back
from ratelimit.inspection.proposals.preview import Preview, doubts_of
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.reference.bucket import TICKS
from ratelimit.reference.hashing import mix
from ratelimit.stores.acts.act import Act
from ratelimit.usage.pricing import USD

_UNDONE_NS = 86_400 * SECOND_NS
"""The time in which what was added to a balance can be taken back."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one customer has of one limit.

    Args:
        left: the limit with the customer's number, and what is left of it.
        used: the units in use, with what is owed; of a bucket those that are not full again.
        by: who says the number.
        is_told: whether the application says another number with requests, which is not known here.
    """

    left: Left
    used: int
    by: str
    is_told: bool
    act: Act | None = None
    """The act in force that set the number."""
    whole: LimitRule | None = None
    """The limit with the whole number, where this host's share of it is shown."""

    @property
    def rule(self) -> LimitRule:
        """The limit, with the customer's number."""
        return self.left.rule

    @property
    def owed(self) -> int:
        """The units used beyond all it has: what is added, or comes back in time, pays them first."""
        return max(0, self.used - self.left.most)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a customer's budgets, ready to be made an act.

    Args:
        numbers: by the name of a limit, the units.
        says: the same in words.
        preview: what it does.
        until_ns: when it lapses by itself.
        lasts_ns: how long it holds, if that goes by when it is made; without both the operator says.
    """

    numbers: Mapping[str, int]
    says: str
    preview: Preview
    until_ns: int | None = None
    kind: str = "budget"
    fills: Mapping[str, tuple[LimitRule, int]] = field(default_factory=dict)
    """Buckets, and how much to give back to each, which `carried_out` does."""
    lasts_ns: int | None = None
    after: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """The balances of lifetimes after it, as a server said them."""
    tier: str = ""
    """The tier whose units are given back."""


def position_of(known: Knowledge, caller: Caller) -> int:
    """Return the position of the identity that a customer is of.

    Raises:
        InspectionFailure: a limit cannot count by it.
    """
    one_identity(known, caller)
    positions = {spec.name: spec.index for spec in known.compiled.identities}
    if caller.what == "actor" or caller.identity not in positions:
        raise InspectionFailure(f"{caller.label} is no customer that limits count by", "call")
    return positions[caller.identity]


def budgets_of(known: Knowledge, caller: Caller) -> list[Budget]:
    """Return what a customer has of each limit that counts by it alone.

    Raises:
        InspectionFailure: a server keeps the limits and does not answer.
    """
    position = position_of(known, caller)
    row = known.row_of({position: caller.hash})
    amendment, now_ns = amendment_of(known.compiled, known.acts), known.bound.store.clock.now_ns()
    found = []
    for left in known.left(row):
        rule = known.compiled.rules[left.rule.index]
        if rule.per != (position,):
            continue
        one, earned = budgeted_of(0, rule, amendment), earned_of(rule)
        said, more = (None, 0) if one is None else said_to(one, row, now_ns)
        by = "the rate" if said is None else "an act"
        if earned is not None:
            levels = said_levels(rule, earned, amendment).get(caller.hash, ())
            by = "an act" if any(now_ns < until_ns for _, until_ns in levels) else "what it earned"
        if more:
            by = f"{by}, and {formatting.amount(more, rule.unit)} by an act"
        if rule.algorithm in REFILLED:
            used = max(left.most - left.remaining, _until_full(left))
        else:  # the number may be below what another one left room for
            most = with_number(rule, most_units(rule))
            used = most.burst + left.paid - known.left_of([most], row)[0].remaining
        is_told = own_number(rule) is not None and said is None
        act = number_act(known.acts, rule.name, caller.identity, caller.hash)
        found.append(Budget(left, max(0, used), by, is_told, None if said is None else act))
    return found


def budgets_here(known: Knowledge, caller: Caller, there: StandIn) -> list[Budget]:
    """Return what a customer has of this host's shares while the server does not answer."""
    position, found = position_of(known, caller), []
    for left, whole in zip(there.limits, there.whole, strict=True):
        rule = known.compiled.rules[left.rule.index]
        if rule.per == (position,):
            act = number_act(known.acts, rule.name, caller.identity, caller.hash)
            by = "this host's share" if act is None else "this host's share of an act's number"
            is_told = own_number(rule) is not None and act is None
            used = max(left.most - left.remaining, _until_full(left) if _is_bucket(rule) else 0)
            found.append(Budget(left, used, by, is_told, act, whole))
    return found


def _is_bucket(rule: LimitRule) -> bool:
    return rule.algorithm in REFILLED


def _until_full(left: Left) -> int:
    """Return the units that a bucket is short of being full: more than its burst where some are owed."""
    if left.reset_ns <= 0:
        return 0
    interval = -(-TICKS * left.rule.period_ns // left.rule.quota)
    return TICKS * (left.reset_ns - 1) // interval + 1  # a time is told in whole nanoseconds, the later one


def budgets_json(caller: Caller, found: Sequence[Budget]) -> dict[str, Any]:
    """Return what a customer has, for machines."""
    limits = [
        {
            "limit": each.rule.name,
            "tier": each.rule.tier,
            "number": each.rule.quota,
            "unit": each.rule.unit,
            "by": each.by,
            "act": None if each.act is None else each.act.label,
            "set_at": None if each.act is None else formatting.iso(each.act.at_ns),
            "may_be_told": each.is_told,
            "added": each.left.paid if each.rule.algorithm in PREPAID else None,
            "used": each.used,
            "remaining": each.left.remaining,
            "owed": each.owed,
            **waits_json(each.left),
        }
        for each in found
    ]
    return {"identity": caller.identity, "hash": f"{caller.hash:016x}", "limits": limits}


def change_of_number(known: Knowledge, caller: Caller, written: Sequence[str]) -> list[Change]:
    """Return the change that puts numbers in place of a customer's.

    Raises:
        InspectionFailure: a limit is not there or cannot have it, or it is no number.
    """
    asked = _asked(known, caller, written, _limits(known, caller, of_accounts=True))
    for name, (_, text) in asked.items():
        if text.lstrip().startswith(("+", "-")):
            words = f"`{name}={text}` is no number in place of a customer's, but a difference"
            hint = f"`ratelimit act budget add … '{name}={text.strip()[1:]}'` adds to what it has."
            raise InspectionFailure(words, "call", hint=hint)
    numbers = {name: _levelled(rule, _number(rule, text)) for name, (rule, text) in asked.items()}
    plans = noted_plans(known, caller.hashes)
    preview = Preview(doubts=doubts_of(known, [caller]))
    counts, said = position_of(known, caller), []
    current = _current(known, caller, plans)
    for name, number in numbers.items():
        now = current.get(name, ())
        rules = [each.rule for each in now] or _rules_of(known, name, plans)
        who = caller.label if counts in asked[name][0].per else f"each account of {caller.label}"
        if now and all(each.rule.quota == number and not each.is_told for each in now):
            preview.doubts.append(f"`{name}` has {formatting.rate(rules[0])} already, by {now[0].by}")
        for rule in rules:
            if number < rule.quota and now:
                words = f"it lowers `{_called(rule, rules)}` from {formatting.rate(rule)}"
                preview.doubts.append(f"{words} to {formatting.rate(_numbered(known, rule, number))}")
        preview.does += _numbers_words(known, caller, name, number, who, rules, now, plans)
        own = _numbered(known, rules[0], number)
        # Of several plans none is known to be its own: bursts differ.
        said.append(f"{name}: {formatting.rate(own if len(rules) == 1 else replace(own, burst=own.quota))}")
    return [Change(numbers, "; ".join(said), preview)]


def _numbers_words(
    known: Knowledge,
    caller: Caller,
    name: str,
    number: int,
    who: str,
    rules: Sequence[LimitRule],
    now: Sequence[Budget],
    plans: Plans,
) -> list[str]:
    """Return what a number means for a customer: by each rate that may be its own, what is left then."""
    said = []
    is_one = len(rules) == 1
    if not is_one:
        amount = formatting.rate(replace(_numbered(known, rules[0], number), burst=number))
        said.append(f"{name}: {who} has {amount}; its plan is not known, so by each")
    for at, rule in enumerate(rules):
        own = formatting.rate(_numbered(known, rule, number))
        has = f"{name}: {who} has {own}" if is_one else f"{_called(rule, rules)}: {own}"
        if now:
            has += f" in place of {formatting.rate(rule)}, {now[at].by}"
        if is_one and (known_by := plans.words(rule)):
            has += f" ({known_by})"
        said.append(has)
        if now:
            said += _effect(known, caller, now[at], _called(rule, rules), numbers=number)
    if now:
        said.append(f"{name}: {refused_by_words(known, caller.identity, caller.hash, name)}")
        wider = _numbered(known, rules[0], number)
        if is_one:
            passing = passing_of_caller(known, caller.identity, caller.hash, rules[0], wider)
            said += [f"{name}: {words}" for words in passing]
    return said


def change_of_more(known: Knowledge, caller: Caller, written: Sequence[str]) -> list[Change]:
    """Return the changes that add units to what a customer has, one for all windows that end together.

    Raises:
        InspectionFailure: as `change_of_number`; a limit has no window; the server does not answer.
    """
    asked = _asked(known, caller, written)
    numbers = {name: _number(rule, text) for name, (rule, text) in asked.items()}
    for name, (rule, _) in asked.items():
        _check_units(rule)
        if rule.algorithm in REFILLED and own_number(rule) is not None:
            words = f"`{name}` is a bucket of a number that the application says, which is not known here"
            raise InspectionFailure(words, "call", hint="`ratelimit act budget reset` fills it.")
    return _more(known, caller, {name: (rule, numbers[name]) for name, (rule, _) in asked.items()}, "more")


def change_of_all(known: Knowledge, caller: Caller, names: Sequence[str]) -> list[Change]:
    """Return the changes after which a customer has all of its numbers, as if it had used nothing.

    Raises:
        InspectionFailure: as `change_of_more`; it has used nothing.
    """
    limits = _limits(known, caller)
    for name in names:
        _check_units(_limit(limits, name, caller))
    used: dict[str, int] = {}
    for each in budgets_of(known, caller):
        used[each.rule.name] = max(each.used, used.get(each.rule.name, 0))
    wanted = {
        name: rule
        for name, rule in limits.items()
        if (not names or name in names) and earned_of(rule) is None
    }
    asked = {
        name: (rule, rule.burst + rule.most_debt if rule.algorithm in REFILLED else used[name])
        for name, rule in wanted.items()
        if used.get(name)
    }
    if not asked:
        words = f"{caller.label} has used nothing of {', '.join(wanted) or 'any limit'}"
        raise InspectionFailure(words, "input", hint="`ratelimit show budget` shows what it has.")
    return _more(known, caller, asked, "more, all it used")


def _more(
    known: Knowledge, caller: Caller, asked: Mapping[str, tuple[LimitRule, int]], word: str
) -> list[Change]:
    now_ns = known.bound.store.clock.now_ns()
    row = known.row_of({position_of(known, caller): caller.hash})
    plans = noted_plans(known, caller.hashes)
    current = _current(known, caller, plans)
    by_end: dict[int, list[str]] = {}
    for name, (rule, _) in asked.items():
        if _has_window(rule):
            by_end.setdefault(_end_of(known, rule, row, now_ns), []).append(name)
    found = []
    for until_ns, names in by_end.items():
        preview, said = Preview(doubts=doubts_of(known, [caller])), []
        for name in names:
            rule, units = asked[name]
            amount = formatting.amount(units, rule.unit)
            now = current.get(name, ())
            has = [formatting.amount(each.rule.quota, rule.unit) for each in now]
            rest = f", beyond {' or '.join(dict.fromkeys(has))}" if has else ""
            if len(now) > 1:
                rest += " as its plan says, which is not known"
            until = formatting.instant(until_ns)
            preview.does.append(f"{name}: {caller.label} has {amount} {word}{rest}, until {until} UTC")
            rules = [each.rule for each in now]
            for each in now:
                preview.does += _effect(known, caller, each, _called(each.rule, rules), more=units)
            if now:
                refused = refused_by_words(known, caller.identity, caller.hash, name)
                preview.does.append(f"{name}: {refused}")
            said.append(f"{name}: {amount} {word}")
        numbers = {name: asked[name][1] for name in names}
        found.append(Change(numbers, "; ".join(said), preview, until_ns, "budget-more"))
    for name, (rule, units) in asked.items():
        if not _has_window(rule):
            found.append(_filling(known, caller, current.get(name, ()), rule, units, plans))
    return found


def _effect(
    known: Knowledge, caller: Caller, now: Budget, called: str, *, numbers: int = 0, more: int = 0
) -> list[str]:
    """Return what a customer has left of a limit now, and what it has with another number or more units.

    It is what the limit itself says of the same counter with these numbers.

    Args:
        known: what is known here.
        caller: the customer.
        now: what it has.
        called: the limit's name, with its plan where that is not known.
        numbers: the units in place of its own; 0 for none.
        more: units beyond them.
    """
    position = position_of(known, caller)
    row = known.row_of({position: caller.hash})
    rule = known.compiled.rules[now.rule.index]
    if earned_of(rule) is not None:
        own = raised(rule, numbers)
    else:
        amendment = amendment_of(known.compiled, known.acts)
        one = BudgetAmendment(rule.name, position, caller.hash, numbers or more, FOREVER_NS)
        amended = replace(
            amendment,
            numbers=(one, *amendment.numbers) if numbers else amendment.numbers,
            more=(*amendment.more, one) if more else amendment.more,
        )
        own = own_rule(rule, amended, row, known.bound.store.clock.now_ns())
    try:
        then = known.left_of([own], row)[0]
    except InspectionFailure:  # the server went away meanwhile
        return []
    left = f"{formatting.amount(now.left.remaining, rule.unit)} left now"
    after = f"then {formatting.amount_of(then.remaining, then.most, rule.unit)} left"
    return [", ".join(filter(None, (f"{called}: {left}", after, refuses_words(then))))]


def _filling(
    known: Knowledge, caller: Caller, now: Sequence[Budget], rule: LimitRule, units: int, plans: Plans
) -> Change:
    """Return the change that gives units back to a bucket, as far as used, or adds them to a balance.

    Plans have units of their own in one counter. Where the plan is not known they are the limit's own.
    """
    check_answer(known)  # it is done at once: what it would do is not shown before it fails
    mine = next((each for each in now if len(now) == 1 or each.rule.tier is None), None)
    own = rule if mine is None else mine.rule
    amount = formatting.amount(units, rule.unit)
    owes = ""
    if mine is not None and mine.owed:
        owes = f"; it owes {formatting.amount(mine.owed, rule.unit)}, which is paid first"
    if rule.algorithm in PREPAID:
        rest = owes
        if mine is not None and not owes:
            rest = f" to the {formatting.amount(mine.left.remaining, rule.unit)} it has left"
        # A customer pays before it asks for the first time: that nobody has met it is no doubt.
        preview = Preview([f"{rule.name}: {amount} are added{rest}"])
        said, lasts_ns = "added", _UNDONE_NS
    else:
        words = f"{rule.name}: {caller.label} gets {amount} back, as far as used"
        if known_by := plans.words(own):
            words += f", of {formatting.rate(own)} ({known_by})"
        preview = Preview([words + owes], doubts_of(known, [caller]))
        said, lasts_ns = "given back", rule.period_ns
        if len(now) > 1:
            words = f"the plan of {caller.label} is not known: these are units of `{rule.name}` with any "
            preview.doubts.append(f"{words}other plan, {formatting.rate(own)}")
    if mine is not None:
        has = mine.left.remaining - mine.owed
        has += units if rule.algorithm in PREPAID else min(units, mine.used)
        if has < 0:
            words = f"{rule.name}: then it still owes {formatting.amount(-has, rule.unit)}"
            if rule.period_ns:
                words += f": no request fits for {formatting.wait(-has * own.period_ns // own.quota)}"
            preview.does.append(words)
        else:
            most = mine.left.most + (units if rule.algorithm in PREPAID else 0)
            left = f"{formatting.amount(mine.left.remaining, rule.unit)} left now"
            then = formatting.amount_of(has, most, rule.unit)
            preview.does.append(f"{rule.name}: {left}, then {then} left")
        refused = refused_by_words(known, caller.identity, caller.hash, rule.name)
        preview.does.append(f"{rule.name}: {refused}")
    fills = {rule.name: (own, units)}
    says = f"{rule.name}: {amount} {said}"
    numbers = {rule.name: units}
    tier = own.tier or ""
    return Change(numbers, says, preview, None, "budget-back", fills, lasts_ns, tier=tier)


def carried_out(known: Knowledge, caller: Caller, change: Change, once: str = "") -> Change:
    """Give back what a change gives back to buckets; return the change with what was given.

    A server adds to a lifetime once, however often a call is repeated that has a name.

    Raises:
        InspectionFailure: nothing was used; a server keeps the limits and does not answer.
    """
    if not change.fills:
        return change
    row = known.row_of({position_of(known, caller): caller.hash})
    done = {name: give_back(known, rule, row, units, once) for name, (rule, units) in change.fills.items()}
    given = {name: moved for name, (moved, _) in done.items() if moved > 0}
    if not given:
        raise InspectionFailure(f"{caller.label} has used nothing of {', '.join(change.fills)}", "input")
    says = "; ".join(
        f"{name}: {formatting.amount(units, change.fills[name][0].unit)} {_word(change.fills[name][0])}"
        for name, units in given.items()
    )
    after = {name: done[name][1] for name in given if done[name][1]}
    return replace(change, numbers=given, says=says, after=after)


def check_answer(known: Knowledge) -> None:
    """Raise `InspectionFailure` where counters are to be changed on a server that does not answer."""
    try:
        known.left(known.row_of({}))
    except InspectionFailure as failure:
        raise InspectionFailure(f"nothing was done: {failure}", failure.cause, hint=failure.hint) from failure


def _has_window(rule: LimitRule) -> bool:
    """Return whether what a customer has more ends with a window; else its counter gets units back."""
    return rule.algorithm not in REFILLED | PREPAID


def _word(rule: LimitRule) -> str:
    return "added" if rule.algorithm in PREPAID else "given back"


def taken_back(known: Knowledge, act: Act) -> None:
    """Undo what an act has done to counters: what it gave back is charged again.

    Raises:
        InspectionFailure: a server keeps the limits and does not answer.
    """
    if act.of.is_done:
        of_tier = [rule for rule in reversed(known.compiled.rules) if (rule.tier or "") == act.name]
        charge_again(known, act, {rule.name: rule for rule in of_tier})


def _budgets(known: Knowledge, caller: Caller) -> list[Budget]:
    """Return what `budgets_of` does; nothing where the server does not answer."""
    try:
        return budgets_of(known, caller)
    except InspectionFailure:
        return []


def _current(known: Knowledge, caller: Caller, plans: Plans) -> dict[str, list[Budget]]:
    """Return by the name of a limit what a customer has: of each plan that may be its own."""
    found: dict[str, list[Budget]] = {}
    for each in _budgets(known, caller):
        if plans.may_be(each.rule):
            found.setdefault(each.rule.name, []).append(each)
    return found


def _rules_of(known: Knowledge, name: str, plans: Plans) -> list[LimitRule]:
    """Return the rules of a limit that a customer may have, where what is left is not known."""
    return [
        rule
        for rule in known.compiled.rules
        if rule.name == name and not rule.is_beside and plans.may_be(rule)
    ]


def _numbered(known: Knowledge, rule: LimitRule, number: int) -> LimitRule:
    """Return a rule with a number in place of the policy's, whatever number it has now."""
    return with_number(known.compiled.rules[rule.index], number)


def _called(rule: LimitRule, rules: Sequence[LimitRule]) -> str:
    return rule.name if len(rules) == 1 else formatting.of_plan(rule, rules)


def _limits(known: Knowledge, caller: Caller, *, of_accounts: bool = False) -> dict[str, LimitRule]:
    """Return the limits that count by a customer, by name: the policy's own, without those of plans.

    Args:
        of_accounts: with those that each account of a payer or a sponsor may have a number of.
    """
    position = position_of(known, caller)
    return {
        rule.name: rule
        for rule in reversed(known.compiled.rules)
        if not rule.is_beside
        and rule.tier is None
        and position in (known.compiled.said_by(rule) if of_accounts else rule.per)
    }


def _asked(
    known: Knowledge, caller: Caller, written: Sequence[str], limits: Mapping[str, LimitRule] | None = None
) -> dict[str, tuple[LimitRule, str]]:
    """Return by the name of a limit the limit and what was written for it; default: those per customer."""
    limits = _limits(known, caller) if limits is None else limits
    found = {}
    for text in written:
        name, equals, number = text.rpartition("=")
        if not equals:
            hint = f"Write LIMIT=NUMBER, such as `{next(iter(limits), 'requests')}={text}`."
            raise InspectionFailure(f"`{text}` names no limit", "call", hint=hint)
        found[name] = (_limit(limits, name, caller), number)
    return found


def _limit(limits: Mapping[str, LimitRule], name: str, caller: Caller) -> LimitRule:
    rule = limits.get(name)
    if rule is None:
        near = nearest(name, limits)
        hint = f"Did you mean `{near}`?" if near else f"Those that do: {', '.join(limits) or 'none'}."
        raise InspectionFailure(f"no limit `{name}` counts by {caller.identity}", "call", hint=hint)
    if rule.algorithm not in IN_WORDS:
        words = (
            f"`{name}` keeps as many places as it has units ({rule.algorithm}), so no customer has another"
        )
        raise InspectionFailure(words, "call", hint='`algorithm = "sliding-window"` could.')
    return rule


def _check_units(rule: LimitRule) -> None:
    """Raise `InspectionFailure` where an operator gives no units beyond a limit's number."""
    if earned_of(rule) is not None:
        hint = f"`ratelimit act budget set … '{rule.name}=NUMBER'` gives it another number."
        raise InspectionFailure(f"`{rule.name}` is an allowance, which a payer earns", "call", hint=hint)


def _levelled(rule: LimitRule, number: int) -> int:
    """Return the number that a customer gets: of an allowance that of the next level.

    Raises:
        InspectionFailure: an allowance has no such number.
    """
    earned = earned_of(rule)
    if earned is None:
        return number
    least, most = earned.quotas[0], earned.quotas[-1]
    if not least <= number <= most:
        words = f"`{rule.name}` is an allowance of {formatting.amount(least, rule.unit)} at least"
        words += f" and {formatting.amount(most, rule.unit)} at most"
        raise InspectionFailure(words, "call", hint="`ratelimit act stop` refuses a caller for a while.")
    return earned.quotas[earned.level_of(number)]


def _number(rule: LimitRule, text: str) -> int:
    """Return the units that a text names for a limit."""
    number = amount_in(rule.unit, rule.period_ns // SECOND_NS).read(text)
    if number is None or number == ABSENT or number == 0:
        span = formatting.period(rule.period_ns) if rule.period_ns else "lifetime"
        hint = (
            f"Write {'dollars' if rule.unit == USD else 'a number'}, or a rate of its period: `600/{span}`."
        )
        raise InspectionFailure(f"`{text}` is no number for `{rule.name}`", "call", hint=hint)
    most = most_units(rule)
    if number > most:
        words = f"`{rule.name}` can count {formatting.amount(most, rule.unit)} at most"
        raise InspectionFailure(words, "call")
    return number


def _end_of(known: Knowledge, rule: LimitRule, row: Sequence[int], now_ns: int) -> int:
    """Return when the window of a customer ends."""
    if rule.calendar is not None:
        return rule.calendar.starts(now_ns, 2)[1]
    phase_ns = 0
    if rule.algorithm == "staggered-window":
        key = known.key_of(rule, row)
        phase_ns = ((mix(key) >> 32) * (rule.period_ns // SECOND_NS) >> 32) * SECOND_NS
    return now_ns + rule.period_ns - (now_ns + rule.period_ns - phase_ns) % rule.period_ns
