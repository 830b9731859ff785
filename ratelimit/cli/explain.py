"""`ratelimit explain`: one request, step by step."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, get_args

import click
from rich.console import Console
from rich.table import Table

from ratelimit.cli.failure import USAGE, Failure
from ratelimit.cli.loading import load, load_to_act
from ratelimit.cli.principal import saved_evidence
from ratelimit.cli.request import parse_request
from ratelimit.cli.terminal import Text, note, out, print_json, say, table_of
from ratelimit.cli.verdict import outcome_words, untold_words, verdict_words
from ratelimit.clock import SystemClock
from ratelimit.decision import Reason
from ratelimit.inspection import formatting
from ratelimit.inspection.actors.evidence import from_snapshot
from ratelimit.inspection.callers.explained import Explained, fields_of
from ratelimit.inspection.requests.decision import (
    IdentityLine,
    LimitLine,
)
from ratelimit.inspection.requests.recorder import way_words
from ratelimit.inspection.requests.route_limits import unmatched_names
from ratelimit.integrations.asked_limits import with_limits_in_code
from ratelimit.policy.schema.model import Event
from ratelimit.waiting.compile import wait_ns_of

if TYPE_CHECKING:
    pass


@click.command("explain")
@click.argument("policy", type=click.Path())
@click.argument("stray", required=False, metavar="")
@click.option(
    "-r",
    "--request",
    "request_",
    metavar="REQUEST",
    help='"METHOD /path NAME=VALUE …", or JSON.',
)
@click.option(
    "--trace",
    type=click.Path(allow_dash=True),
    help="The trace that actors are found in, up to its end.",
)
@click.option(
    "--snapshot",
    type=click.Path(dir_okay=False),
    help="The file that the running correlator saves to, for the actors in it.",
)
@click.option(
    "--repeat", type=click.IntRange(1, 1_000_000), default=1, help="Explain the last of so many in a row."
)
@click.option(
    "--event",
    type=click.Choice(get_args(Event)),
    default="request",
    show_default=True,
    help="Event of a WebSocket: its handshake (connect), or a message on it.",
)
@click.option(
    "--live", is_flag=True, help="Against the running counters, this host's or the server's; charges nothing."
)
@click.option(
    "--ask",
    "asked",
    multiple=True,
    metavar="LIMIT",
    help="A limit that the request's route uses by name; may be given several times.",
)
@click.option("--reveal", is_flag=True, help="Show identities as given, beside their hashes.")
@click.option("--json", "as_json", is_flag=True, help="The explanation as JSON.")
def explain_command(
    policy: str,
    stray: str | None,
    request_: str | None,
    trace: str | None,
    snapshot: str | None,
    repeat: int,
    event: Event,
    live: bool,
    asked: tuple[str, ...],
    reveal: bool,
    as_json: bool,
) -> None:
    """Explain one request: its identities, the limits that apply, and the verdict of each.

    `ratelimit who` shows one caller: the limits that bind it, what refused it, its actor and the evidence.

    Counters start empty, in memory of their own. With --live it reads those of the workers that run this
    policy on this host, or of the server that the policy names.

    \b
    A REQUEST is written
      METHOD /path ip=ADDRESS header:NAME=VALUE cookie:NAME=VALUE state:NAME=VALUE
      IDENTITY=VALUE UNIT=AMOUNT time=SECONDS
    with the facts that you have, or as one JSON object like a line of a trace.

    \b
    Examples:
      ratelimit explain policy.toml -r "GET / ip=203.0.113.9 header:x-api-key=abc"
      ratelimit explain policy.toml -r "POST /v1/chat account=42" --repeat 60
      ratelimit explain policy.toml -r "POST /v1/chat account=42" --ask tokens
      ratelimit explain policy.toml -r '{"method": "GET", "path": "/"}' --json
    """
    if stray is not None:
        raise Failure(f"a request goes behind -r: -r {shlex.quote(stray)}", USAGE)
    loaded = with_limits_in_code(load_to_act(policy) if live else load(policy, show_warnings=False))
    if request_ is None:
        hint = 'For example: -r "POST /v1/chat ip=203.0.113.9". `ratelimit who` takes an account.'
        raise Failure("say which request: --request", USAGE, hint=hint)
    if [trace is not None, snapshot is not None, live].count(True) > 1:
        raise Failure("actors are looked for in one of --trace, --snapshot and --live", USAGE)
    source = None
    if trace is not None:
        # Imported here: a request that is explained without a trace waits for no replay.
        from ratelimit.inspection.actors.recorded import from_trace

        source = from_trace(loaded, trace)
    elif snapshot is not None:
        source = from_snapshot(loaded, snapshot)
    fields, now_s = fields_of(loaded.compiled), SystemClock().now_ns() / 1e9
    record = parse_request(request_, fields, loaded.compiled, now_s)
    evidence = partial(saved_evidence, loaded) if live else lambda: source
    explained = Explained(loaded, record, repeat, event, live, evidence, asked)
    # No process but the application knows which route asks for what: each is looked at, as `who` does.
    names = [] if asked or not live else unmatched_names(loaded.compiled)[:MOST_ASKED]
    beside = Explained(loaded, record, repeat, event, live, evidence, tuple(names)) if names else None
    if as_json:
        found = explained.as_json(reveal)
        print_json(found | {"of_routes": [] if beside is None else beside.limits_json(names)})
    else:
        _print(explained, out(), reveal)
        if beside is not None:
            _print_limits(beside, out(), names)
        if not reveal:
            note("Identities are short hashes; --reveal shows what they were made from.")
        if explained.guessed:
            units = {line.rule.unit for line in explained.limits if line.rule.name in explained.guessed}
            said = " ".join(f"`{unit}=…`" for unit in sorted(units))
            note(f"Workers estimate by what each has learned; {said} says what this request takes.")
        if not asked and (named := unmatched_names(loaded.compiled)):
            note(f"Of a route that asks for limits by name, say which: --ask {shlex.quote(named[0])}.")
        if explained.decision.reason is Reason.IDENTITY and not explained.untold:
            note(f"To give what is missing, add {explained.lacking()} to -r.")


MOST_ASKED = 8
"""Limits that only routes ask for, which are looked at beside those of a request's path."""


