"""`ratelimit journal` and `ratelimit act note`: what happened on all hosts, by time, and notes of persons."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from threading import Event

import click

from ratelimit.cli.failure import DEPLOYMENT, Failure, fail_if_unheard
from ratelimit.cli.loading import load_to_act
from ratelimit.cli.terminal import Text, note, out, print_json, say, warn
from ratelimit.clock import SystemClock
from ratelimit.inspection import formatting
from ratelimit.inspection.access.host_state import unheard_words
from ratelimit.inspection.acts.acting import author
from ratelimit.inspection.callers.knowledge import Knowledge, knowledge_of
from ratelimit.inspection.callers.naming import Caller, resolve
from ratelimit.inspection.callers.person import hashes_about
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.journal.entries import Entry, Journal, Printed, journal_of, write_note
from ratelimit.inspection.journal.outage import outage_words
from ratelimit.inspection.journal.outages import OUTAGE, folded
from ratelimit.inspection.journal.rejections import rejection_words, rejections
from ratelimit.policy import Policy
from ratelimit.policy.schema.duration import parse_duration

PAUSE_S = 0.5


def _span(context: click.Context, parameter: click.Parameter, value: str) -> int:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}; write it like 2h, 30m or 7d") from error


@click.command("journal")
@click.argument("policy")
@click.option(
    "--since",
    "since_ns",
    default="1d",
    show_default=True,
    callback=_span,
    metavar="TIME",
    help="How long ago to begin, like 7d or 30m.",
)
@click.option(
    "--of",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only what is about this account or other caller, actor, limit, act or host, or by this person.",
)
@click.option(
    "--minutes",
    "with_minutes",
    is_flag=True,
    help="Also counts of each host by the minute, and by the hour top callers.",
)
@click.option(
    "--hours", "with_hours", is_flag=True, help="Also what all hosts allowed and refused, by the hour."
)
@click.option("--follow", is_flag=True, help="Go on with what happens, until it is interrupted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def journal_command(
    policy: str,
    since_ns: int,
    names: tuple[str, ...],
    with_minutes: bool,
    with_hours: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """Show what happened on all hosts, by time: acts, changes of the policy, outages, actors, notes.

    \b
    Examples:
      ratelimit journal policy.toml --since 7d --hours
      ratelimit journal policy.toml --of acct-17
      ratelimit journal policy.toml --since 1h --minutes --of requests
      ratelimit journal policy.toml --follow --json

    An outage is one line, and so are short ones that follow one another; --json and --follow have each
    beginning and end. Counts have the time in which they were counted, as 14:03–14:04. Each host keeps the
    last thousand entries or more, and those of other hosts as far as it heard them. So it is shown without
    the server, too. Exit code 4 if the server or a host does not answer, which is named.
    """
    loaded = load_to_act(policy)
    begin_ns = SystemClock().now_ns() - since_ns
    with journal_of(loaded) as journal:
        of = entry_names(loaded, names)

        def entries() -> Iterator[Entry]:
            return journal.entries(begin_ns, of, with_minutes=with_minutes)

        found = list(entries())
        if with_hours:
            hours = [each.as_entry() for each in journal.hours(begin_ns, now_ns=SystemClock().now_ns())]
            if not hours:
                note("No answers were counted: they are by the minute, each when it has ended.")
            found += [each for each in hours if not of or each.is_of(of)]
            found.sort(key=lambda each: each.time_ns)
        printed = Printed()
        for each in found:
            printed.add(each)
        _show(found if as_json else folded(found), as_json)
        if not found and not follow:
            note("Nothing happened." if not names else f"Nothing happened to {', '.join(names)}.")
        pause = Event()
        while follow:
            sys.stdout.flush()
            pause.wait(PAUSE_S)
            _show([each for each in entries() if printed.add(each)], as_json)
        if not as_json:
            for host, entry in rejections(journal.place, journal.hosts).items():
                warn(f"{rejection_words(host, entry)}.")
        _show_missing(loaded, journal)


def _show(entries: Sequence[Entry], as_json: bool) -> None:
    console = out()
    for each in entries:
        if as_json:
            print_json(each.as_json(), is_line=True)
            continue
        when = formatting.instant(each.time_ns)
        if each.end_ns and each.kind != OUTAGE:  # whose words have its end
            when = formatting.minutes(each.time_ns, each.end_ns)
        line = Text(f"{when}  ", "dim")
        if not each.kind.startswith("act-"):  # it holds on all hosts, whichever told it first
            line += Text(f"{each.host}  ", "cyan")
        line += Text(f"{each.kind}  ", "bold yellow" if each.is_warning else "bold")
        if each.subject and not each.kind.startswith(("act-", "policy-", "self-")):
            line += Text(f"{each.subject[:8]}  ", "yellow")
        say(console, line + Text(each.text))


def _show_missing(policy: Policy, journal: Journal) -> None:
    if journal.is_away:
        said = outage_words(policy)
        raise Failure(
            f"{said[:1].lower()}{said[1:]}".rstrip("."),
            DEPLOYMENT,
            hint="Other hosts' entries are there up to when it went away.",
        )
    for host, silent_s in journal.gone.items():
        note(f"{host} is taken for gone, {unheard_words(silent_s, is_silent=True)}.")
    silent = journal.missing.items()
    fail_if_unheard(
        [f"{host}, {unheard_words(max(1, silent_s), is_silent=True)}" for host, silent_s in silent]
    )


def entry_names(policy: Policy, names: Sequence[str], *, whole: bool = True) -> list[str]:
    """Return names as entries have them: callers as the hashes that they go by, others as they are.

    Args:
        policy: the policy.
        names: as typed.
        whole: also by what a caller is counted beside its own name: its address, its actor, its members.
    """
    limits = {each.name for each in policy.compiled.limits}
    callers = [name for name in names if name not in limits]
    found: dict[str, Caller] = {}
    if callers:
        try:
            with knowledge_of(policy) as known:
                found = callers_of(known, callers)
                return [*names, *hashes_of_callers(known, found.values(), whole=whole)]
        except InspectionFailure as failure:
            note(f"{', '.join(callers)} cannot be looked up: {failure}")
    return list(names)


def callers_of(known: Knowledge, names: Sequence[str]) -> dict[str, Caller]:
    """Return the callers that names are of; a name of an act or a host is of none."""
    found = {}
    for name in names:
        with suppress(InspectionFailure):
            found[name] = resolve(known, name)
    return found


def hashes_of_callers(known: Knowledge, callers: Iterable[Caller], *, whole: bool = True) -> list[str]:
    """Return the hashes of callers as entries have them; `whole` as for `entry_names`."""
    return [
        f"{each:016x}"
        for caller in callers
        for each in (hashes_about(known, caller) if whole else caller.hashes)
    ]


@click.command("note")
@click.argument("policy")
@click.argument("text")
@click.option(
    "--of", "names", multiple=True, metavar="NAME", help="The caller, actor or limit that it is about."
)
@click.option("--by", metavar="PERSON", help="Who says so, beside the account that runs this.")
def note_command(policy: str, text: str, names: tuple[str, ...], by: str | None) -> None:
    """Write a note into the journal, for colleagues: it changes nothing.

    \b
    Example:
      ratelimit act note policy.toml "load test until 15:00" --of acct-17
    """
    loaded = load_to_act(policy)
    with journal_of(loaded) as journal:
        write_note(journal, text, entry_names(loaded, names, whole=False), author(by))
    note(f"Noted for all hosts; `ratelimit journal {policy}` shows it.")
