"""`python -m benchmarks.correlation.months`: harm over 40 days, and what attacks pay a budget.

    python -m benchmarks.correlation.months                     # the library with the policy that it ships
    python -m benchmarks.correlation.months --model             # the reference model with that file's numbers
    python -m benchmarks.correlation.months --part agreement    # both, request by request
    python -m benchmarks.correlation.months --part growth       # what unpaid history costs
    python -m benchmarks.correlation.months --part twins        # attacks that honest customers look like

Harm counts the refusals of open limits: correlation is off. The columns differ in knowledge: payments and a
month of history; payments alone, on a fresh installation; an imported month alone; neither.
Prices are given with correlation and without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from math import inf
from pathlib import Path

from benchmarks.needs import missing

try:
    import click
    import msgspec
    import numpy as np

    from benchmarks.correlation.adversary.search import evaluated
    from benchmarks.correlation.adversary.world import world
    from benchmarks.correlation.contender import Contender
    from benchmarks.correlation.here import Here
    from benchmarks.correlation.kinlimit import POLICY
    from benchmarks.correlation.months import growth, harm, honest, twins
    from benchmarks.correlation.months.allowance import Allowance
    from benchmarks.correlation.months.attacks import ATTACKS
    from benchmarks.correlation.months.book import Book
    from benchmarks.correlation.months.harm import Refused
    from benchmarks.correlation.months.policy import public_of, rules_of, scaled
    from benchmarks.correlation.months.rules import Rules
    from benchmarks.correlation.numbers import START_NS
    from benchmarks.correlation.trace import Trace
except ModuleNotFoundError as error:
    raise missing(error) from None

KNOWN = ("paid, history", "paid, fresh", "month imported", "nothing known")


def crowd(seed: int, scale: float, only: str = "") -> Trace:
    """Return the honest classes, with the month before; `only`: those whose names it matches."""
    book = Book(seed, scale=scale)
    honest.put(book, [group for group in honest.CROWDS if re.search(only, group.name)])
    return book.trace()


@dataclass(frozen=True, slots=True)
class Known:
    """A trace as one installation knows it.

    Args:
        name: one of `KNOWN`.
        trace: what is decided.
        is_imported: whether the month before is history that was made of logs.
    """

    name: str
    trace: Trace
    is_imported: bool = False


def known(trace: Trace) -> Iterator[Known]:
    """Yield a trace for each column of `KNOWN`."""
    fresh = trace.where(trace.time_ns >= START_NS)
    yield Known(KNOWN[0], trace)
    yield Known(KNOWN[1], fresh)
    yield Known(KNOWN[2], trace.with_paid(None), is_imported=True)
    yield Known(KNOWN[3], fresh.with_paid(None))


@dataclass(frozen=True, slots=True)
class Played:
    """A player of worlds: the library with a policy, or the model with the numbers of one.

    Args:
        policy: the file.
        rules: numbers of the model.
        scale: divides limits.
        is_model: whether the model plays.
        only: matches the names of classes and attacks that are looked at.
    """

    policy: Path
    rules: Rules
    scale: int
    is_model: bool = False
    only: str = ""

    def contender(self, *, is_imported: bool = False) -> Contender:
        """Return it; `is_imported`: it knows the month before from logs."""
        if self.is_model:
            until = 0.0 if is_imported else -inf
            return Allowance(self.rules, self.scale, imported_until=until, public=public_of(self.policy))
        return Here(scaled(self.policy, self.scale), imported_until_ns=START_NS if is_imported else 0)


@click.command()
@click.option(
    "--policy",
    default=POLICY,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Default: the one that ships.",
)
@click.option(
    "--model", "is_model", is_flag=True, help="The reference model plays with the policy's numbers."
)
@click.option("--first-seed", default=1, show_default=True)
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1))
@click.option(
    "--scale", default=30, show_default=True, type=click.IntRange(1), help="Divides volumes and limits."
)
@click.option("--rules", default="", help="Of the model, as crowded=8,young_usd=10: fields of Rules.")
@click.option("--only", default="", help="Classes and attacks whose names this expression matches.")
@click.option(
    "--part",
    type=click.Choice(("harm", "prices", "twins", "agreement", "growth")),
    help="One of the tables. Default: harm and prices.",
)
def main(
    policy: Path,
    is_model: bool,
    first_seed: int,
    seeds: int,
    scale: int,
    rules: str,
    only: str,
    part: str | None,
) -> None:
    """Print harm by class and prices by attack."""
    every = range(first_seed, first_seed + seeds)
    chosen = replaced(rules_of(policy), rules)
    plays = Played(policy, chosen, scale, is_model or bool(rules), only)
    named = f"{'reference model' if plays.is_model else 'kinlimit'}, {policy.name} {rules}".strip()
    named += f", seeds {every.start} to {every.stop - 1}, scale {scale}"
    if part in (None, "harm"):
        _harm(plays, every, named)
    if part in (None, "prices"):
        _prices(plays, every, named)
    if part == "twins":
        _twins(plays, every, named)
    if part == "agreement":
        _agreement(plays, every, named)
    if part == "growth":
        _growth(chosen, first_seed, scale)


def replaced(rules: Rules, text: str) -> Rules:
    """Return the model's numbers with some replaced: `young_usd=10,crowded=8`."""
    given = dict(one.split("=", 1) for one in filter(None, text.split(",")))
    names = [one.name for one in fields(Rules)]
    unknown = given.keys() - set(names)
    if unknown:
        raise click.BadParameter(f"no rule is called {', '.join(sorted(unknown))}")
    try:
        return replace(
            rules, **{name: getattr(msgspec.convert(given, Rules, strict=False), name) for name in given}
        )
    except msgspec.ValidationError as error:
        raise click.BadParameter(str(error)) from None


