"""The aims: what is promised of harm, changed campaigns, hours and purity, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite

from benchmarks.correlation.families import price
from benchmarks.correlation.families.changes import COSTLY
from benchmarks.correlation.families.measure import Chase, Crowd, Result

CONTAINED = 1.2
"""Budgets after a day: a plain form above that is not contained, and its changes have no aim."""
WITHIN = 0.3
CHANGED = "changed for nothing: within 0.3 budgets, ≤ 1.2"
MIXED = 0.01
"""Part of the certain members of a world that are not their cluster's majority: worth its name."""
FEW = 20
"""Accounts below which a class has no share worth a bound."""

SINGLE = (
    "school district, few addresses",
    "school district, many addresses",
    "school district, cloud filter",
    "company, rotating exits",
    "company, one card",
    "company in one day",
    "company on a VPN",
    "CI runners of one customer",
    "fleet of devices",
    "shops' tills, a card a region",
    "keys of one customer",
    "gateway with one key",
    "agency",
    "publisher's users behind serverless",
    "machines on an IPv6 prefix",
)
"""Single organisations with many payment methods or one: never certain."""

HOURS: dict[str, float] = (
    dict.fromkeys(
        (
            "base",
            "lazy",
            "synchronised",
            "churning",
            "data centre",
            "new model",
            "several on one provider, a",
            "several on one provider, b",
            "several on one provider, c",
            "touches victims' addresses",
            "copies a tenant's client",
            "bridges two companies",
            "stolen cards",
            "lives on a campus",
        ),
        6.0,
    )
    | dict.fromkeys(
        (
            "pairs",
            "residential, sticky for a day",
            "residential, another each request",
            "reseller mix",
            "mobile",
            "cloud functions",
            "by card, each on a provider",
            "IPv6 prefixes",
            "churning, all renewed",
        ),
        24.0,
    )
    | {"slow": 48.0, "small": 48.0}
)
LIKELY_WITHIN = 3.0
"""Hours, of those that are to be contained within six."""
BARE = "no open limits in it: see the contender kinlimit"
CARD_EACH = ("card each, residential", "mobile, a card each")
CARD_EACH_ANY = (*CARD_EACH, "card each, sticky", "full mimic")
OVERT = ("a dozen busy accounts", "few cards, an exit a day", "overt exits", "one card, sticky")


@dataclass(frozen=True, slots=True)
class Row:
    """One aim and what came of it; `met` is None where it is stated and not bounded, or nothing ran."""

    aim: str
    bound: str
    found: str
    met: bool | None
    where: str = ""


def rows(results: Sequence[Result]) -> list[Row]:
    """Return every aim beside the results of one contender."""
    return [*_harm(results), *_campaigns(results), *_frontier(results)]


def percent(share: float) -> str:
    """Return a share as people read it."""
    return f"{100 * share:.3f} %" if share < 0.1 else f"{100 * share:.0f} %"


def merged(results: Iterable[Result]) -> dict[tuple[str, bool], list[Crowd]]:
    """Return what happened to each class, established and new apart."""
    found: dict[tuple[str, bool], list[Crowd]] = {}
    for result in results:
        for crowd in result.crowds:
            found.setdefault((crowd.klass, crowd.new), []).append(crowd)
    return found


def share(crowds: Sequence[Crowd], name: str, of: str = "requests") -> float:
    """Return one number of a class as a share."""
    whole = sum(int(getattr(crowd, of)) for crowd in crowds)
    part = sum(int(getattr(crowd, name)) for crowd in crowds)
    return part / max(whole, 1)


def _worst(
    classes: dict[tuple[str, bool], list[Crowd]], new: bool, number: str, bound: float
) -> tuple[float, str, int]:
    """Return the worst class's share, all that are above a bound by name, and how many there are."""
    there = {
        name: share(crowds, number)
        for (name, is_new), crowds in classes.items()
        if is_new is new and sum(crowd.accounts for crowd in crowds) >= FEW
    }
    above = sorted((name for name in there if there[name] > bound), key=lambda name: -there[name])
    named = ", ".join(f"{name} {percent(there[name])}" for name in above)
    return max(there.values(), default=0.0), named, len(there)


