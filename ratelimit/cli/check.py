"""`ratelimit check`: is a policy sound, and what does it say?"""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table
from rich.text import Text

from ratelimit.cli import words
from ratelimit.cli.failure import POLICY, Failure
from ratelimit.cli.loading import show_problems, tallied
from ratelimit.cli.terminal import err, out, print_json
from ratelimit.errors import PolicyError
from ratelimit.policy import Policy, Problem
from ratelimit.policy.compiled import CompiledPolicy, LimitRule


@click.command("check", short_help="Is a policy sound, and what does it say?")
@click.argument("policy", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Problems and limits as JSON.")
@click.option("--strict", is_flag=True, help="Warnings count as errors; for continuous integration.")
def check_command(policy: str, as_json: bool, strict: bool) -> None:
    """Check a policy file: every error and warning at once, with file, line and key.

    If it is sound, shows its limits as they will be enforced.

    \b
    Examples:
      ratelimit check policy.toml
      ratelimit check --strict --json policy.toml

    Exit code 0 if it can be used, 1 if not.
    """
    problems: tuple[Problem, ...]
    loaded: Policy | None
    try:
        loaded = Policy.load(policy)
        problems = loaded.warnings
    except PolicyError as error:
        loaded, problems = None, error.problems
    bad = loaded is None or (strict and bool(problems))
    if as_json:
        print_json(_json(policy, loaded, problems, bad))
        if bad:
            raise SystemExit(POLICY)
        return
    show_problems(problems)
    if loaded is not None:
        console = out()
        console.print(limits_table(loaded.compiled))
    if bad:
        raise Failure(f"{policy}: {tallied(problems)}", POLICY)
    verdict = Text("✔ ", "green") + Text(f"{policy} can be used")
    if problems:
        verdict += Text(f": {tallied(problems)}", "yellow")
    err().print(verdict, soft_wrap=True)


def limits_table(policy: CompiledPolicy) -> Table:
    """Return the limits as they will be enforced: a row for each rate and tier."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("limit", "for each", "allows", "algorithm", "of", "mode"):
        table.add_column(title, overflow="fold")
    previous = -1
    for rule in policy.rules:
        first = rule.limit != previous
        previous = rule.limit
        name = Text(rule.name if first or rule.tier is None else "", "bold")
        if rule.tier is not None:
            name += Text(f"  tier {rule.tier}", "not bold")
        rule_mode = words.mode(rule)
        table.add_row(
            name,
            words.per(rule, policy),
            words.rate_of(rule, policy),
            rule.algorithm,
            words.matches(policy.file.limit[rule.limit].match) if first else "",
            Text(rule_mode, "yellow" if rule_mode != "enforce" else ""),
        )
    return table


def _json(path: str, policy: Policy | None, problems: tuple[Problem, ...], bad: bool) -> dict[str, Any]:
    return {
        "file": path,
        "good": not bad,
        "problems": [
            {
                "code": problem.code,
                "severity": problem.severity,
                "line": problem.line,
                "key": problem.key,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in problems
        ],
        "limits": []
        if policy is None
        else [_limit_json(rule, policy.compiled) for rule in policy.compiled.rules],
    }


def _limit_json(rule: LimitRule, policy: CompiledPolicy) -> dict[str, Any]:
    return {
        "limit": rule.name,
        "tier": rule.tier,
        "match": words.patterns(policy.file.limit[rule.limit].match),
        "per": [policy.identities[position].name for position in rule.per],
        "algorithm": rule.algorithm,
        "unit": rule.unit,
        "quota": rule.quota,
        "window_s": rule.period_ns // 1_000_000_000,
        "burst": rule.burst,
        "calendar": None if rule.calendar is None else f"{rule.calendar.unit} {rule.calendar.zone}",
        "mode": words.mode(rule),
    }
