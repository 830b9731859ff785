"""One limit of the file becomes its rules: numbers, checked each by itself and against each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import get_args

from ratelimit.algorithms import DEFAULT, OF_UNITS, SECOND_NS, AlgorithmName
from ratelimit.environment.spelling import did_you_mean
from ratelimit.features.steps import BY_NAME, LENIENT
from ratelimit.policy.compile import calendar
from ratelimit.policy.compile.compiled import REQUESTS, CalendarSpec
from ratelimit.policy.compile.identities import CLUSTER
from ratelimit.policy.compile.quota import (
    LONGEST_PERIOD_NS,
    largest_burst,
    largest_debt,
    largest_quota,
)
from ratelimit.policy.schema.binder import other_value
from ratelimit.policy.schema.model import Limit, Tier
from ratelimit.policy.schema.problem import Path, Report
from ratelimit.policy.schema.rate import LIFETIME, Rate, RateSyntaxError, parse_rates
from ratelimit.usage.pricing import MICRO, USD

_WITH_BURST = ("token-bucket", "fixed-window")
"""What `burst` is written with; a fixed window then carries over what is left."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The amount that one rule allows."""

    algorithm: AlgorithmName
    quota: int
    period_ns: int
    burst: int
    calendar: CalendarSpec | None = None
    lease_ns: int = 0
    debt: int | None = None
    """Most units that settling may charge beyond; None: as much again as the burst."""


def expand(
    limit: Limit, path: Path, slot_kept_s: int, report: Report
) -> tuple[list[Numbers], dict[str, list[Numbers]]]:
    """Return the numbers of a limit, its own and those of each of its tiers.

    Slots of a worker lapse after `slot_kept_s` of its silence.
    """
    algorithm = _algorithm(limit, path, report)
    _check_settings(limit, algorithm, path, report)
    zone = _zone(limit, path, report)
    lease_ns = 0 if limit.concurrent is None else slot_kept_s * SECOND_NS
    shape = _Shape(limit, algorithm, zone, lease_ns, report)
    burst = limit.burst if algorithm in _WITH_BURST else None  # of which `_check_settings` complained
    own = shape.numbers(limit.rate, burst, limit.concurrent, limit.debt, path)
    tiers = {}
    for name, tier in limit.tiers.items():
        tiers[name] = shape.tier(tier, (*path, "tiers", limit.tier or "", name)) if tier is not None else []
    if any(one.algorithm == "carried-window" for each in (own, *tiers.values()) for one in each):
        # Of one kind, as a customer whose plan changes keeps what it used.
        return _carried(own), {name: _carried(each) for name, each in tiers.items()}
    return own, tiers


def _carried(found: list[Numbers]) -> list[Numbers]:
    return [
        replace(one, algorithm="carried-window") if one.algorithm == "fixed-window" else one for one in found
    ]


def check_algorithm(limit: Limit, path: Path, report: Report) -> None:
    """Note an algorithm that there is not."""
    if limit.counting is None or limit.algorithm is not None:
        return
    known = [*get_args(AlgorithmName), "calendar"]
    words = f"`{limit.counting[:64]}` is no algorithm; there are {', '.join(f'`{one}`' for one in known)}"
    hint = other_value(limit.counting, known) or did_you_mean(limit.counting, known)
    report.unusable("limit-algorithm", (*path, "algorithm"), words, hint)


def _algorithm(limit: Limit, path: Path, report: Report) -> AlgorithmName:
    check_algorithm(limit, path, report)
    implied: AlgorithmName | None = None
    for word, value, algorithm in (
        ("concurrent", limit.concurrent, "concurrency"),
        ("distinct:", limit.distinct, "distinct"),
    ):
        if value is not None:
            if limit.algorithm not in (None, algorithm):
                report.add(
                    "limit-conflict",
                    (*path, "algorithm"),
                    f"`{word}` and the algorithm `{limit.algorithm}` exclude each other",
                )
            implied = "concurrency" if algorithm == "concurrency" else "distinct"
    if implied is None and limit.algorithm is not None and limit.algorithm not in OF_UNITS:
        key = "concurrent" if limit.algorithm == "concurrency" else 'unit = "distinct:NAME"'
        report.add(
            "limit-conflict",
            (*path, "algorithm"),
            f"the algorithm `{limit.algorithm}` needs `{key}`",
            f"Add `{key}`.",
        )
    if implied is None and limit.algorithm == "carried-window":
        if limit.burst is None:
            report.add(
                "limit-conflict",
                (*path, "algorithm"),
                "the algorithm `carried-window` needs `burst`",
                'Write `algorithm = "fixed-window"`, and add `burst`.',
            )
        return "fixed-window"
    return implied or limit.algorithm or DEFAULT


