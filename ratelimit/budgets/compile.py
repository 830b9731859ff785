"""`budget` of limits: what is wrong with it, and what it compiles to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from ratelimit.algorithms import IN_WORDS, PREPAID, SECOND_NS, WITH_BURST
from ratelimit.allowance.schema import Budget
from ratelimit.allowance.schema import LimitKeys as AllowanceKeys
from ratelimit.budgets.schema import LimitKeys
from ratelimit.facts.numbers import READERS, Number, NumberForm
from ratelimit.policy.compile.compiled import REQUESTS
from ratelimit.policy.compile.identities import CLUSTER
from ratelimit.policy.compile.quota import burst_beside, largest_burst, largest_quota
from ratelimit.policy.compile.spec import FileSpec, Numbers, Rule, RuleSpec, Scene, Statuses
from ratelimit.policy.compile.store import EMBEDDED
from ratelimit.policy.schema.model import Limit, PolicyFile, Tier
from ratelimit.policy.schema.problem import Path
from ratelimit.policy.schema.rate import LONGEST_TEXT, RateSyntaxError, has_lifetime, parse_rates
from ratelimit.usage.pricing import MICRO, USD

FIRST_STATUS, LAST_STATUS = 100, 599
_STATUSES = re.compile(r"status(>=|<|=)([0-9]{3}(?:,[0-9]{3})*)")


@dataclass(frozen=True, slots=True)
class OwnNumber:
    """The source of customers' own numbers of one limit.

    Args:
        at: where rows have it, in units that the rule counts.
        source: where it comes from, as the policy says it.
        most: the largest that counts.
    """

    at: int
    source: str
    most: int

    def bounded(self, number: int) -> int:
        """Return the number that counts in place of one: 1 to the largest."""
        return min(max(number, 1), self.most)


@dataclass(frozen=True, slots=True)
class Budgeting(RuleSpec):
    """The keys of one limit that budgets read."""

    own: OwnNumber | None
    """Where customers' own numbers come from; None: all have the same."""
    shares: tuple[float, ...]
    """Shares of the number, ascending: an event is sent when a customer has used so much."""
    charged: Statuses = ()
    """The statuses that are charged; empty: all."""

    @property
    def positions(self) -> frozenset[int]:
        """The identity that has the number."""
        return frozenset() if self.own is None else frozenset((self.own.at,))

    @property
    def statuses(self) -> Statuses:
        """The ranges of statuses that are charged; empty: all of them."""
        return self.charged

    def units(self, most: int) -> tuple[int, ...]:
        """Return from how many units of a number each share is crossed."""
        return tuple(max(1, ceil(Fraction(str(share)) * most)) for share in self.shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount(Number):
    """A customer's own number of a limit. A text may be a rate."""

    period_s: int
    """The period that a text has to name, if it names one."""

    def read(self, value: object) -> int | None:
        """Return the number in units that the limit counts; None for a rate by another period."""
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if not isinstance(text, str) or not any(mark in text for mark in ("/", "per")):
            return READERS[self.form](value)
        if len(text) > LONGEST_TEXT:
            return None
        try:
            rates = parse_rates(text)
        except RateSyntaxError:
            return None
        if len(rates) != 1 or rates[0].period_s != self.period_s:
            return None
        if self.form == "dollars":
            return rates[0].amount * MICRO + rates[0].millionths
        return None if rates[0].millionths else rates[0].amount


@dataclass(frozen=True, slots=True)
class OwnNumbers(FileSpec):
    """Where requests say customers' own numbers."""

    by_position: Mapping[int, Amount]

    @property
    def numbers(self) -> Mapping[int, Amount]:
        """The positions of a customer's own numbers, and what each is."""
        return self.by_position


def own_number(rule: Rule) -> OwnNumber | None:
    """Return where a rule's own numbers come from; None where all customers have the same."""
    spec = rule.spec(Budgeting)
    return None if spec is None else spec.own


def shares_of(rule: Rule) -> Budgeting | None:
    """Return the notice of a rule's shares; None without any."""
    spec = rule.spec(Budgeting)
    return spec if spec is not None and spec.shares else None


def amount_sources(file: PolicyFile) -> dict[int, tuple[str, Path]]:
    """Return by the number of a limit the source of its customers' numbers, and where that is written."""
    return {
        index: (budget.from_ or "", ("limit", index, "budget", "from")) for index, budget, _ in _budgets(file)
    }


def compile_limit(scene: Scene, limit: Limit, path: Path) -> Budgeting | None:
    """Return the source of a customer's number and the shares with an event; None without both."""
    own, shares = _own(scene, limit, path), _shares(scene, limit, path)
    _check_lifetime(scene, limit, path, own)
    charged = _charged(scene, limit, path)
    return Budgeting(own, shares, charged) if own is not None or shares or charged else None


def _check_lifetime(scene: Scene, limit: Limit, path: Path, own: OwnNumber | None) -> None:
    """Note what a lifetime would lose, and what it cannot tell."""
    lifetimes = [numbers for numbers in scene.numbers if numbers.algorithm in PREPAID]
    of_plans = any(has_lifetime(tier.rate) for tier in limit.tiers.values() if isinstance(tier, Tier))
    if (lifetimes or of_plans) and scene.file.store.url == EMBEDDED:
        scene.report.add(
            "limit-lifetime-memory",
            (*path, "rate"),
            "it is counted in this host's memory: after a reboot every caller has its lifetime anew",
            "Name a server in [store], with `appendonly yes`.",
        )
    notifies = bool(limit.part(LimitKeys).notify)
    if notifies and own is None and any(numbers.quota == 0 for numbers in lifetimes):
        words = "the number is 0, of which there are no shares"
        scene.report.add("limit-notify", (*path, "notify"), words, "Name the number in `budget` or `rate`.")


def _charged(scene: Scene, limit: Limit, path: Path) -> Statuses:
    """Return the statuses that a limit charges; empty: all."""
    written = limit.part(LimitKeys).charge
    if written is None:
        return ()
    for key, is_wrong, message in (
        ("unit", limit.unit != REQUESTS, "other units are settled by what was used"),
        ("concurrent", limit.concurrent is not None, "what is in flight has no status yet"),
        ("distinct", limit.distinct is not None, "an identity that was counted is not given back"),
        ("unit", limit.on != "request", "handshakes and messages have no status of their own"),
    ):
        if is_wrong:
            scene.report.add("limit-charge", (*path, key), message, "Remove `charge`.")
            return ()
    found = statuses_of(written)
    if not found:
        scene.report.add(
            "limit-charge",
            (*path, "charge"),
            f"`{written[:64]}` names no statuses from 100 to 599",
            "Write it like `status>=400`, `status<500` or `status=401,403`.",
        )
    return found


def statuses_of(text: str) -> Statuses:
    """Return the ranges of statuses that a text names; empty for none."""
    found = _STATUSES.fullmatch(text.replace(" ", ""))
    if found is None:
        return ()
    sign, numbers = found[1], [int(each) for each in found[2].split(",")]
    if not all(FIRST_STATUS <= each <= LAST_STATUS for each in numbers) or (sign != "=" and len(numbers) > 1):
        return ()
    (first, *_) = numbers
    ranges = {
        "=": tuple((each, each) for each in sorted(set(numbers))),
        ">=": ((first, LAST_STATUS),),
        "<": ((FIRST_STATUS, first - 1),) if first > FIRST_STATUS else (),
    }
    return ranges[sign]


def _shares(scene: Scene, limit: Limit, path: Path) -> tuple[float, ...]:
    """Return the shares that a limit tells of."""
    shares = limit.part(LimitKeys).notify
    if not shares:
        return ()

    def add(key: str, message: str, hint: str) -> None:
        scene.report.add("limit-notify", (*path, key), message, hint)

    if sorted(set(shares)) != list(shares):
        add("notify", "the shares do not ascend", "Write them as `[0.5, 0.8, 1]`.")
    if not limit.per:
        add("per", "one counter for all requests has no customer to tell of", "Name the customer in `per`.")
    if limit.concurrent is not None or limit.distinct is not None:
        key = "concurrent" if limit.concurrent is not None else "distinct"
        add(key, f"`{key}` does not count units that are used up", "Use `rate`.")
    if scene.file.store.mode == "leased":
        add(
            "notify",
            'with `mode = "leased"` no host knows at once what all have used',
            "Remove `mode` from [store], or `notify`.",
        )
    return tuple(shares)


def _own(scene: Scene, limit: Limit, path: Path) -> OwnNumber | None:
    """Return where a customer's number of a limit comes from; None where all have the same."""
    _check_budget(scene, limit, path)
    budget = _budget(limit)
    if budget is None:
        return None
    found = True
    for key, message, hint in _conflicts(limit, scene.numbers):
        scene.report.add("limit-budget", (*path, key), message, hint)
        found = False
    at = scene.amounts.get(int(path[1]))
    if not found or at is None or not scene.numbers:
        return None
    scale = MICRO if limit.unit == USD else 1
    most = _units(budget.most or 0, scale)
    numbers = scene.numbers[0]
    fits = most_units(numbers)
    if most > fits:
        words = f"`most` is {budget.most:g}; {fits // scale} are the most that it can count in this period"
        scene.report.add("limit-budget", (*path, "budget", "most"), words)
    return OwnNumber(at, budget.from_ or "", most)


def _check_budget(scene: Scene, limit: Limit, path: Path) -> None:
    """Note a table without a number, and keys that have no use in it."""
    budget, here = limit.part(AllowanceKeys).budget, (*path, "budget")
    if not isinstance(budget, Budget):
        return
    earns = budget.per_usd is not None or budget.growth is not None
    if budget.from_ is None and not earns:
        words = "the table names no source of a number, and nothing that is earned"
        scene.report.add("limit-budget", here, words, "Write `from`, or `per_usd` or `growth`.")
    elif budget.from_ is not None and budget.most is None:
        scene.report.add(
            "limit-budget", here, "`from` without `most`", "Write the largest number that counts."
        )
    elif budget.growth is None and budget.from_ is None and budget.most is not None:
        scene.report.add("limit-budget", (*here, "most"), "`most` bounds what `growth` opens", "Remove it.")


def _units(number: float, scale: int) -> int:
    """Return whole units of a number as it was written: 0.29 dollars are 290,000 millionths."""
    return int(Fraction(str(number)) * scale)


def compile_file(scene: Scene) -> OwnNumbers | None:
    """Return where requests say customers' own numbers; None where no limit has any."""
    amounts: dict[int, Amount] = {}
    for index, budget, limit in _budgets(scene.file):
        at = scene.amounts.get(index)
        if at is None or limit.rate is None:
            continue
        try:
            period_s = parse_rates(limit.rate)[0].period_s
        except RateSyntaxError:
            continue  # which is said there
        word, _, name = (budget.from_ or "").partition(":")
        amounts[at] = amount_in(limit.unit, period_s, None if word == "header" else name)
    return OwnNumbers(amounts) if amounts else None


def amount_in(unit: str, period_s: int, member: str | None = None) -> Amount:
    """Return a customer's own number of a limit in a unit; a trace has it as `member`."""
    form: NumberForm = "dollars" if unit == USD else "units"
    return Amount(form=form, diagnosed_as="budget-type", member=member, period_s=period_s)


def most_units(numbers: Numbers) -> int:
    """Return the largest number that can stand in place of a rate's, with a burst in proportion."""
    largest = largest_quota(numbers.algorithm, numbers.period_ns)
    if numbers.algorithm not in WITH_BURST:
        return largest
    low, high = 1, largest
    while low < high:
        middle = (low + high + 1) // 2
        burst = burst_beside(numbers.algorithm, numbers.quota, numbers.burst, middle)
        if burst <= largest_burst(numbers.algorithm, numbers.period_ns, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _budgets(file: PolicyFile) -> list[tuple[int, Budget, Limit]]:
    return [
        (index, budget, limit)
        for index, limit in enumerate(file.limit)
        if isinstance(limit, Limit) and (budget := _budget(limit)) is not None
    ]


def _budget(limit: Limit) -> Budget | None:
    """Return a limit's table; None without one, and where one of its keys is missing or in error."""
    budget = limit.part(AllowanceKeys).own
    return budget if budget is not None and budget.most is not None else None


def _conflicts(limit: Limit, rates: Sequence[Numbers]) -> list[tuple[str, str, str]]:
    """Return the key, the problem and the advice for each reason why a limit cannot have own numbers."""
    per = limit.names
    found = []
    if not per:
        words = "one counter for all requests has no customer whose number it could be"
        found.append(("per", words, 'Name the customer, as `per = "account"`.'))
    if CLUSTER in per:
        found.append(("per", "the members of an actor have several numbers", "Name the customer."))
    if limit.concurrent is not None:
        found.append(("concurrent", "`concurrent` has no rate that a number could replace", "Use `rate`."))
    if limit.distinct is not None:
        found.append(("unit", "`distinct` has no rate that a number could replace", "Use `rate`."))
    if limit.part(AllowanceKeys).allowance is not None:
        found.append(
            ("budget", "`from` and what is earned both say a customer's number", "Keep one of the two.")
        )
    if len(rates) > 1:
        words = "with several rates it is not said which one the number replaces"
        found.append(("rate", words, "Write each as a limit."))
    elif rates and rates[0].algorithm not in IN_WORDS and limit.rate is not None:
        words = f"`{rates[0].algorithm}` keeps as many places as the rate has units"
        found.append(("algorithm", words, 'Use `algorithm = "sliding-window"`.'))
    for name, tier in limit.tiers.items():
        if isinstance(tier, Tier) and rates and _period_ns(tier) not in (None, rates[0].period_ns):
            words = f"the plan `{name}` has another period, and a number is of one"
            found.append(("tiers", words, "Give all plans the period of the `rate`."))
    return found


def _period_ns(tier: Tier) -> int | None:
    """Return the period of a plan's own rate; None without one."""
    if tier.rate is None:
        return None
    try:
        rates = parse_rates(tier.rate)
    except RateSyntaxError:
        return None  # which is said there
    return rates[0].period_s * SECOND_NS if len(rates) == 1 else 0
