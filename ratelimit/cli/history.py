"""`ratelimit make history`: the records of payers, made of logs, for an installation to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from ratelimit.allowance.history import write_history
from ratelimit.allowance.logs import DAY_NS, LogRecords, NoPayer
from ratelimit.cli.failure import INPUT, INTERRUPTED, POLICY, USAGE, Failure
from ratelimit.cli.loading import load
from ratelimit.cli.terminal import note, print_json
from ratelimit.cli.traces import notes_on, open_inputs, show_disorder, shown, trace_options, traces_json
from ratelimit.clock import ManualClock
from ratelimit.inspection.formatting import amount, count, instant
from ratelimit.lab.traces import TraceUnreadable
from ratelimit.policy import Policy
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.factory import private_store, wish_of

USEFUL_DAYS = 30


@click.command("history")
@click.argument("policy", type=click.Path())
@trace_options
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False),
    required=True,
    help="The file to write: that of `store.history`.",
)
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
@click.option("--no-progress", is_flag=True, help="No progress bar, on a terminal either.")
def history_command(
    policy: str,
    traces: tuple[str, ...],
    format_: str,
    sort: bool,
    mapping: tuple[str, ...],
    output: str,
    as_json: bool,
    no_progress: bool,
) -> None:
    """Write the records of payers that a month of logs would have left.

    An installation that starts with them (`history = "FILE"` in `[store]`) knows its payers from the first
    request: their accounts and places, their best days, and what they have paid for a month. Each line that
    the policy's limit with an allowance binds counts. Leave out lines of requests that were refused: those
    earn nothing.

    \b
    Examples:
      ratelimit make history policy.toml access.log.gz -o history.bin
      ratelimit make history policy.toml a.log b.log --sort -o history.bin
      ratelimit make history policy.toml app.json --map payer=card -o out.bin

    Traces are as for `ratelimit replay`. The file is bound to the policy's hash key.
    """
    if any(path != "-" and _is_same(path, output) for path in (policy, *traces)):
        raise Failure(f"--output {output} would overwrite what is read", USAGE)
    loaded = load(policy)
    learned = _learned(loaded)
    try:
        inputs = open_inputs(
            traces, loaded.compiled, fields=learned.fields, format=format_, mapping=mapping, sort=sort
        )
        for batch in shown(inputs, "learning", quiet=no_progress or as_json or "-" in traces):
            learned.take(batch)
        totals = learned.totals()
        if learned.records is None or not totals.payers:
            raise Failure(
                f"no payer in {count(learned.requests, 'line')}",
                INPUT,
                hint="Say where a line has the payer: --map payer=FIELD.",
            )
        _write(Path(output), learned)
    except TraceUnreadable as error:
        raise Failure(str(error), INPUT) from error
    except KeyboardInterrupt:
        note("interrupted")
        raise SystemExit(INTERRUPTED) from None
    finally:
        learned.close()
    show_disorder(inputs)
    days = learned.last_ns // DAY_NS - learned.first_ns // DAY_NS + 1
    if as_json:
        print_json(
            {
                "policy": policy,
                "output": output,
                **traces_json(inputs),
                "requests": learned.requests,
                "counted": learned.counted,
                "days": days,
                "limit": learned.rule.name,
                "unit": learned.rule.unit,
                "base": learned.rule.quota,
                "payers": totals.payers,
                "largest": totals.largest,
                "over_base": totals.over_base,
            }
        )
        return
    unit = learned.rule.unit
    until = instant(learned.last_ns)
    note(f"{output}: {count(totals.payers, 'payer')}, {count(days, 'day')} up to {until} UTC")
    note(f"{learned.counted:,} of {count(learned.requests, 'line')} count for `{learned.rule.name}`")
    note(f"the largest day: {amount(totals.largest, unit)}, rounded down")
    note(f"beyond {amount(learned.rule.quota, unit)} on a day: {count(totals.over_base, 'payer')}")
    if days < USEFUL_DAYS:
        note(f"{days} of {USEFUL_DAYS} days: payers first seen in these logs count as new for the rest")
    for line in notes_on(inputs):
        note(line)


def _learned(policy: Policy) -> LogRecords:
    if policy.compiled.hash_key is None:
        raise Failure(
            "a history is bound to a hash key, and the policy has none",
            POLICY,
            hint="Write `[hashing]` with a `key` of the installation, and make the history with it.",
        )
    try:
        wish_of(policy)
        return LogRecords(policy.compiled, lambda now_ns: _store(policy, now_ns))
    except NoPayer as error:
        raise Failure(
            str(error),
            POLICY,
            hint="Name who pays in `[identities]`, and write a limit per payer with "
            "`budget = { growth = 3, most = … }`.",
        ) from error


def _store(policy: Policy, now_ns: int) -> EmbeddedStore:
    return private_store(policy, ManualClock(now_ns))


def _write(path: Path, learned: LogRecords) -> None:
    assert learned.records is not None  # there are payers
    try:
        until, payers = learned.last_ns // DAY_NS, learned.totals().payers
        write_history(path, learned.records, learned.key, until=until, payers=payers)
    except OSError as error:
        raise Failure(
            f"{path}: {error.strerror or error}", INPUT, hint="Give another path to --output."
        ) from error


def _is_same(one: str, other: str) -> bool:
    return Path(one).exists() and Path(other).exists() and Path(one).samefile(other)
