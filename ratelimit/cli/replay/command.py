"""`ratelimit replay`: the command."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import click

from ratelimit.cli.failure import INPUT, INTERRUPTED, USAGE, Failure
from ratelimit.cli.loading import load
from ratelimit.cli.replay.clusters import clusters_report
from ratelimit.cli.replay.history import history_of
from ratelimit.cli.replay.inputs import open_inputs, show_disorder, trace_options
from ratelimit.cli.replay.progress import shown
from ratelimit.cli.replay.summary import Summary
from ratelimit.cli.terminal import err, note, out, print_json
from ratelimit.clock import ManualClock, monotonic_ns
from ratelimit.policy import Policy
from ratelimit.replay.run import Replay
from ratelimit.stores.factory import private_store
from ratelimit.traces import TraceUnreadable


@click.command("replay")
@click.argument("policy", type=click.Path())
@click.option(
    "--decisions", type=click.Path(allow_dash=True, dir_okay=False), help="Write one JSON line a request."
)
@trace_options
@click.option(
    "--reveal", is_flag=True, help="Show refused identities as the trace gives them, not as hashes."
)
@click.option(
    "--clusters", type=click.Path(dir_okay=False), help="Write the actors that were found, as JSON."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    help="Another seed, other hashes, where the policy's key is not at hand.",
)
@click.option(
    "--history",
    type=click.Path(exists=True, dir_okay=False),
    help="Begin with these payers: a file of `ratelimit make history`.",
)
@click.option("--no-correlation", is_flag=True, help="Look for no actors: limits per actor never bind.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
@click.option("--no-progress", is_flag=True, help="No progress bar, on a terminal either.")
def replay_command(
    policy: str,
    traces: tuple[str, ...],
    format_: str,
    sort: bool,
    mapping: tuple[str, ...],
    decisions: str | None,
    reveal: bool,
    clusters: str | None,
    seed: int,
    history: str | None,
    no_correlation: bool,
    as_json: bool,
    no_progress: bool,
) -> None:
    """Decide a recorded trace in virtual time: which requests would each limit have refused?

    TRACE is NDJSON (one request a line: time, method, path, ip, user_agent, headers, any
    identity by its policy name, units by theirs), or an access log of nginx, Apache, Caddy,
    Envoy, HAProxy, an AWS load balancer or uvicorn; --map names the fields of another format.
    gzip is recognised, "-" is standard input. Several traces are one, merged by time.
    Counters start empty, in memory of their own: a running deployment is not touched.

    \b
    Examples:
      ratelimit replay policy.toml access.log.gz
      ratelimit replay policy.toml host-a.log host-b.log --sort
      ratelimit replay policy.toml trace.ndjson --decisions out.ndjson --json
      ratelimit replay policy.toml june.log --history may.bin
      ratelimit replay policy.toml app.json --map time=ts,path=url,account=user.id
      zcat old/*.gz | ratelimit replay policy.toml - --reveal

    Each line of --decisions answers one readable line of the trace, in order (of several
    traces, or with --sort, in order of time):

    \b
      {"action": "allow" | the step that followed (on_refusal),
       "limit": name | null, "retry_after": seconds | null, "cluster": id | null}

    Those that passed after a wait also have "waited", in seconds. No challenge is passed here.

    Lines that cannot be read are counted, shown, and have no decision.
    """
    if (
        decisions is not None
        and decisions != "-"
        and Path(decisions).exists()
        and _is_same(decisions, policy, *traces)
    ):
        raise Failure(f"--decisions {decisions} would overwrite what is read", USAGE)
    loaded = load(policy)
    if clusters is not None:
        _check_clusters(clusters, loaded, no_correlation, policy, *traces)
    with ExitStack() as stack:
        write = None
        if decisions is not None:
            output = _open_output(decisions, "--decisions")
            stack.callback(output.flush if decisions == "-" else output.close)
            write = output.write
        replay = Replay(
            loaded.compiled,
            lambda now_ns: private_store(loaded, ManualClock(now_ns), seed=seed),
            write,
            correlates=not no_correlation,
            names_members=reveal and clusters is not None,
            history=history_of(loaded, history),
        )
        stack.callback(replay.close)
        started_ns = monotonic_ns()
        try:
            inputs = open_inputs(
                traces, loaded.compiled, fields=replay.fields, format=format_, mapping=mapping, sort=sort
            )
            for batch in shown(inputs, "replaying", quiet=no_progress or as_json or "-" in traces):
                replay.take(batch)
            replay.finish()
        except TraceUnreadable as error:
            raise Failure(str(error), INPUT) from error
        except KeyboardInterrupt:
            note("interrupted")
            raise SystemExit(INTERRUPTED) from None
        elapsed_s = (monotonic_ns() - started_ns) / 1e9
        if clusters is not None:
            _write_clusters(clusters, replay)
        summary = Summary(replay, inputs, reveal=reveal)
        show_disorder(inputs)
        if as_json:
            # A person may still be watching standard error; a pipe gets the document alone.
            if decisions != "-":
                print_json(summary.as_json(policy))
        else:
            console = err() if decisions == "-" else out()
            summary.print(console, policy)
            console.file.flush()
            if notes := summary.notes():
                note("")
                for line in notes:
                    note(line)
            if elapsed_s > 0 and replay.requests:
                note(f"{replay.requests / elapsed_s:,.0f} requests a second")


def _check_clusters(
    clusters: str, policy: Policy, no_correlation: bool, policy_path: str, *traces: str
) -> None:
    if no_correlation:
        raise Failure("--clusters and --no-correlation contradict each other", USAGE)
    if policy.compiled.correlation is None:
        raise Failure(
            "--clusters: the policy has no correlation", USAGE, hint="Write `[correlation]` into it."
        )
    if Path(clusters).exists() and _is_same(clusters, policy_path, *traces):
        raise Failure(f"--clusters {clusters} would overwrite what is read", USAGE)


def _write_clusters(path: str, replay: Replay) -> None:
    report: dict[str, Any] = {"clusters": [], "rebuilds": 0}
    if replay.actors is not None and replay.requests:
        report = clusters_report(replay.actors)
    with _open_output(path, "--clusters") as output:
        output.write(json.dumps(report, indent=1).encode() + b"\n")


def _is_same(output: str, *inputs: str) -> bool:
    return any(path != "-" and Path(path).exists() and Path(output).samefile(path) for path in inputs)


def _open_output(path: str, option: str) -> BinaryIO:
    if path == "-":
        return sys.stdout.buffer
    try:
        return Path(path).open("wb")
    except OSError as error:
        raise Failure(
            f"{path}: {error.strerror or error}", INPUT, hint=f"Give another path to {option}."
        ) from error
