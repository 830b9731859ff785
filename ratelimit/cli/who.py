"""`ratelimit who`: one caller, whatever it is named by, and every limit that binds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ratelimit.cli.failure import INPUT, USAGE, Failure, fail_if_unheard
from ratelimit.cli.loading import load, load_whole
from ratelimit.cli.principal import ExplanationText, explain_principal
from ratelimit.cli.terminal import Text, note, out, print_json, say, table_of
from ratelimit.correlation.description import reason_of
from ratelimit.correlation.explanation import Shared
from ratelimit.decision import VERDICTS, cluster_name
from ratelimit.inspection import formatting
from ratelimit.inspection.actors.evidence import Source, from_snapshot
from ratelimit.inspection.actors.glance import Glance, glance_at
from ratelimit.inspection.acts.own_numbers import all_changed
from ratelimit.inspection.acts.words import act_json, act_words, ended_words, ends_of
from ratelimit.inspection.callers.absence import absence_words
from ratelimit.inspection.callers.declared import Declared
from ratelimit.inspection.callers.knowledge import Knowledge, Left, knowledge_of
from ratelimit.inspection.callers.naming import joined, resolve
from ratelimit.inspection.callers.person import Person, person_of, ruled_of
from ratelimit.inspection.callers.profile import kinds_of
from ratelimit.inspection.callers.waits import again_words, refuses_words, waits_json
from ratelimit.inspection.hosts.moment import Refused, over_hosts
from ratelimit.inspection.hosts.raising import raised_of
from ratelimit.inspection.identities import short_hash
from ratelimit.load.shed import named
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.policy.compile.identities import CLUSTER
from ratelimit.stores.shed import ShedLine

_COLOURS = {"certain": "yellow", "likely": "cyan", None: "green"}
MOST_RAISED = 2
"""Limits of which it is said what they would do if they were raised."""
MOST_ACTORS = 3
"""Of an address or a payment method, the actors that are named."""
MOST_ACCOUNTS = 5
"""And its accounts, the busiest first."""


@click.command("who")
@click.argument("policy")
@click.argument("names", nargs=-1, required=True, metavar="CALLER…")
@click.option(
    "--trace",
    type=click.Path(allow_dash=True),
    help="Look for the account's actor in a trace, up to its end, instead of the running deployment.",
)
@click.option(
    "--snapshot",
    type=click.Path(dir_okay=False),
    help="Look for it in the file that a correlator saves to.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def who_command(
    policy: str, names: tuple[str, ...], trace: str | None, snapshot: str | None, as_json: bool
) -> None:
    """Show one caller as it is now: its limits and what they have left, its refusals, its actor, acts on it.

    CALLER is an account, an address, a payment method or another identity, as the application writes it;
    or a hash as any screen shows it, or the id of an actor. Several names are one person, such as an account
    and its address.

    \b
    Examples:
      ratelimit who policy.toml acct-17
      ratelimit who policy.toml acct-17 203.0.113.9
      ratelimit who policy.toml 148ff4b5 --json
      ratelimit who policy.toml acct-17 --trace requests.ndjson.gz

    Refusals are those of the last hour, asked of every host that shares the server. Exit code 3 if nothing
    here has met the caller; exit code 4 if a host does not answer, which is named.
    """
    if trace is not None and snapshot is not None:
        raise Failure("actors are looked for in one of --trace and --snapshot", USAGE)
    if trace is not None or snapshot is not None:
        _show_saved(policy, names, trace, snapshot, as_json)
        return
    with knowledge_of(load_whole(policy)) as known:
        person = person_of(known, [resolve(known, each) for each in joined(known, names)])
        if as_json:
            print_json(_json(known, person))
        else:
            print_person(out(), known, person)
    fail_if_unheard(person.missing)
    if not person.is_known:
        labels = ", ".join(each.label for each in person.callers)
        why = f" ({known.trouble})" if known.trouble else ""
        raise Failure(f"{labels} is not known here: no limit has counted it, and no actor has it{why}", INPUT)


def _show_saved(
    policy: str, names: Sequence[str], trace: str | None, snapshot: str | None, as_json: bool
) -> None:
    """Show an account's actor and evidence, as a trace or a correlator's memory has them."""
    if len(names) != 1:
        raise Failure("a trace or a snapshot is asked for one account", USAGE)
    loaded = load(policy, show_warnings=False)
    if trace is not None:
        # Imported here: who asks for a caller as it is now waits for no replay and no reader of traces.
        from ratelimit.inspection.actors.recorded import from_trace

        source = from_trace(loaded, trace)
    else:
        source = from_snapshot(loaded, str(snapshot))
    told = explain_principal(source, names[0])
    if as_json:
        print_json(told.as_json())
    else:
        told.print(out())


def print_person(
    console: Console, known: Knowledge, person: Person, said: Callable[[str], None] = note
) -> None:
    """Write what is known of one caller.

    Args:
        console: where to.
        known: what is known here.
        person: the caller.
        said: takes what is not part of the result.
    """
    for each in person.callers:
        say(console, Text(each.label, "bold"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    if ruled := ruled_of(known, person):  # before all that was found of it
        grid.add_row("ruled", Text(ruled, "cyan"))
    if known.compiled.correlation is not None:
        grid.add_row("actor", _actor(person, known.compiled.rules))
    for name, hashed in person.parts:
        grid.add_row("counts", Text(f"{name} ") + Text(short_hash(hashed), "yellow"))
    if person.explanation is not None:
        grid.add_row("", Text(reason_of(person.explanation)))
    if person.overview is not None:
        assert known.source is not None  # it has the actor
        glance = glance_at(known.source, person.overview, known.compiled.rules)
        grid.add_row("in short", Text(glance.words))
        grid.add_row("evidence", Text(person.overview.words))
        grid.add_row("asked", Text(_asked(known.source, glance)))
    for said_of_it in Declared(known).of_person(known, person):
        grid.add_row("declared", Text(said_of_it))
    for number, line in enumerate(_seen_with(known.compiled, person)):
        grid.add_row("" if number else "seen with", line)
    if person.account_count:
        grid.add_row("accounts", Text(_accounts(person)))
        busiest = ", ".join(short_hash(each.key) for each in person.accounts[:MOST_ACCOUNTS])
        if busiest:
            grid.add_row("", Text(f"the busiest: {busiest}"))
    for number, act in enumerate(person.acts):
        grid.add_row(
            "" if number else "acts",
            Text(f"{act.label}  ", "yellow") + Text(f"{act_words(act)}, by {act.by}"),
        )
    if not person.acts:
        grid.add_row("acts", Text("none in force", "dim"))
    for account, act in person.of_users:
        about = Text(f"{act.label}  ", "yellow") + Text("on account ") + Text(short_hash(account), "yellow")
        grid.add_row("", about + Text(f", which uses it: {act_words(act)}, by {act.by}"))
    ends = ends_of(known.log, {act.label for act in known.acts})
    for act in person.ended:
        words = ended_words(act, ends.get(act.label, "over"))
        grid.add_row("ended", Text(f"{act.label}  ", "dim") + Text(words, "dim"))
    console.print(grid)
    console.print()
    if person.policies:
        say(console, Text(person.policies, "yellow"))
    if ruling := _ruling(person):
        say(console, Text(ruling, "yellow"))
    if person.no_answer:
        for weight, words in absence_words(known, person.stand_in, person.no_answer):
            if weight:
                say(console, Text(words, weight))
            else:
                said(words)
    if person.limits:
        console.print(_limit_table(known.compiled, person))
    for words in all_changed(person.rules, person.acts, known.bound.store.clock.now_ns()):
        said(f"{words}.")
    _print_plans(known, person, said)
    for rule in () if person.no_answer else person.others:
        said(f"`{rule.name}`, {formatting.rate_of(rule, known.compiled)}: `explain --live` looks at it")
    console.print()
    if person.refused or person.shed:
        console.print(_refused_table(known, person))
        for actor, act in person.left.items():
            if any(person.left_by(each) is act for each in person.refused):
                said(
                    f"Act {act.label} took it out of actor {short_hash(actor)} at "
                    f"{formatting.instant(act.at_ns)[11:]}: what refused that actor before refused it, too."
                )
    if person.users:
        said("Refusals of the accounts that use it are shown, too.")
    elif all(each.what == "together" for each in person.callers):
        said("It is one counter of several identities: name these, to see what else binds them.")
    elif all(each.what == "identity" for each in person.callers):
        said("What counts by account is not shown: name the account, too, if it is known.")
    if person.hosts and not person.shed and all(each.in_shadow for each in person.refused):
        if person.missing or known.trouble:
            words = "As far as is known, no limit refused it within the last hour."
            if known.trouble and all(each.what == "account" for each in person.callers):
                words = (
                    "As far as is known, no limit refused its account within the last hour. Limits of its "
                    "address or payment method may have."
                )
            say(console, Text(words, "yellow"))
        else:
            say(console, Text("No limit refused it within the last hour.", "green"))
    if person.gone:
        said(f"Not in these counts: {', '.join(person.gone)}.")
    if not person.hosts and not person.missing:
        said("No worker of this user has run the policy here, so refusals are not known.")
    _print_next(known, person, said)


def _print_plans(known: Knowledge, person: Person, said: Callable[[str], None]) -> None:
    """Write which plan the caller has, and since when that is known; or how to name it."""
    names = {spec.index: spec.name for spec in known.compiled.identities}
    told: dict[int, str] = {}
    for rule in (each.rule for each in person.limits):
        told[rule.tier_identity] = told.get(rule.tier_identity) or person.plans.words(rule)
    unknown = {each.rule.tier_identity for each in person.limits if person.plans.own(each.rule) is None}
    for at, name in sorted(names.items()):
        if at in unknown:
            said(f"Its {name} is not known here: write `{name}=NAME` beside it, to see its own rates alone.")
        elif told.get(at):
            said(f"Its {name}: {told[at]}. If it has another now, write `{name}=NAME` beside it.")


def _print_next(known: Knowledge, person: Person, said: Callable[[str], None]) -> None:
    """Write what follows from what is shown, and which commands answer the next questions."""
    policy = known.deployment.policy.name
    by_limits = [each for each in person.refused if not each.act]
    if by_limits:
        if not person.missing and not person.gone and not known.trouble:
            own = {each.hash for each in person.callers} | {hashed for _, hashed in person.identities}
            mine = over_hosts(each for each in by_limits if each.hash in own)
            raising = raised_of(known.compiled, mine, known.log)
            for each in raising.found[:MOST_RAISED]:
                said(f"If callers asked as they did, {each.words}.")
            for words in raising.unsaid[:1]:
                said(words)
        said(f"What would other numbers change? `ratelimit diff {policy} NEW.toml access.log`")
    if person.actor is not None:
        said(f"What did its actor take? `ratelimit show took {policy} --of {short_hash(person.actor)}`")


def _asked(source: Source, glance: Glance) -> str:
    """Return how many requests the accounts of an actor made on all hosts, allowed or refused."""
    said = formatting.taken(glance.asked, glance.watched_ns)
    if glance.of_budget is not None:
        said += f", {glance.of_budget_words}"
    return f"all its accounts: {said}; up to {formatting.instant(source.correlator.now_ns)[11:]}"


def _accounts(person: Person) -> str:
    """Return how many accounts were seen with an address or a payment method, in which actors."""
    said = f"{formatting.count(person.account_count, 'account')} seen with it"
    actors = sorted(person.account_actors.items(), key=lambda each: -each[1])
    if actors:
        of = (f"{count:,} in actor {short_hash(actor)}" for actor, count in actors[:MOST_ACTORS])
        said += f": {', '.join(of)}"
        if len(actors) > MOST_ACTORS:
            said += f", and others in {formatting.count(len(actors) - MOST_ACTORS, 'actor')} more"
    return said


def _seen_with(compiled: CompiledPolicy, person: Person) -> Iterator[Text]:
    """Yield of each kind of identifier that an account shares the one of most accounts."""
    if person.explanation is None:
        return
    kinds = kinds_of(compiled)
    found: dict[str, list[Shared]] = {}
    for one in sorted(person.explanation.shared, key=lambda one: -one.principals):
        if one.principals > 1:
            found.setdefault(kinds.get(one.kind, one.family), []).append(one)
    for name, (most, *others) in found.items():
        used = f", used by {formatting.count(most.principals, 'account')}"
        used += f"; {len(others):,} more that others use, too" if others else ""
        yield Text(f"{name} ") + Text(short_hash(most.hash), "yellow") + Text(used)


def _ruling(person: Person) -> str:
    """Return what an act decides, whatever limits have left; empty without one. An exemption goes first."""
    ruling = [act for act in person.acts if act.of.ruling]
    found = min(ruling, key=lambda act: act.of.effect != "allowed", default=None)
    return "" if found is None else found.of.ruling.format(found.label)


def _actor(person: Person, rules: Sequence[LimitRule]) -> Text:
    if person.actor is None:
        return Text("none", "green")
    found = person.verdict or (0 if person.overview is None else person.overview.verdict)
    verdict = VERDICTS[found] if found else None
    said = Text(short_hash(person.actor), "bold yellow")
    if verdict is not None:
        said += Text(f"  {formatting.verdict_words(verdict, rules)}", _COLOURS[verdict])
    if person.overview is not None:
        said += Text(f"  {formatting.count(len(person.overview.members), 'account')}")
    return said


def _limit_table(compiled: CompiledPolicy, person: Person) -> Table:
    table = table_of("limit", "allows", "counts by", "left")
    for each in sorted(person.limits, key=lambda each: (each.retry_ns == 0, each.rule.index)):
        table.add_row(
            Text(formatting.of_plan(each.rule, [one.rule for one in person.limits]), "bold"),
            formatting.rate_of(each.rule, compiled),
            _counted_by(compiled, each.rule),
            _left(each),
        )
    return table


def _counted_by(compiled: CompiledPolicy, rule: LimitRule) -> str:
    return formatting.as_said(formatting.per(rule, compiled))


def _left(each: Left) -> Text:
    rule = each.rule
    amount = formatting.amount(each.remaining, rule.unit).removesuffix(f" {rule.unit}")
    whole = formatting.amount(max(each.most, each.remaining), rule.unit)
    said = Text(f"{amount} of {whole}", "" if not each.retry_ns else "red")
    if each.reduced_to is not None:
        said += Text(f", refuses what asks for more than {whole}", "red")
    elif refuses := refuses_words(each):
        said += Text(f", {refuses}", "red")
    if again := again_words(each):
        said += Text(f", {again}", "dim")
    if formatting.mode(rule) == "shadow":
        said += Text("  in shadow", "dim")
    if rule.verdict is not None:
        said += Text(f"  binds {formatting.binds(rule)}", "dim")
    return said


def _shared_by(known: Knowledge, person: Person, refused: Refused) -> str:
    """Return that others of the same address or payment method were refused, too, where it may be so."""
    own = {value for each in person.callers for value in each.hashes}
    if refused.hash in own or refused.per in ("", CLUSTER) or refused.per == known.account:
        return ""
    accounts = known.accounts_with(refused.hash)
    return f", all its {accounts:,} accounts" if accounts > 1 else ""


def _refused_table(known: Knowledge, person: Person) -> Table:
    table = table_of("refused by", "as", "on", "times>", "last (UTC)")
    for each in sorted(over_hosts(person.refused), key=lambda each: (each.in_shadow, -each.last_ns)):
        about = "≤ " if each.uncertain * 10 > each.refused else ""
        act = person.left_by(each)
        table.add_row(
            Text(each.refuser, "bold")
            + Text(f"  {each.aside}" if each.aside else "", "not bold yellow")
            + Text("" if act is None else f"  until act {act.label}", "not bold cyan"),
            Text(f"{formatting.as_said(each.per) or 'in code'} ")
            + Text(short_hash(each.hash), "yellow")
            + Text(_shared_by(known, person, each), "dim"),
            Text(each.host),
            Text(f"{about}{each.refused:,}", "yellow" if each.in_shadow else "red"),
            # After it the limit refuses the actor's other accounts.
            formatting.instant(each.last_ns)[11:]
            if act is None or each.last_ns <= act.at_ns
            else f"< {formatting.instant(act.at_ns)[11:]}",
        )
    for host, shed in person.shed:
        word = f"shed: {named(shed.group, shed.class_)}"
        table.add_row(
            Text(word, "bold"),
            Text(shed.why),
            Text(host),
            Text(f"{shed.total:,}", "red"),
            formatting.instant(shed.last_ns)[11:],
        )
    return table


def _json(known: Knowledge, person: Person) -> dict[str, Any]:
    compiled = known.compiled
    overview = person.overview
    actor = None
    if person.actor is not None:
        actor = {
            "actor": cluster_name(person.actor),
            "verdict": VERDICTS[person.verdict],
            "held": formatting.holds(VERDICTS[person.verdict], compiled.rules),
            "accounts": None if overview is None else len(overview.members),
            "ruling": None if overview is None else overview.override,
            "words": None if overview is None else overview.words,
        }
    told = None
    if person.explanation is not None and known.source is not None:
        told = ExplanationText(person.explanation, compiled, known.source.correlator.now_ns).as_json()
    return {
        "callers": [
            {
                "what": each.what,
                "identity": each.identity,
                "hash": f"{each.hash:016x}",
                "known": each.is_known,
            }
            for each in person.callers
        ],
        "known": person.is_known,
        "counted_by": [{"identity": name, "hash": f"{hashed:016x}"} for name, hashed in person.identities],
        "together": [{"identity": name, "hash": f"{hashed:016x}"} for name, hashed in person.parts],
        "actor": actor,
        "ruled": ruled_of(known, person) or None,
        "declared": Declared(known).of_person(known, person),
        "account_count": person.account_count,
        "accounts": [
            {
                "account": f"{each.key:016x}",
                "actor": None if each.actor is None else cluster_name(each.actor),
                "asked": each.requests,
                "last": formatting.iso(each.last_s * 10**9),
            }
            for each in person.accounts
        ],
        "acts": [act_json(act) for act in person.acts],
        "acts_on_users": [{"account": f"{of:016x}", **act_json(act)} for of, act in person.of_users],
        "limits": [_limit_json(compiled, each) for each in person.limits],
        "not_looked_at": [rule.name for rule in person.others],
        "refused": [_refused_json(each, person) for each in person.refused],
        "left": [
            {"actor": cluster_name(actor), "act": act.label, "at": formatting.iso(act.at_ns)}
            for actor, act in person.left.items()
        ],
        "shed": [_shed_json(host, each) for host, each in person.shed],
        "evidence": told,
        "hosts": {
            "answered": list(person.hosts),
            "missing": list(person.missing),
            "gone": list(person.gone),
        },
        "users": [f"{each:016x}" for each in person.users],
        "policies": person.policies or None,
        "limits_of": "this host"
        if person.stand_in is not None
        else None
        if person.no_answer
        else "all hosts",
        "share": None if person.stand_in is None else person.stand_in.share,
        "most_asked": {}
        if person.stand_in is None
        else {rule.name: most for rule, most in person.stand_in.most_asked},
        "off": [] if person.stand_in is None else list(person.stand_in.open),
        "refuse_all": [] if person.stand_in is None else list(person.stand_in.closed),
    }


def _limit_json(compiled: CompiledPolicy, each: Left) -> dict[str, Any]:
    rule = each.rule
    return {
        "limit": rule.name,
        "tier": rule.tier,
        "allows": formatting.rate_of(rule, compiled),
        "per": formatting.per(rule, compiled),
        "mode": formatting.mode(rule),
        "verdict": rule.verdict,
        "remaining": each.remaining,
        "of": each.most,
        "reduced_to": each.reduced_to,
        **waits_json(each),
    }


def _refused_json(each: Refused, person: Person) -> dict[str, Any]:
    until = person.left_by(each)
    return {
        "host": each.host,
        "limit": each.limit,
        "per": each.per or None,
        "hash": f"{each.hash:016x}",
        "tier": each.tier or None,
        "act": each.act or None,
        "refused": each.refused,
        "uncertain": each.uncertain,
        "in_shadow": each.in_shadow,
        "until_act": None if until is None else until.label,
        "since": formatting.iso(each.since_ns),
        "last": formatting.iso(each.last_ns),
    }


def _shed_json(host: str, each: ShedLine) -> dict[str, Any]:
    return {
        "host": host,
        "group": each.group,
        "class": each.class_,
        "shed": each.shed,
        "would_shed": each.would_shed,
        "why": each.why,
        "last": formatting.iso(each.last_ns),
    }