def _harm(results: Sequence[Result]) -> list[Row]:
    classes = merged(results)
    old = [crowd for (_, new), crowds in classes.items() if not new for crowd in crowds]
    recent = [crowd for (_, new), crowds in classes.items() if new for crowd in crowds]
    found: list[Row] = []

    def bounded(aim: str, value: float, bound: float, where: str = "", *, there: bool = True) -> None:
        said = percent(value) if there else "nothing ran"
        found.append(Row(aim, f"≤ {percent(bound)}", said, value <= bound if there else None, where))

    bounded("established: honest requests refused", share(old, "refused"), 1e-4, there=bool(old))
    value, where, count = _worst(classes, False, "refused", 1e-3)
    bounded("… of the worst class", value, 1e-3, where, there=bool(count))
    bounded("… accounts ever refused", share(old, "ever", "accounts"), 1e-3, there=bool(old))
    value, where, count = _worst(classes, True, "refused", 0.01)
    bounded("brand-new: requests refused, worst class", value, 0.01, where, there=bool(count))
    single = {key: crowds for key, crowds in classes.items() if key[0] in SINGLE}
    worst = max(single, key=lambda key: share(single[key], "certain"), default=None)
    bounded(
        "single organisations certain",
        0.0 if worst is None else share(single[worst], "certain"),
        0.0,
        "" if worst is None else worst[0] + (", new" if worst[1] else ""),
        there=bool(single),
    )
    bounded("established: refused by the open limits", share(old, "limited"), 1e-3, there=bool(old))
    value, where, count = _worst(classes, False, "limited", 0.01)
    bounded("… of the worst class", value, 0.01, where, there=bool(count))
    value, where, count = _worst(classes, True, "limited", 0.01)
    found.append(
        Row("brand-new: refused by the open limits, worst class", "stated", percent(value), None, where)
    )
    bounded("established: honest requests likely", share(old, "likely"), 0.01, there=bool(old))
    many = sorted(
        f"{name} {percent(share(crowds, 'likely'))}"
        for (name, new), crowds in classes.items()
        if not new and share(crowds, "likely") > 0.05
    )
    found.append(Row("… classes above 5 %", "listed", str(len(many)), None, ", ".join(many)))
    found.append(Row("brand-new: requests likely", "stated", percent(share(recent, "likely")), None))
    members, pure = sum(one.members for one in results), sum(one.pure for one in results)
    honest = sum(crowd.accounts_certain for crowds in classes.values() for crowd in crowds)
    mixed = [one for one in results if one.members - one.pure > MIXED * one.members]
    named = ", ".join(dict.fromkeys(one.entry for one in mixed))

    def at_least(aim: str, value: int, where: str = "") -> None:
        part = value / members if members else 1.0
        found.append(Row(aim, "≥ 0.999", f"{part:.4f}", part >= 0.999 if members else None, where))

    at_least("purity of certain actors, by members", pure, named)
    at_least("… members that are not honest", members - honest)
    aged = sum(one.honest_old for one in results)
    found.append(Row("… honest ones older than two weeks", "0", str(aged), aged == 0))
    return found


