"""`ratelimit demo`: a thin command over `ratelimit.demo`."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

import click

from ratelimit.cli.failure import DEPLOYMENT, POLICY, USAGE, Failure
from ratelimit.cli.terminal import err, out, print_json
from ratelimit.environment.extras import how_to_install

HOSTS = 2
"""As many servers, where a Redis lets them count together."""


@click.command("demo")
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=40, show_default=True, help="Duration of the demo."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port on 127.0.0.1. [default: 8429, or any free one]"
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of all pauses.")
@click.option("--json", "as_json", is_flag=True, help="No display; print the outcome as JSON.")
@click.option(
    "--redis", metavar="URL", help="Two hosts with one budget in this Redis or Valkey, as a policy names it."
)
@click.option(
    "--saturated",
    is_flag=True,
    help="A server with three times the load that it can serve, without an adaptive limit and with one.",
)
def demo_command(
    seconds: float, port: int | None, seed: int, as_json: bool, redis: str | None, saturated: bool
) -> None:
    """See it work: a small LLM API, honest people, a campaign, a school like it, and greed.

    Starts a real server with two worker processes on loopback, and a process that plays all its
    callers. Shows how 240 accounts, each far below its own limit, are found to be one actor, and
    why. Shows why 60 pupils, as new and on shared cards, are left alone, and what each limit admits
    and refuses. Ends both. It stays on this machine and leaves no files behind.

    With --redis there are two servers of two workers each, started apart as on two
    hosts: all they share is the Redis. Each caller uses both in turn, and has one budget.

    \b
    Examples:
      ratelimit demo
      ratelimit demo --seconds 60 --port 8000
      ratelimit demo --json > outcome.json
      ratelimit demo --redis redis://127.0.0.1:6379/0
      ratelimit demo --saturated --seconds 20

    Exit code 0 if no honest call was refused and every greedy one was held to
    what the policy grants; 1 if not.
    """
    if find_spec("uvicorn") is None:
        raise Failure("the demo needs uvicorn", USAGE, hint=f"Install it: {how_to_install('uvicorn')}")
    if saturated:
        _saturated(seconds / 2, seed, as_json)
        return
    from ratelimit.demo.outcome import as_json as outcome_json
    from ratelimit.demo.outcome import grants_of_policy, judge, print_verdict, shown
    from ratelimit.demo.run import DemoFailed, Shared, free_port, policy_path, run

    if redis is not None and find_spec("redis") is None:
        raise Failure(
            "the demo on two hosts needs the client library",
            USAGE,
            hint=f"Install it: {how_to_install('redis')}",
        )
    console = err() if as_json else out()
    try:
        ports = [free_port(port)]
        while redis is not None and len(ports) < HOSTS:
            ports = list(dict.fromkeys((*ports, free_port(None, usual=False))))
        with shown(console, quiet=as_json) as show:
            state = asyncio.run(run(seconds, ports, seed, show, None if redis is None else Shared(redis)))
    except DemoFailed as error:
        raise Failure(str(error), DEPLOYMENT) from error
    lines = judge(state, grants_of_policy(policy_path()))
    if as_json:
        print_json(outcome_json(state, lines))
    else:
        print_verdict(console, state, lines)
    if not all(line.good for line in lines):
        raise SystemExit(POLICY)


def _saturated(seconds: float, seed: int, as_json: bool) -> None:
    from ratelimit.demo.run import DemoFailed
    from ratelimit.demo.saturated import outcome_json, play, print_head, print_outcome

    console = err() if as_json else out()
    print_head(console, seconds)
    try:
        without, limited = asyncio.run(
            play(
                seconds,
                seed,
                lambda has_limit: console.print("with …" if has_limit else "without …", style="dim"),
            )
        )
    except DemoFailed as error:
        raise Failure(str(error), DEPLOYMENT) from error
    if as_json:
        print_json(outcome_json(without, limited))
    else:
        print_outcome(console, without, limited)
