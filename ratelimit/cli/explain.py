"""`ratelimit explain`: one request, step by step."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, get_args

import click
from rich.console import Console
from rich.table import Table

from ratelimit.cli.failure import INPUT, USAGE, Failure
from ratelimit.cli.loading import load, load_to_act
from ratelimit.cli.outcome import outcome_words, untold_words
from ratelimit.cli.principal import saved_evidence
from ratelimit.cli.request import parse_request
from ratelimit.cli.terminal import Text, note, out, print_json, say
from ratelimit.cli.verdict import limit_json, verdict_words
from ratelimit.clock import ManualClock, SystemClock
from ratelimit.clustering.amendment import amendment_of
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.decider import actor_in
from ratelimit.decision import VERDICTS, Reason, cluster_name
from ratelimit.identity.fact import REFUSED
from ratelimit.inspection import formatting
from ratelimit.inspection.access.attachment import attach
from ratelimit.inspection.access.server import server_of
from ratelimit.inspection.actors.evidence import Source, from_snapshot
from ratelimit.inspection.actors.membership import Membership, RecordRecognition, in_evidence, on_this_host
from ratelimit.inspection.acts.held import acts_held, listing
from ratelimit.inspection.requests.decision import (
    IdentityLine,
    LimitLine,
    MatchFacts,
    decisive,
    identity_lines,
    limit_lines,
)
from ratelimit.inspection.requests.explaining import Question, all_looking, makers_of
from ratelimit.inspection.requests.recorder import way_words
from ratelimit.inspection.requests.route_limits import matched_of, unmatched_names
from ratelimit.inspection.requests.trial import Trial
from ratelimit.integrations.asked_limits import with_limits_in_code
from ratelimit.lab.records import Fields, RecordFacts, carried, numbers_of, shared, time_ns
from ratelimit.policy import Policy
from ratelimit.policy.routing.request_line import path_of, read_line
from ratelimit.policy.schema.model import Event
from ratelimit.runtime.features import Bystander
from ratelimit.stores.acts.act import Act
from ratelimit.stores.acts.kinds import Effect
from ratelimit.stores.contract import Store
from ratelimit.stores.factory import private_store
from ratelimit.waiting.compile import wait_ns_of
from ratelimit.waiting.explanation import wait_of

if TYPE_CHECKING:
    from ratelimit.stores.redis.store import RedisStore


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
    explained = Explained(loaded, request_, repeat, event, live, source, asked)
    # No process but the application knows which route asks for what: each is looked at, as `who` does.
    names = [] if asked or not live else unmatched_names(loaded.compiled)[:MOST_ASKED]
    beside = Explained(loaded, request_, repeat, event, live, source, tuple(names)) if names else None
    if as_json:
        found = explained.as_json(reveal)
        print_json(found | {"of_routes": [] if beside is None else beside.limits_json(names)})
    else:
        explained.print(out(), reveal)
        if beside is not None:
            beside.print_limits(out(), names)
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


class Explained:
    """One request, decided and taken apart."""

    def __init__(
        self,
        policy: Policy,
        text: str,
        repeat: int,
        event: Event,
        live: bool,
        source: Source | None,
        asked: Sequence[str] = (),
    ) -> None:
        compiled = policy.compiled
        fields = Fields(
            [*carried(compiled), *shared(compiled)],
            compiled.units[1:],
            numbers=numbers_of(compiled),
        )
        clock = SystemClock()
        self.record = record = parse_request(text, fields, compiled, clock.now_ns() / 1e9)
        self.units = [(unit, getattr(record, fields.attribute[unit])) for unit in compiled.units[1:]]
        try:
            self.now_ns = time_ns(record.time)
        except ValueError as error:
            raise Failure(f"the request cannot be read: {error}", INPUT) from error
        self.method, target = read_line(record.method, record.path)
        self.path = path_of(target)
        self.policy = policy
        self.repeat = repeat
        self.is_live = live
        acts: tuple[Act, ...] = ()
        membership: Membership | None = None
        with ExitStack() as stack:
            store: Store
            server: RedisStore | None = None
            if live:
                if compiled.remote is None:
                    store = attach(policy, takes_seat=True)
                    membership = stack.enter_context(on_this_host(compiled, store))
                else:
                    store = server = server_of(policy)
                    source = saved_evidence(policy)
                self.now_ns = store.clock.now_ns()
                acts = acts_held(policy, store.hasher.key, self.now_ns)
                repeat = 0
            else:
                store = private_store(policy, ManualClock(self.now_ns))
            stack.callback(store.close)
            if source is not None:
                membership = in_evidence(source, fields)
            amendment = amendment_of(compiled, acts)
            looking = all_looking(policy, store, stack, is_live=live)
            bystander = Bystander(store.clock, makers_of(looking))
            bound = BoundPolicy(
                compiled,
                store,
                self.now_ns,
                diagnose=lambda code: None,
                is_asked=bool(asked),
                amendment=amendment,
                features=bystander.parts.makers,
            )
            matched = matched_of(bound, self.method, target, event, asked, policy.path)
            row = RecordFacts(bound, fields).identities(record, matched)
            if membership is not None:
                bound.recognition = RecordRecognition(membership, record, matched)
            trial = Trial(bound, matched, row, self.units, self.now_ns, server, store.table if live else None)
            self.guessed = trial.guessed
            for _ in range(repeat - 1):
                trial.decide(charge=True).release()
            self.decision = trial.decide(charge=not live)
            self.way = [one for one in trial.way if one.stage != "compiled"]
            self.wait = wait_of(self.decision)
            effect: Effect = "denied" if self.decision.reason is Reason.DENY_LIST else "allowed"
            self.act = listing(compiled, acts, row, effect)
            actor, certainty = actor_in(bound, row)
            self.cluster, self.verdict = cluster_name(actor), VERDICTS[certainty]
            self.template = matched.template
            plan = matched.plan_for(row)
            self.missing = [
                compiled.identities[at].name
                for at in (() if plan is None else plan.required)
                if row[at] == REFUSED
            ]
            found_in = None if membership is None else membership.name
            self.identities = identity_lines(
                bound, matched, fields, record, row, found_in, is_asked=bool(asked)
            )
            self.untold = decisive(bound, matched, row, self.decision, self.identities) if live else []
            """Identities that only the application knows, and that decide this."""
            seen = MatchFacts(self.method, target, event)
            self.limits = limit_lines(bound, matched, row, self.decision, seen)
            question = Question(bound, matched, row, self.now_ns, self.limits)
            self.said = [said for each in looking for said in each.said(question)]
            self.has_room = all(each.has_room for each in looking)

    def print(self, console: Console, reveal: bool) -> None:
        """Write it for people."""
        head = Text(f"{self.method} {self.path}", "bold")
        if self.template and self.template != self.path:
            head += Text(f"   matches {self.template}", "not bold dim")
        if self.repeat > 1:
            head += Text(f"   the last of {self.repeat:,} in a row", "not bold dim")
        say(console, head)
        console.print()
        console.print(_identity_table(self.identities, reveal))
        console.print()
        console.print(self._limit_table())
        console.print()
        for name, words, _ in self.said:
            if words is not None:
                say(console, Text(f"{name} ", "bold") + Text(words, "not bold"))
        if way := way_words(self.way):
            say(console, Text("stages ", "bold") + Text(way, "not bold"))
        if self.untold:
            say(console, untold_words(self.untold))
            return
        said = outcome_words(self.decision, self.wait, self.act, self.missing, has_room=self.has_room)
        say(console, said)

    def print_limits(self, console: Console, names: Sequence[str]) -> None:
        """Write what limits of these names say, where the request has what they count by."""
        lines = [line for line in self.limits if line.rule.name in names and line.verdict is not None]
        if lines:
            console.print()
            say(console, Text("If its route asks for them, such as by a decorator:", "bold"))
            console.print(self._limit_table(lines))

    def limits_json(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return the same for machines."""
        return [
            limit_json(line, self.guessed.get(line.rule.name))
            for line in self.limits
            if line.rule.name in names and line.verdict is not None
        ]

    def _limit_table(self, lines: Sequence[LimitLine] | None = None) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("", "limit", "allows", "counter", "says"):
            table.add_column(title, overflow="fold")
        for line in self.limits if lines is None else lines:
            mark, says = verdict_words(
                line, is_passed=self.decision.allowed, guessed=self.guessed.get(line.rule.name)
            )
            allows = formatting.rate_of(line.rule, self.policy.compiled)
            if wait_ns := wait_ns_of(line.rule):
                allows += f", else waits {formatting.wait(wait_ns)} at most"
            if self.wait is not None and self.wait.limit == line.rule.name and not self.wait.is_in_vain:
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

    def lacking(self) -> str:
        """Return what the request would have to say for the identities that are missing."""
        names = {spec.name: spec for spec in self.policy.compiled.identities}
        wanted = ["ip" if names[name].is_address else name for name in self.missing]
        return " ".join(f"`{word}=…`" for word in dict.fromkeys(wanted))

    def as_json(self, reveal: bool) -> dict[str, Any]:
        """Return it for machines."""
        decision = self.decision
        wait_ns = decision.retry_after_ns
        return {
            "method": self.method,
            "path": self.path,
            "template": self.template or None,
            "time": formatting.iso(self.now_ns),
            "identities": [
                {
                    "name": line.name,
                    "hash": line.hash,
                    "source": line.source,
                    **({"given": line.given} if reveal else {}),
                }
                for line in self.identities
            ],
            "limits": [limit_json(line, self.guessed.get(line.rule.name)) for line in self.limits],
            "stages": [one.as_json() for one in self.way],
            "cluster": self.cluster,
            "verdict": self.verdict,
            "action": "unknown" if self.untold else decision.action,
            "untold": self.untold,
            "reason": decision.reason.value,
            "limit": decision.limit,
            "act": None if self.act is None else self.act.label,
            "act_by": None if self.act is None else self.act.by,
            "missing": self.missing if decision.reason is Reason.IDENTITY else [],
            "waits": None if self.wait is None or self.wait.is_in_vain else self.wait.most_ns / 1e9,
            **{name: data for name, _, data in self.said},
            "retry_after": None if wait_ns is None or decision.allowed else wait_ns / 1e9,
        }


def _identity_table(lines: list[IdentityLine], reveal: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("identity", "hash", *(("given",) if reveal else ()), "from"):
        table.add_column(title, overflow="fold")
    for line in lines:
        shown = (Text(line.given or "", "cyan"),) if reveal else ()
        table.add_row(Text(line.name, "bold"), line.hash, *shown, Text(line.source))
    return table
