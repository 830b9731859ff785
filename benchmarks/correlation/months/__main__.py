"""`python -m benchmarks.correlation.months`: harm over 40 days, and what attacks pay a budget.

    python -m benchmarks.correlation.months                     # the reference model
    python -m benchmarks.correlation.months --policy FILE       # the library with a policy
    python -m benchmarks.correlation.months --part growth       # what unpaid history costs

Harm counts the refusals of open limits: correlation is off. The columns differ in knowledge: payments and a
month of history; payments alone, on a fresh installation; an imported month alone; neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from math import inf
from pathlib import Path

from benchmarks.needs import missing

try:
    import click
    import msgspec

    from benchmarks.correlation.adversary.here import Here
    from benchmarks.correlation.adversary.search import evaluated, scaled
    from benchmarks.correlation.contender import Contender
    from benchmarks.correlation.months import growth, harm, honest
    from benchmarks.correlation.months.allowance import Allowance, Rules
    from benchmarks.correlation.months.attacks import ATTACKS
    from benchmarks.correlation.months.book import Book
    from benchmarks.correlation.months.harm import Refused
    from benchmarks.correlation.numbers import START_NS
    from benchmarks.correlation.trace import Trace
except ModuleNotFoundError as error:
    raise missing(error) from None

KNOWN = ("paid, history", "paid, fresh", "month imported", "nothing known")


def crowd(seed: int, scale: float) -> Trace:
    """Return the honest classes, with the month before."""
    book = Book(seed, scale=scale)
    honest.put(book)
    return book.trace()


def columns(trace: Trace, contender: Callable[[bool, bool], Contender]) -> list[dict[str, Refused]]:
    """Return the refusals of each class, for each column of `KNOWN`.

    Args:
        contender: makes one, by whether the month before is imported, and whether payments are read.
    """
    fresh = trace.where(trace.time_ns >= START_NS)
    silent, fresh_silent = trace.with_paid(None), fresh.with_paid(None)
    return [
        harm.of(trace, contender(False, True)),
        harm.of(fresh, contender(False, True)),
        harm.of(silent, contender(True, False)),
        harm.of(fresh_silent, contender(False, False)),
    ]


@click.command()
@click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of the library, in place of the reference model.",
)
@click.option("--first-seed", default=1, show_default=True)
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1))
@click.option(
    "--scale",
    default=60,
    show_default=True,
    help="Divides the volumes of the honest classes, and the limits.",
)
@click.option("--rules", default="", help="Of the model, as settled=1,young_usd=10: fields of Rules.")
@click.option("--part", type=click.Choice(("harm", "prices", "growth")), help="One of the tables.")
def main(policy: Path | None, first_seed: int, seeds: int, scale: int, rules: str, part: str | None) -> None:
    """Print harm by class and prices by attack."""
    every = range(first_seed, first_seed + seeds)
    chosen = rules_of(rules)
    named = policy.name if policy else f"reference model {rules}".strip()
    named += f", seeds {every.start} to {every.stop - 1}"
    if part in (None, "harm"):
        _harm(policy, chosen, every, scale, named)
    if part in (None, "prices"):
        _prices(policy, chosen, every, named)
    if part in (None, "growth"):
        _growth(chosen, first_seed, scale)


def rules_of(text: str) -> Rules:
    """Return the model's numbers with some replaced: `young_usd=10,at=address`."""
    given = dict(one.split("=", 1) for one in filter(None, text.split(",")))
    unknown = given.keys() - {one.name for one in fields(Rules)}
    if unknown:
        raise click.BadParameter(f"no rule is called {', '.join(sorted(unknown))}")
    try:
        return msgspec.convert(given, Rules, strict=False)
    except msgspec.ValidationError as error:
        raise click.BadParameter(str(error)) from None


def _harm(policy: Path | None, rules: Rules, seeds: range, scale: int, named: str) -> None:
    def contender(imported: bool, paid: bool) -> Contender:
        if policy is None:
            known = replace(rules, reads_paid=paid)
            return Allowance(known, scale, by_day=True, imported_until=0.0 if imported else -inf)
        return _Control(Here(scaled(policy, scale)))

    click.echo(
        f"Refused of a class' requests in 40 days / on its worst day, per cent ({named}, scale {scale})\n"
    )
    click.echo("| class | " + " | ".join(KNOWN) + " |")
    click.echo("| --- |" + " --- |" * len(KNOWN))
    found = [columns(crowd(seed, scale), contender) for seed in seeds]
    for group in honest.CROWDS:
        cells = []
        for at in range(len(KNOWN)):
            rows = [one[at][group.name] for one in found if group.name in one[at]]
            asked = sum(row.requests for row in rows)
            share = sum(row.share * row.requests for row in rows) / max(1, asked)
            cells.append(f"{_percent(share)} / {_percent(max(row.worst for row in rows))}")
        click.echo(f"| {group.name}{', new' if group.kind == 'new' else ''} | " + " | ".join(cells) + " |")
    click.echo()


def _prices(policy: Path | None, rules: Rules, seeds: range, named: str, scale: int = 100) -> None:
    contender: Contender = (
        Allowance(rules, scale, by_day=True) if policy is None else Here(scaled(policy, scale))
    )
    click.echo(f"A month of each attack ({named}, scale {scale})\n")
    click.echo("| attack | $ | budgets | $ a further budget | with new accounts | refused of others |")
    click.echo("| --- | --- | --- | --- | --- | --- |")
    for name, attack in ATTACKS.items():
        found = [evaluated(attack, contender, scale=scale, seed=seed) for seed in seeds]
        least = min(found, key=lambda one: one.fitness)
        further, whole = ("" if one is None else f"{one:.2f}" for one in (least.further, least.with_accounts))
        others = max(one.victims for one in found)
        click.echo(
            f"| {name} | {least.dollars:.0f} | {least.budgets:.1f} | {further} | {whole} "
            f"| {_percent(others)} % |"
        )


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


class _Control:
    """A contender with correlation off."""

    def __init__(self, contender: Contender) -> None:
        self._contender, self.name = contender, contender.name
        self.run = self.control = contender.control


def _percent(share: float) -> str:
    return "0" if not share else f"{100 * share:.2f}" if share < 0.01 else f"{100 * share:.0f}"


if __name__ == "__main__":
    main()