def _check_settings(limit: Limit, algorithm: AlgorithmName, path: Path, report: Report) -> None:
    def conflict(key: str, message: str, hint: str) -> None:
        report.add("limit-conflict", (*path, key), message, hint)

    has_rate = limit.rate is not None
    if limit.concurrent is not None:
        if has_rate:
            conflict("rate", "`rate` and `concurrent` exclude each other", "Write two limits.")
        if limit.distinct is not None:
            conflict("unit", "different values and `concurrent` exclude each other", "Write two limits.")
        elif limit.unit != REQUESTS:
            conflict("unit", "`concurrent` counts only requests in flight", "Remove `unit`.")
        if limit.on == "message":
            conflict("unit", "messages are not held, so they are never in flight", "Use `rate` for messages.")
    elif not has_rate:
        report.add("limit-no-rate", (*path, "rate"), "the limit has no `rate` and no `concurrent`")
    _check_refusal(limit, path, report)
    if limit.burst is not None and algorithm not in _WITH_BURST:
        report.add("limit-burst", (*path, "burst"), f"`burst` has no meaning for `{algorithm}`", "Remove it.")
    if limit.unit == REQUESTS and isinstance(limit.cost, str):
        report.add(
            "limit-cost-unit",
            (*path, "cost"),
            "requests cost a number of units",
            "Write a number, or a `unit`.",
        )
    if limit.unit == REQUESTS and limit.usage is not None:
        conflict("usage", "requests are counted on arrival, without reading answers", "Name a `unit`.")
    if limit.cost is not None and algorithm not in OF_UNITS:
        conflict("cost", f"`cost` has no meaning for `{algorithm}`", "Remove it.")
    elif limit.cost == 0 and limit.unit == REQUESTS:
        report.add("limit-cost-zero", (*path, "cost"), "requests have no cost here")


def _check_refusal(limit: Limit, path: Path, report: Report) -> None:
    """Note a first entry that is none, and what only a limit that refuses can have."""
    here = (*path, "on_refusal")

    def conflict(place: Path, message: str, hint: str) -> None:
        report.add("limit-conflict", place, message, hint)

    if not limit.on_refusal:
        conflict(here, "the list is empty", 'Write `on_refusal = ["refuse"]`.')
        return
    if "cut" in limit.steps[1:]:
        conflict(here, "`cut` ends streams that use up the whole limit", "Write it first, or remove it.")
    first = limit.on_refusal[0]
    if not BY_NAME[first].is_first:
        written = ", ".join(f'"{step}"' for step in ("refuse", *limit.on_refusal))
        hint = 'Use `mode = "shadow"`' if first == "observe" else 'Use `wait = "1s"`'
        conflict(
            (*here, 0),
            f"`{first}` is a step for bad conduct, and the first entry is for the whole limit",
            f"{hint}, or write [{written}].",
        )
    if BY_NAME[first] in LENIENT and limit.enforce < 1:
        verb = BY_NAME[first].verb
        conflict((*path, "mode"), f"a limit that {verb} lets requests pass without room", "Remove it.")
    asking = [step for step in limit.on_refusal if BY_NAME[step].asks]
    if asking and limit.per == []:
        conflict(
            (*path, "per"),
            f"a {asking[0]} is passed by one caller, and this counts all together",
            "Name an identity in `per`.",
        )


def _zone(limit: Limit, path: Path, report: Report) -> str:
    if limit.zone is None:
        return "UTC"
    try:
        calendar.zone_named(limit.zone)
    except ValueError as error:
        near = calendar.likely_zone(limit.zone)
        hint = f"Did you mean `{near}`?" if near else None
        report.add("limit-zone", (*path, "algorithm"), str(error), hint)
        return "UTC"
    return limit.zone


