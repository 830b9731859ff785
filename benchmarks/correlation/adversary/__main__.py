"""`python -m benchmarks.correlation.adversary`: the cheapest further budget that a search finds."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.needs import missing

try:
    import click

    from benchmarks.correlation.adversary.attack import Attack, young
    from benchmarks.correlation.adversary.search import Found, evaluated, search
    from benchmarks.correlation.adversary.world import MONTHS, SHORT
    from benchmarks.correlation.contender import Contender
    from benchmarks.correlation.here import Here
    from benchmarks.correlation.kinlimit import POLICY
    from benchmarks.correlation.months.allowance import Allowance
    from benchmarks.correlation.months.attacks import ATTACKS
    from benchmarks.correlation.months.policy import public_of, rules_of, scaled
except ModuleNotFoundError as error:
    raise missing(error) from None

SHOWN = 10


@click.command()
@click.option("--evaluations", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True, help="Of the search, the customers and the times.")
@click.option(
    "--scale",
    default=100,
    show_default=True,
    type=click.IntRange(1),
    help="Divides all volumes, and all limits a day: the same attack in less time.",
)
@click.option("--new-only", "new_only", is_flag=True, help="Attacks with new accounts alone.")
@click.option("--policy", default=POLICY, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--short", is_flag=True, help="Worlds of two days, in which nothing compounds.")
@click.option("--from-known", is_flag=True, help="The 54 named attacks come first, and are varied then.")
@click.option("--model", is_flag=True, help="The reference model decides, with the policy's numbers.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="All evaluations.")
def main(
    evaluations: int,
    seed: int,
    scale: int,
    new_only: bool,
    policy: Path,
    short: bool,
    from_known: bool,
    model: bool,
    as_json: Path | None,
) -> None:
    """Look for the cheapest budget beyond the first against a policy."""
    tried: list[Found] = []
    contender: Contender = Here(scaled(policy, scale))
    if model:
        contender = Allowance(rules_of(policy), scale, by_day=True, public=public_of(policy))
    span = SHORT if short else MONTHS
    evaluate = partial(evaluated, contender=contender, scale=scale, seed=seed, span=span)
    known = tuple(ATTACKS.values()) if from_known else ()
    least = float("inf")
    for found in search(evaluate, evaluations, seed, young if new_only else tuple, known):
        tried.append(found)
        if found.further is not None and found.further < least:
            least = found.further
            click.echo(f"{len(tried):6} ${least:8.2f}  {words(found.attack)}", err=True)
    priced = {words(one.attack): one for one in tried if one.further is not None}
    best = sorted(priced.values(), key=lambda one: one.fitness)[:SHOWN]
    click.echo(f"seed {seed}, {evaluations} evaluations, {len(priced)} attacks with a further budget")
    click.echo(
        "$ a further budget, with new accounts, budgets, without correlation, $ a month, refused, attack"
    )
    for one in best:
        without = evaluate(one.attack, control=True).without
        numbers = f"{one.further:8.2f} {one.with_accounts:8.2f} {one.budgets:8.1f} {without:8.1f}"
        numbers += f" {one.dollars:8.0f} {100 * one.victims:6.2f} %"
        click.echo(f"{numbers}  {words(one.attack)}")
    if as_json is not None:
        as_json.write_text(json.dumps([asdict(one) for one in tried], indent=1) + "\n")


def words(attack: Attack) -> str:
    """Return an attack in a line."""
    return "; ".join(part.words() for part in attack)


if __name__ == "__main__":
    main()
