"""`ratelimit doctor`: is everything a policy needs there, and as it should be?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from ratelimit.algorithms import ALGORITHMS, FOREVER_NS
from ratelimit.cli.failure import POLICY, Failure
from ratelimit.cli.terminal import Text, err, out, print_json, say
from ratelimit.clock import civil_ns, monotonic_ns
from ratelimit.codes import every_code
from ratelimit.environment.finding import Finding, Status
from ratelimit.errors import PolicyError, StoreError
from ratelimit.inspection.access.current_policy import last_words, tallied
from ratelimit.inspection.formatting import count
from ratelimit.inspection.hosts.findings import examine_hosts
from ratelimit.inspection.hosts.installation import examine_installation, examine_policy
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.runtime.last_policy import last_in_force
from ratelimit.stores.factory import wish_of

_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✔", "green"),
    "warn": ("!", "yellow"),
    "fail": ("✘", "bold red"),
}
_COLUMN = 14
"""Where what was found begins: the longest name of a check, and two spaces."""

Groups = dict[str, list[Finding]]


@click.command("doctor")
@click.argument("policy", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="All checks, with their numbers, as JSON.")
def doctor_command(policy: str, as_json: bool) -> None:
    """Examine this installation, a policy, and the Redis or Valkey it names.

    Connects to the server as the workers would; changes nothing there. Each line is
    one check, with what to do where something is amiss.

    \b
    Examples:
      ratelimit doctor policy.toml
      ratelimit doctor --json policy.toml

    Exit code 1 if a check failed; warnings alone give 0.
    """
    groups: Groups = {}
    for group, finding in _examine(policy):
        groups.setdefault(group, []).append(finding)
    findings = [finding for found in groups.values() for finding in found]
    failed = sum(finding.status == "fail" for finding in findings)
    if as_json:
        print_json(_json(policy, groups, good=not failed))
        if failed:
            raise SystemExit(POLICY)
        return
    show(groups)
    warned = sum(finding.status == "warn" for finding in findings)
    notes = f", {count(warned, 'warning')}" if warned else ""
    if failed:
        raise Failure(f"{policy}: {count(failed, 'check')} failed{notes}", POLICY)
    say(err(), Text.assemble(("✔ ", "green"), f"{policy} is ready to run", (notes, "yellow")), indent=2)


def _examine(path: str) -> Iterator[tuple[str, Finding]]:
    for finding in examine_installation():
        yield "installation", finding
    last = None
    try:
        policy = Policy.load(path)
    except PolicyError as error:
        yield (
            "policy",
            Finding("policy", "fail", tallied(error.problems), f"`ratelimit check {path}` shows them."),
        )
        last = last_in_force(path)
        if last is None:
            return
        policy = last.policy
        yield "policy", Finding("in force", "warn", f"{last_words(last)}. It is examined below")
    found = list(examine_policy(policy))
    if last is not None:
        found = found[1:]  # that it can be used
    for finding in found:
        yield "policy", finding
    has_client = not any(finding.check == "client" and finding.status == "fail" for finding in found)
    if policy.compiled.remote is None or not has_client:
        return
    for finding in _examine_server(policy):
        yield "server", finding
    yield from (("server", finding) for finding in examine_hosts(policy))


def _examine_server(policy: Policy) -> list[Finding]:
    spec = policy.compiled.remote
    if spec is None:
        return []
    try:
        # Imported here: neither a client library nor an event loop is loaded without a server.
        import asyncio

        from ratelimit.stores.redis.doctor.checkup import Needs, examine
        from ratelimit.stores.redis.transport.connect import resolve

        spec = resolve(spec)
        head = Finding("url", "ok", f"{spec.url}, {spec.mode}, prefix `{spec.prefix}`")
        needs = Needs(
            max((_lasts_ns(rule) for rule in policy.compiled.rules), default=0),
            policy.compiled.correlation is not None,
            wish_of(policy, needs_key=False).key,
        )
        seen = asyncio.run(examine(spec, needs, timer=monotonic_ns, wall=civil_ns))
    except StoreError as error:
        return [Finding("url", "fail", f"{error} [{error.code}]", every_code()[error.code].remedy)]
    return [head, *seen]


def _lasts_ns(rule: LimitRule) -> int:
    """Return for how long a server is to keep what was charged."""
    return rule.period_ns if ALGORITHMS[rule.algorithm].comes_back else FOREVER_NS


def show(groups: Groups) -> None:
    """Write the findings: a line for each, and what to do below it."""
    console = out()
    for position, (group, findings) in enumerate(groups.items()):
        if position:
            console.print()
        console.print(Text(group, "dim"))
        for finding, places in _merged(findings):
            mark, style = _MARKS[finding.status]
            line = Text.assemble(
                (f"{mark} ", style),
                (finding.check.ljust(_COLUMN), "bold"),
                (f"{places}: " if places else "", "dim"),
                finding.says,
            )
            say(console, line, indent=2 + _COLUMN)
            if finding.advice:
                say(console, Text(" " * (2 + _COLUMN) + finding.advice, "dim"), indent=2 + _COLUMN)


def _merged(findings: list[Finding]) -> Iterator[tuple[Finding, str]]:
    """Yield findings in order, those that say the same of several servers once."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.check, finding.status, finding.says, finding.advice), []).append(finding)
    order = list(dict.fromkeys(finding.check for finding in findings))
    for same in sorted(groups.values(), key=lambda same: order.index(same[0].check)):
        places = [finding.where for finding in same if finding.where]
        yield same[0], places[0] if len(places) == 1 else f"{len(places)} masters" if places else ""


def _json(path: str, groups: Groups, *, good: bool) -> dict[str, Any]:
    return {
        "file": path,
        "good": good,
        "checks": [
            {
                "group": group,
                "check": finding.check,
                "where": finding.where or None,
                "status": finding.status,
                "says": finding.says,
                "advice": finding.advice or None,
                "facts": finding.facts,
            }
            for group, findings in groups.items()
            for finding in findings
        ],
    }