def _harm(plays: Played, seeds: range, named: str) -> None:
    click.echo(f"Refused of a class' requests in 40 days / on its worst day, per cent ({named})\n")
    click.echo("| class | " + " | ".join(KNOWN) + " |")
    click.echo("| --- |" + " --- |" * len(KNOWN))
    found: dict[str, list[dict[str, Refused]]] = {name: [] for name in KNOWN}
    for seed in seeds:
        for one in known(crowd(seed, plays.scale, plays.only)):
            contender = plays.contender(is_imported=one.is_imported)
            admitted = contender.control(one.trace).admitted
            found[one.name].append(harm.refused(one.trace, admitted))
    for group in honest.CROWDS:
        if not re.search(plays.only, group.name):
            continue
        cells = []
        for name in KNOWN:
            rows = [one[group.name] for one in found[name] if group.name in one]
            asked = sum(row.requests for row in rows)
            share = sum(row.share * row.requests for row in rows) / max(1, asked)
            cells.append(f"{_percent(share)} / {_percent(max(row.worst for row in rows))}")
        click.echo(f"| {group.name}{', new' if group.kind == 'new' else ''} | " + " | ".join(cells) + " |")
    click.echo()


def _prices(plays: Played, seeds: range, named: str) -> None:
    contender = plays.contender()
    click.echo(f"A month of each attack ({named})\n")
    heads = (
        "attack",
        "$",
        "budgets",
        "without correlation",
        "$ a further budget",
        "with new accounts",
        "refused of others",
    )
    click.echo("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for name, attack in ATTACKS.items():
        if not re.search(plays.only, name):
            continue
        found = [evaluated(attack, contender, scale=plays.scale, seed=seed, control=True) for seed in seeds]
        least = min(found, key=lambda one: one.fitness)
        further, whole = ("" if one is None else f"{one:.2f}" for one in (least.further, least.with_accounts))
        others = max(one.victims for one in found)
        click.echo(
            f"| {name} | {least.dollars:.0f} | {least.budgets:.1f} | {least.without:.1f} "
            f"| {further} | {whole} | {_percent(others)} % |"
        )
    click.echo()


def _twins(plays: Played, seeds: range, named: str) -> None:
    """Print each attack and its twin as a limiter sees them, and with the rule that would end the attack."""
    click.echo(f"Attacks and honest twins of the same facts (reference model; {named})\n")
    public = public_of(plays.policy)
    for pair in twins.PAIRS:
        if not re.search(plays.only, pair.attack):
            continue
        attack, both = ATTACKS[pair.attack], (plays.rules, replaced(plays.rules, pair.rule))
        for seed in seeds:
            hostile = world(attack, scale=plays.scale, seed=seed)
            honest_one = twins.world(pair, scale=plays.scale, seed=seed)
            klass = honest_one.truth.klasses.index(twins.NAME)
            mine = honest_one.truth.klass[honest_one.account] == klass
            click.echo(f"{pair.attack}: {twins.facts(hostile, hostile.campaign == 0, plays.scale).words()}")
            click.echo(f"{pair.twin}: {twins.facts(honest_one, mine, plays.scale).words()}")
            for rules, name in zip(both, ("shipped", pair.rule), strict=True):
                model = Allowance(rules, plays.scale, public=public)
                quick = Allowance(rules, plays.scale, public=public, by_day=True)
                found = evaluated(attack, quick, scale=plays.scale, seed=seed)
                lost = harm.refused(honest_one, model.control(honest_one).admitted)[twins.NAME]
                price = "none" if found.further is None else f"${found.further:.2f}"
                click.echo(
                    f"  {name}: {found.budgets:.1f} budgets, a further one {price}; "
                    f"the twin loses {_percent(lost.share)} %"
                )
            click.echo()


@dataclass(frozen=True, slots=True)
class Parted:
    """Where the library and the model differ in one world.

    Args:
        requests: of the world.
        refused: by the model.
        differ: decisions that are not the same.
    """

    world: str
    requests: int
    refused: int
    differ: int


def agreement(plays: Played, seed: int, names: Callable[[str], bool] = lambda name: True) -> Iterator[Parted]:
    """Yield each world as the library decides it, without correlation, beside the model.

    The model knows no tokens, so here requests have none.
    """
    ours, model = replace(plays, is_model=False), replace(plays, is_model=True)

    def parted(name: str, trace: Trace, *, is_imported: bool = False) -> Parted:
        trace = replace(trace, output_tokens=np.zeros_like(trace.output_tokens))
        here, there = (
            each.contender(is_imported=is_imported).control(trace).admitted for each in (ours, model)
        )
        return Parted(name, len(trace), int((~there).sum()), int((here != there).sum()))

    for name, attack in ATTACKS.items():
        if names(name):
            yield parted(name, world(attack, scale=plays.scale, seed=seed))
    if any(map(names, KNOWN)):
        for one in known(crowd(seed, plays.scale)):
            if names(one.name):
                yield parted(f"honest classes: {one.name}", one.trace, is_imported=one.is_imported)


def _agreement(plays: Played, seeds: range, named: str) -> None:
    click.echo(f"Decisions of kinlimit and of the reference model, without correlation ({named})\n")
    click.echo("| world | requests | refused by the model | decided otherwise |\n| --- | --- | --- | --- |")
    for seed in seeds:
        for one in agreement(plays, seed):
            click.echo(f"| {one.world} | {one.requests:,} | {one.refused:,} | {one.differ:,} |")
    click.echo()


def _growth(rules: Rules, seed: int, scale: int) -> None:
    click.echo(f"Growth where payments are not known (reference model, seed {seed}, scale {scale})\n")
    months = [f"month {number + 1}" for number in range(growth.MONTHS)]
    click.echo("| growth | " + " | ".join((*months, *growth.CLASSES)) + " |")
    click.echo("| --- |" + " --- |" * (len(months) + len(growth.CLASSES)))
    for one in growth.growths(rules, seed, scale):
        paid = [
            f"{budgets:.1f}: ${price:.2f}" for budgets, price in zip(one.budgets, one.prices, strict=True)
        ]
        held = [
            f"{_percent(one.harm[name].share)} / {_percent(one.harm[name].worst)}" for name in growth.CLASSES
        ]
        click.echo(f"| {one.factor:g} | " + " | ".join((*paid, *held)) + " |")
    click.echo()


def _percent(share: float) -> str:
    return "0" if not share else f"{100 * share:.2f}" if share < 0.01 else f"{100 * share:.0f}"


if __name__ == "__main__":
    main()