def _print(explained: Explained, console: Console, reveal: bool) -> None:
    """Write it for people."""
    head = Text(f"{explained.method} {explained.path}", "bold")
    if explained.template and explained.template != explained.path:
        head += Text(f"   matches {explained.template}", "not bold dim")
    if explained.repeat > 1:
        head += Text(f"   the last of {explained.repeat:,} in a row", "not bold dim")
    say(console, head)
    console.print()
    console.print(_identity_table(explained.identities, reveal))
    console.print()
    console.print(_limit_table(explained))
    console.print()
    for name, words, _ in explained.said:
        if words is not None:
            say(console, Text(f"{name} ", "bold") + Text(words, "not bold"))
    if way := way_words(explained.way):
        say(console, Text("stages ", "bold") + Text(way, "not bold"))
    if explained.untold:
        say(console, untold_words(explained.untold))
        return
    said = outcome_words(
        explained.decision, explained.wait, explained.act, explained.missing, has_room=explained.has_room
    )
    say(console, said)


def _print_limits(explained: Explained, console: Console, names: Sequence[str]) -> None:
    """Write what limits of these names say, where the request has what they count by."""
    lines = [line for line in explained.limits if line.rule.name in names and line.verdict is not None]
    if lines:
        console.print()
        say(console, Text("If its route asks for them, such as by a decorator:", "bold"))
        console.print(_limit_table(explained, lines))


def _limit_table(explained: Explained, lines: Sequence[LimitLine] | None = None) -> Table:
    table = table_of("", "limit", "allows", "counter", "says")
    for line in explained.limits if lines is None else lines:
        mark, says = verdict_words(
            line, is_passed=explained.decision.allowed, guessed=explained.guessed.get(line.rule.name)
        )
        allows = formatting.rate_of(line.rule, explained.policy.compiled)
        if wait_ns := wait_ns_of(line.rule):
            allows += f", else waits {formatting.wait(wait_ns)} at most"
        if (
            explained.wait is not None
            and explained.wait.limit == line.rule.name
            and not explained.wait.is_in_vain
        ):
            mark = Text("…", "yellow")
        style = "dim" if line.verdict is None else ""
        table.add_row(
            mark,
            Text(line.rule.name, style or "bold"),
            Text(allows, style),
            Text(line.key, style),
            Text(says, style),
        )
    return table


def _identity_table(lines: list[IdentityLine], reveal: bool) -> Table:
    table = table_of("identity", "hash", *(("given",) if reveal else ()), "from")
    for line in lines:
        shown = (Text(line.given or "", "cyan"),) if reveal else ()
        table.add_row(Text(line.name, "bold"), line.hash, *shown, Text(line.source))
    return table