def _campaigns(results: Sequence[Result]) -> list[Row]:
    chases = [chase for result in results for chase in result.chases]
    plain = [chase for result in results if result.kind in ("plain", "poison") for chase in result.chases]
    found: list[Row] = []
    pairs = changed(results)
    held = [(now, then) for now, then in pairs if then.after_24 <= CONTAINED]
    if pairs:
        free = [(now, then) for now, then in held if now.change not in COSTLY]
        missed = [now for now, then in free if now.after_24 > min(then.after_24 + WITHIN, CONTAINED)]
        names = ", ".join(dict.fromkeys(f"{now.family} + {now.change} {now.after_24:.2f}" for now in missed))
        if free:
            said = f"{len(free) - len(missed)} of {len(free)}"
            found.append(Row(CHANGED, "all", said, not missed, names))
        paid = [now for now, _ in held if now.change in COSTLY]
        if paid:
            found.append(_floor("… for a price: a budget beyond the first, a month", paid))
        open_ones = sorted({then.family for _, then in pairs if then.after_24 > CONTAINED})
        found.append(
            Row(
                "… with a plain form that is not contained",
                "none",
                str(len(open_ones)),
                not open_ones,
                ", ".join(open_ones),
            )
        )
    for hours in sorted(set(HOURS.values())):
        mine = [chase for chase in plain if HOURS.get(chase.family) == hours]
        found.append(_at_most(f"hours beyond the budget: {_families(hours)}", mine, "hours_beyond", hours))
    quick = [chase for chase in plain if HOURS.get(chase.family) == 6.0]
    found.append(_at_most("hours to likely, of those within six", quick, "hours_to_likely", LIKELY_WITHIN))
    rotating = [chase for chase in plain if chase.family in CARD_EACH]
    low = min(rotating, key=lambda chase: chase.likely, default=None)
    found.append(
        Row(
            "a card each, rotating: traffic likely after a day",
            "≥ 0.9",
            "nothing ran" if low is None else f"{low.likely:.2f}",
            None if low is None else low.likely >= 0.9,
            "" if low is None else low.family,
        )
    )
    found.append(
        _at_most("a card each: certain", [c for c in plain if c.family in CARD_EACH_ANY], "certain", 0.0)
    )
    overt = [chase for chase in chases if chase.family in OVERT]
    worst = max(overt, key=lambda chase: chase.after_24 / chase.cards, default=None)
    each = 0.0 if worst is None else worst.after_24 / worst.cards
    found.append(
        Row(
            "overt: budgets a payment method, after a day",
            "≤ 1",
            "nothing ran" if worst is None else f"{each:.2f}",
            None if worst is None or _is_bare(results) else each <= 1.05,
            "" if worst is None else BARE if _is_bare(results) else worst.family,
        )
    )
    return found


def _is_bare(results: Sequence[Result]) -> bool:
    """Return whether no policy was around the model: what open limits hold is not to be had then."""
    return all(result.contender == "core" for result in results)


def _families(hours: float) -> str:
    return {6.0: "≤ 6 h", 24.0: "≤ 24 h", 48.0: "≤ 48 h"}[hours]


def _at_most(aim: str, chases: Sequence[Chase], name: str, bound: float) -> Row:
    if not chases:
        return Row(aim, f"≤ {bound:g}", "nothing ran", None)
    late = [chase for chase in chases if getattr(chase, name) > bound]
    worst = max(chases, key=lambda chase: getattr(chase, name))
    value = getattr(worst, name)
    said = "never" if not isfinite(value) else f"{value:.1f}"
    names = ", ".join(sorted({f"{chase.family} {getattr(chase, name):.1f}" for chase in late}))
    return Row(aim, f"≤ {bound:g}", said, not late, names)


def changed(results: Sequence[Result]) -> list[tuple[Chase, Chase]]:
    """Return each changed campaign with its plain form of the same seed."""
    plain = {
        (result.seed, chase.family): chase
        for result in results
        if result.kind == "plain"
        for chase in result.chases
    }
    return [
        (chase, plain[result.seed, chase.family])
        for result in results
        if result.kind == "changed"
        for chase in result.chases
        if (result.seed, chase.family) in plain
    ]


def evasion(chase: Chase) -> float:
    """Return dollars a month for each budget beyond the first, after a day; infinite for none.

    New accounts are left out: they are needed for so many requests with or without a correlator.
    """
    return chase.evasion_dollars / (chase.after_24 - 1) if chase.after_24 > CONTAINED else inf


def _frontier(results: Sequence[Result]) -> list[Row]:
    chases = [chase for result in results if result.kind != "random" for chase in result.chases]
    row = _floor("cheapest budget beyond the first, a month", chases)
    return [replace(row, met=None, where=BARE) if results and _is_bare(results) else row]


def _floor(aim: str, chases: Sequence[Chase]) -> Row:
    """Return what a budget beyond the first costs at the least."""
    cheapest = min(chases, key=evasion, default=None)
    bound = f"≥ ${price.BUDGET_FLOOR:g}"
    if cheapest is None or not isfinite(evasion(cheapest)):
        return Row(aim, bound, "none" if chases else "nothing ran", None)
    named = cheapest.family + (f" + {cheapest.change}" if cheapest.change else "")
    dollars = evasion(cheapest)
    return Row(aim, bound, f"${dollars:.1f}", dollars >= price.BUDGET_FLOOR, named)
