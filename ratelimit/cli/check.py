"""The policy as `ratelimit check` shows it: its limits, and all that each says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table

from ratelimit.algorithms import OF_UNITS
from ratelimit.cli.failure import POLICY, Failure
from ratelimit.cli.loading import show_problems
from ratelimit.cli.terminal import Text, err, note, out, print_json, say, table_of
from ratelimit.environment.diagnoses import sentence
from ratelimit.errors import PolicyError, UsageError
from ratelimit.inspection import formatting
from ratelimit.inspection.access.current_policy import last_words, tallied
from ratelimit.inspection.acts.held import acts_in_force
from ratelimit.inspection.requests.explaining import in_force, prospects, rule_json, rule_words
from ratelimit.inspection.requests.prices import price_json, price_words
from ratelimit.policy import Policy, Problem
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule, LimitSpec
from ratelimit.policy.compile.invented import invented_words
from ratelimit.runtime.last_policy import last_in_force
from ratelimit.usage.pricing import USD

if TYPE_CHECKING:
    from ratelimit.asgi.routes.tables import Served


USUAL_MAXIMA = (1024, 4096, 8192)
"""Tokens that clients declare by default."""
_EVENTS = {
    "request": "",
    "connect": "WebSocket handshakes at ",
    "message": "messages of WebSockets at ",
}


def covers(rule: LimitRule, policy: CompiledPolicy) -> str:
    """Return which requests or messages a rule counts, in one phrase."""
    written = policy.file.limit[rule.limit]
    text = _EVENTS[rule.on] + formatting.matches(written.match)
    excepted = formatting.patterns(written.except_)
    return f"{text}, except {', '.join(excepted)}" if excepted else text


def details(rule: LimitRule, policy: CompiledPolicy) -> list[str]:
    """Return what is to be known of a rule beyond its rate, each in one phrase."""
    said: list[str] = []
    noun = "message" if rule.on == "message" else "handshake" if rule.on == "connect" else "request"
    if rule.unit != "requests":
        taken = _estimate(rule, policy)
        said.append(
            f"{taken if isinstance(taken, str) else f'{taken:,}'} on arrival"
            if taken
            else "nothing on arrival"
        )
    elif rule.estimate != 1:
        said.append(f"a {noun} takes {rule.estimate:,}" if rule.estimate else f"a {noun} takes nothing")
    exposure = 0.0 if rule.metering is None else rule.metering.exposure
    if exposure:
        said.append(at_once(rule, exposure))
    if exposure and policy.file.limit[rule.limit].debt is None:
        said.append("all beyond it is owed")
    elif bound := debt(rule):
        said.append(f"debt up to {formatting.amount(bound, rule.unit) if rule.unit == USD else f'{bound:,}'}")
    if rule.lease_ns:
        said.append(f"lapse after {formatting.wait(rule.lease_ns)} of silence")
    if rule.following.detail:
        said.append(rule.following.detail)
    said += rule_words(rule)
    if rule.on_store_error != "local":
        said.append(
            "refuses while the store fails"
            if rule.on_store_error == "closed"
            else "off while the store fails"
        )
    return said


def at_once(rule: LimitRule, exposure: float) -> str:
    """Return how much a limit lets be in flight; of tokens, how many answers at usual maxima."""
    if rule.metering is not None and rule.metering.grants:
        return "lowers a request's maximum to what is left, and charges that on arrival"
    if exposure == 1:
        return "charges the maximum on arrival"
    said = f"{exposure:g} budgets used and in flight"
    if rule.unit == USD:
        return said
    room = (exposure - 1) * rule.burst
    most = " / ".join(f"{max(1, int(room // maximum)):,}" for maximum in USUAL_MAXIMA)
    return f"{said}: {most} answers at once that declare {' / '.join(f'{one:,}' for one in USUAL_MAXIMA)}"


def _estimate(rule: LimitRule, policy: CompiledPolicy) -> int | str:
    """Return what a request takes before its cost is known, or the word for where that comes from."""
    written = policy.file.limit[rule.limit].estimate
    return written if isinstance(written, str) else rule.estimate


def debt(rule: LimitRule) -> int:
    """Return how many units beyond its budget a rule may be charged at most; 0 for none.

    What turns out to cost more than was estimated is charged without asking, into debt.
    So is what an actor's members had before.
    """
    is_settled = rule.unit != "requests" or rule.is_clustered
    if not is_settled or rule.algorithm not in OF_UNITS:
        return 0
    return rule.most_debt


def terms_json(rule: LimitRule, policy: CompiledPolicy) -> dict[str, Any]:
    """Return all of it for machines; `cost` and `estimate` are null where a limit has no such thing."""
    written = policy.file.limit[rule.limit]
    counts_requests = rule.unit == "requests"
    return {
        "limit": rule.name,
        "tier": rule.tier,
        "match": formatting.patterns(written.match),
        "except": formatting.patterns(written.except_),
        "per": [formatting.identity(position, policy) for position in rule.per],
        "verdict": rule.verdict,
        "algorithm": rule.algorithm if rule.calendar is None else f"calendar:{rule.calendar.zone}",
        "unit": written.counted,
        "quota": rule.quota,
        "window_s": rule.period_ns // 1_000_000_000,
        "burst": rule.burst,
        "window": None if rule.calendar is None else rule.calendar.unit,
        "lease_s": rule.lease_ns // 1_000_000_000 or None,
        "cost": rule.estimate if counts_requests else None,
        "estimate": None if counts_requests else _estimate(rule, policy),
        "debt": debt(rule),
        "exposure": 0 if rule.metering is None else rule.metering.exposure,
        "dearest_answer": price_json(rule, policy),
        "on_refusal": list(rule.on_refusal),
        "budget": None,
        **rule_json(rule),
        "mode": formatting.mode(rule),
        "enforce": 0 if rule.shadow else rule.enforced_ppm / 1_000_000,
        "on_store_error": rule.on_store_error,
    }


_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_SHOWN = 5
"""The most routes of a limit that are named."""


@click.command("check")
@click.argument("policy", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Problems and limits as JSON.")
@click.option("--strict", is_flag=True, help="Warnings count as errors; for continuous integration.")
def check_command(policy: str, as_json: bool, strict: bool) -> None:
    """Check a policy file: every error and warning at once, with file, line and key.

    If it is sound, shows its limits as they will be enforced. POLICY may also be an application, as servers
    name it: then each limit is shown with the routes that it binds, limits in code included.

    \b
    Examples:
      ratelimit check policy.toml
      ratelimit check main:app
      ratelimit check --strict --json policy.toml

    Exit code 0 if it can be used, 1 if not.
    """
    if is_application(policy):
        check_application(policy, as_json=as_json, strict=strict)
        return
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
        print_limits(out(), loaded.compiled)
        print_in_force(out(), loaded)
    if loaded is None and (last := last_in_force(policy)) is not None:
        said = last_words(last)
        note(f"{said[:1].upper()}{said[1:]}.")
    if bad:
        raise Failure(f"{policy}: {tallied(problems)}", POLICY)
    verdict = Text("✔ ", "green") + Text(f"{policy} can be used")
    if problems:
        verdict += Text(f": {tallied(problems)}", "yellow")
    say(err(), verdict, indent=2)
    if loaded is not None:
        for told in (
            invented_words(loaded.compiled),
            *prospects(loaded.compiled),
            *price_words(loaded.compiled),
        ):
            if told:
                note(told)
    if loaded is not None and (held := acts_in_force(loaded)):
        note(
            f"{formatting.count(held, 'act')} of the operator's in force on this host beside the file: "
            f"`ratelimit show acts {policy}`"
        )
    if loaded is not None and loaded.compiled.remote is not None:
        note(
            "Not checked: whether the server answers, the hash key is found and the client library is there. "
            f"`ratelimit doctor {policy}` checks them."
        )


def is_application(text: str) -> bool:
    """Return whether a text is `module:attribute` and no file."""
    return _NAME.fullmatch(text) is not None and not Path(text).exists()


def check_application(text: str, *, as_json: bool, strict: bool) -> None:
    """Print an application's limits with their routes, and what is wrong with them.

    Raises:
        Failure: a limit cannot be had, or something is wrong and this or the policy is strict.
    """
    # Imported here: a policy file is checked without the middleware.
    from ratelimit.cli.application import coverage_of, identity_words, limits_of

    try:
        coverage = coverage_of(text)
    except UsageError as error:
        raise Failure(f"{text} does not start: {error} [{error.code}]", POLICY) from error
    compiled = coverage.limiter.policy.compiled
    bindings, in_code = limits_of(coverage)
    mistakes = list(coverage.mistakes())
    sentences = [(code, sentence(code, about)) for code, about in mistakes]
    rows = [
        (each, compiled if in_code is None or each.limit in compiled.limits else in_code) for each in bindings
    ]
    if as_json:
        print_json(
            {
                "application": text,
                "policy": compiled.name,
                "good": not sentences,
                "problems": [{"code": code, "message": message} for code, message in sentences],
                "limits": [
                    {
                        "limit": each.limit.name,
                        "routes": [_route(served) for served in each.routes],
                        "by": identity_words(each, whole, coverage),
                        "is_asked": each.is_asked,
                    }
                    for each, whole in rows
                ],
                "features": features_json(coverage.limiter.policy),
            }
        )
    else:
        table = table_of("limit", "allows", "by", "binds")
        for each, whole in rows:
            rates = rates_of(each.limit, whole)
            names = [_route(served) for served in each.routes]
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            binds = Text(", ".join(names[:_SHOWN]) + more) if names else Text("no route", "yellow")
            table.add_row(
                Text(each.limit.name, "bold"), "; ".join(rates), identity_words(each, whole, coverage), binds
            )
        out().print(table)
        print_in_force(out(), coverage.limiter.policy)
        for code, message in sentences:
            say(err(), Text("warning: ", "bold yellow") + Text(f"{message} [{code}]", "not bold default"))
        if told := invented_words(compiled):
            note(told)
        if not coverage.survey.is_known:
            note("Not checked: the routes, which this framework's table does not show.")
    if sentences and (strict or compiled.file.strict):
        raise Failure(f"{text}: {formatting.count(len(sentences), 'warning')}", POLICY)


def rates_of(limit: LimitSpec, policy: CompiledPolicy) -> list[str]:
    """Return what a limit allows, each rate once, without those of tiers.

    A limit per actor has a rule for certain members and one for likely ones, with the same numbers.
    """
    return list(dict.fromkeys(formatting.rate_of(policy.rules[at], policy) for at in limit.rules))


def _route(served: Served) -> str:
    methods = "WS" if served.on == "connect" else "|".join(sorted(served.methods or ("*",)))
    return f"{methods} {served.path}{'…' if served.is_partial else ''}"


def print_limits(console: Console, policy: CompiledPolicy) -> None:
    """Write the limits as they will be enforced: a row for each rate and tier."""
    table = limits_table(policy, is_narrow=False)
    unbounded = console.options.update(max_width=1 << 16)
    if Measurement.get(console, unbounded, table).maximum > console.width:
        table = limits_table(policy, is_narrow=True)
    console.print(table)


def limits_table(policy: CompiledPolicy, *, is_narrow: bool) -> Table:
    """Return the limits as a table; a narrow one says in one column what is counted, how much, and how."""
    numbers = ("allows",) if is_narrow else ("for each", "allows", "algorithm")
    table = table_of("limit", *numbers, "of", "mode")
    for limit in policy.limits:
        written = policy.file.limit[limit.index]
        first = True
        for rule in (rule for rule in policy.rules if rule.limit == limit.index and not rule.is_beside):
            name = Text(rule.name if first or rule.tier is None else "", "bold")
            if rule.tier is not None:
                name += Text(f"  tier {rule.tier}", "not bold")
            rule_mode = formatting.mode(rule)
            table.add_row(
                name,
                *_numbers(rule, policy, is_narrow),
                # Rows of tiers stand below the limit they belong to; a second rate is a limit by its name.
                covers(rule, policy) if first or rule.tier is None else "",
                Text(rule_mode, "yellow" if rule_mode != "enforce" else ""),
            )
            first = False
        for plan in (plan for plan, tier in written.tiers.items() if tier is None):
            table.add_row(Text(f"  tier {plan}"), *(() if is_narrow else ("",)), "unlimited")
    return table


def _numbers(rule: LimitRule, policy: CompiledPolicy, is_narrow: bool) -> tuple[RenderableType, ...]:
    allows, whose = formatting.rate_of(rule, policy), formatting.as_said(formatting.per(rule, policy))
    if binds := formatting.binds(rule):
        whose += f" ({binds})"
    more = "; ".join(details(rule, policy))
    if is_narrow:
        allows += f", for {'' if whose == 'everyone' else 'each '}{whose}; {rule.algorithm}"
    cell = Group(Text(allows), Text(more, "dim")) if more else Text(allows)
    return (cell,) if is_narrow else (whose, cell, rule.algorithm)


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
        else [terms_json(rule, policy.compiled) for rule in policy.compiled.rules if not rule.is_beside],
        "features": {} if policy is None else features_json(policy),
    }


def print_in_force(console: Console, policy: Policy) -> None:
    """Write what features do beside the limits."""
    for said in in_force(policy):
        console.print()
        console.print(Text(said.words or said.name, "bold"))
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for question, answer in said.data.items():
            if question != "name":
                table.add_row(question, Text("; ".join(answer)))
        console.print(table)


def features_json(policy: Policy) -> dict[str, list[Any]]:
    """Return the same for machines, by the name of the policy's table."""
    found: dict[str, list[Any]] = {}
    for said in in_force(policy):
        found.setdefault(said.name, []).append(said.data)
    return found