class _Shape:
    """The common part of all rules of one limit while their numbers are worked out."""

    def __init__(
        self, limit: Limit, algorithm: AlgorithmName, zone: str, lease_ns: int, report: Report
    ) -> None:
        self.limit = limit
        self.algorithm: AlgorithmName = algorithm
        self.zone = zone
        self.lease_ns = lease_ns
        self.report = report

    def tier(self, tier: Tier, path: Path) -> list[Numbers]:
        limit = self.limit
        given = [key for key in ("rate", "burst", "concurrent") if getattr(tier, key) is not None]
        if not given:
            self.report.add("tier-numbers", path, "the tier has no settings")
            return []
        for key, own in (("rate", limit.rate), ("concurrent", limit.concurrent)):
            if key in given and own is None:
                self.report.add(
                    "tier-numbers",
                    (*path, key),
                    f"its limit has no `{key}` to replace",
                    "Use the limit's own keys.",
                )
                return []
        if tier.burst is not None and self.algorithm not in _WITH_BURST:
            self.report.add(
                "limit-burst",
                (*path, "burst"),
                f"`burst` has no meaning for `{self.algorithm}`",
                "Remove it.",
            )
            return []
        # A tier that names a rate of its own does not inherit a burst that was meant for another.
        burst = tier.burst if tier.burst is not None or tier.rate is not None else limit.burst
        return self.numbers(
            tier.rate or limit.rate, burst, tier.concurrent or limit.concurrent, limit.debt, path
        )

    def numbers(
        self,
        rate: str | None,
        burst: float | None,
        concurrent: int | None,
        debt: int | None,
        path: Path,
    ) -> list[Numbers]:
        self.check_debt(debt, path)
        if concurrent is not None:
            largest = largest_quota("concurrency", 0)
            if concurrent > largest:
                self.report.add(
                    "rate-too-high", (*path, "concurrent"), f"{concurrent} in flight; {largest} are the most"
                )
            return [Numbers("concurrency", concurrent, 0, concurrent, None, self.lease_ns)]
        if rate is None:
            return []
        try:
            rates = parse_rates(rate)
        except RateSyntaxError as error:
            self.report.add("rate-syntax", (*path, "rate"), str(error))
            return []
        if burst is not None and len(rates) > 1:
            self.report.add(
                "limit-burst",
                (*path, "burst"),
                "`burst` with several rates is ambiguous",
                "Write each rate as a limit of its own.",
            )
            burst = None
        found = [self.rule(one, burst, debt, path) for one in rates]
        periods = [one.period_s for one in rates]
        if len(set(periods)) < len(periods):
            self.report.add("rate-repeated", (*path, "rate"), f"`{rate}` names one period twice")
        return [numbers for numbers in found if numbers is not None]

    def rule(self, rate: Rate, most: float | None, debt: int | None, path: Path) -> Numbers | None:
        algorithm, report, place = self.algorithm, self.report, (*path, "rate")
        said = _dollars if self.limit.unit == USD else str
        written = str(rate)
        burst = None if most is None else int(most)
        if burst != most and self.limit.unit != USD:
            words = f"`burst = {most:g}` has a fraction, and only dollars have one"
            report.add("limit-burst", (*path, "burst"), words, f"Write {max(1, burst or 0)}.")
            return None
        if rate.unit == LIFETIME:
            algorithm = "lifetime"
            if not self.fits_lifetime(burst, path):
                return None
        elif algorithm == "lifetime":
            report.add(
                "limit-conflict",
                (*path, "algorithm"),
                f"a lifetime has no period, and `{written}` has one",
                f"Write `{rate.amount}/lifetime`, or remove `algorithm`.",
            )
            return None
        if self.limit.unit == USD and algorithm == "sliding-log":
            report.add(
                "limit-conflict",
                (*path[:2], "algorithm"),
                "`sliding-log` remembers each unit, and dollars are counted by the millionth",
                "Use `sliding-window`, or remove `algorithm`.",
            )
            return None
        if self.limit.unit == USD:
            rate = replace(rate, amount=rate.amount * MICRO + rate.millionths, millionths=0)
            exact = None if most is None else Fraction(str(most)) * MICRO
            burst = None if exact is None else round(exact)
            if burst != exact:
                words = f"`burst = {most}` is finer than a millionth of a dollar"
                report.add("limit-burst", (*path, "burst"), words, f"Write {_dollars(max(1, burst or 0))}.")
                return None
            debt = None if debt is None else debt * MICRO
        elif rate.millionths:
            report.add(
                "rate-syntax",
                place,
                f"`{written}` has a fraction, and only dollars have one",
                f"Write `{_whole(rate)}`.",
            )
            return None
        period_ns = rate.period_s * SECOND_NS
        if rate.amount == 0 and rate.unit != LIFETIME:  # of which more may be added
            report.add("rate-zero", place, f"`{written}` allows nothing")
            return None
        if period_ns > LONGEST_PERIOD_NS:
            report.add("rate-period", place, f"the period of `{written}` is longer than 366 days")
            return None
        if rate.amount > largest_quota(algorithm, period_ns):
            most = largest_quota(algorithm, period_ns) // (MICRO if self.limit.unit == USD else 1)
            report.add(
                "rate-too-high",
                place,
                f"`{written}` is too much for `{algorithm}`: {most} are the most in this period",
            )
            return None
        windows = self.calendar(rate, place)
        if burst is None:
            burst = rate.amount
        elif algorithm == "fixed-window" and burst != rate.amount:
            algorithm = "carried-window"
        if burst > largest_burst(algorithm, period_ns, rate.amount):
            largest = largest_burst(algorithm, period_ns, rate.amount)
            report.add(
                "limit-burst-too-high",
                (*path, "burst"),
                f"a burst of {said(burst)}; at this rate {said(largest)} are the most",
            )
            return None
        if algorithm == "carried-window" and burst < rate.amount:
            report.add(
                "limit-burst",
                (*path, "burst"),
                f"a burst of {said(burst)} leaves a window without a part of its {said(rate.amount)}",
                "Write more than the rate: what was left of one window is there in the next, up to it.",
            )
            return None
        self.check_cost(burst, path)
        if debt is not None and debt > (largest := largest_debt(algorithm, period_ns, rate.amount, burst)):
            report.add(
                "limit-burst-too-high",
                (*path, "debt"),
                f"a debt of {said(debt)}; at this rate {said(largest)} are the most",
            )
            return None
        return Numbers(algorithm, rate.amount, period_ns, burst, windows, debt=debt)

    def fits_lifetime(self, burst: int | None, path: Path) -> bool:
        """Return whether a limit with a rate of a lifetime has only keys that mean something for it."""
        limit = self.limit
        for key, is_wrong, why in (
            ("algorithm", limit.algorithm not in (None, "lifetime"), "a lifetime is counted in one way"),
            ("distinct", limit.distinct is not None, "values are counted in windows"),
            ("burst", burst is not None, "all of a lifetime may come at once"),
        ):
            if is_wrong:
                self.report.add("limit-conflict", (*path, key), why, "Remove it, or write two limits.")
                return False
        return True

    def check_debt(self, debt: int | None, path: Path) -> None:
        limit = self.limit
        if debt is None:
            return
        per = limit.names
        if self.algorithm not in OF_UNITS:
            why = f"`{self.algorithm}` has no unit that is settled"
        elif limit.unit == REQUESTS and CLUSTER not in per:
            why = "requests are charged on arrival, without settlement"
        else:
            return
        self.report.add("limit-conflict", (*path, "debt"), why, "Remove it.")

    def calendar(self, rate: Rate, place: Path) -> CalendarSpec | None:
        if not self.limit.calendar or self.algorithm != "fixed-window" or rate.unit == LIFETIME:
            return None
        for unit in calendar.UNITS:
            if rate.unit == unit and rate.multiple == 1:
                return CalendarSpec(unit, self.zone)
        self.report.add("limit-calendar", place, f"`{rate}` is not one period of the calendar")
        return None

    def check_cost(self, burst: int, path: Path) -> None:
        limit = self.limit
        cost = limit.cost
        if self.algorithm == "distinct" or not isinstance(cost, int):
            return
        # A tier's place is the tier: it is there that the burst became too small.
        place = (*path, "cost") if len(path) <= 2 else path
        if cost > burst > 0:
            self.report.add(
                "limit-cost-above-burst", place, f"`cost` is {cost}, and {burst} is all it can hold"
            )


def _dollars(millionths: int) -> str:
    """Return an amount as the file writes it."""
    return f"{millionths // MICRO}.{millionths % MICRO:06d}".rstrip("0").rstrip(".")


def _whole(rate: Rate) -> Rate:
    """Return a rate with a fraction as one of whole units in more periods: 1.5/minute as 3 per 2 minutes."""
    exact = Fraction(rate.amount * MICRO + rate.millionths, MICRO)
    return Rate(exact.numerator, exact.denominator * rate.multiple, rate.unit)
