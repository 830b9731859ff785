"""The time of decisions over a Redis, one after another.

Three limits of three algorithms, each over an identity of its own, in one round trip; beside
a bare client that runs a script of one limit, which is about the least any limiter does, and
beside others with one rule and with the same three. By the clock on the wall: a request waits
for the round trip. Of a contender's turns the lower quartile is compared: what else runs on
the machine adds to a wait, and never takes from it.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.hosted import Hosted
from benchmarks.redis.asking import NOTHING, Asking
from benchmarks.redis.contenders import BARE
from benchmarks.redis.installed import installed
from benchmarks.redis.servers import describe, running
from benchmarks.report import Answer, Row, best
from benchmarks.rounds import Contender, race
from benchmarks.settings import Settings

NAME = "Redis, one after another"
AIM = 1.25
MODES = ("exact",)


def answer(settings: Settings, modes: tuple[str, ...] = MODES) -> Answer:
    """Time decisions, each waited for."""
    found = Answer(NAME, "Three limits decided by a server, one request at a time: how long does one wait?")
    with running() as server, ExitStack() as stack:
        peers, absent = installed(server, modes)
        chosen = [(NOTHING, 1), (BARE, 1)]
        chosen += [(name, limits) for name in (*modes, *peers) for limits in (1, 3)]
        hosts = {
            label(name, limits): stack.enter_context(Hosted(Asking, name, server.url, limits))
            for name, limits in chosen
        }
        samples = race(
            [_contender(*one) for one in hosts.items()],
            rounds=settings.rounds,
            slice_ns=2 * settings.slice_ns,
        )
        samples = {name: sample for name, sample in samples.items() if name != label(NOTHING, 1)}
        found.samples("", samples, "µs", 1000)
        bare = samples[label(BARE, 1)].lower
        name, value = best({label(peer, 1): samples[label(peer, 1)].lower / 1000 for peer in peers})
        for mode in modes:
            mine = samples[label(mode, 3)].lower
            what = f"three limits, {mode}"
            found.rows.append(Row(f"{what}, in bare calls of one", mine / bare, "×", AIM))
            found.rows.append(Row(what, mine / 1000, "µs", value, peer=name, peer_value=value))
        for mode in modes:
            cost = hosts[label(mode, 3)].ask("costs")
            found.notes.append(
                f"processor time a decision, {label(mode, 3)}: client {cost['client']:.1f} µs, "
                f"server {cost['server']:.1f} µs"
            )
        found.notes.append(describe(server))
    found.notes += [f"not installed: {name}" for name in absent]
    return found


def label(name: str, limits: int) -> str:
    """Return how a contender is called in tables."""
    own = f"ratelimit, {name}" if name in ("exact", "leased") else name
    return own if name in (NOTHING, BARE) else f"{own}: {limits} rule{'s' * (limits > 1)}"


def _contender(name: str, host: Hosted) -> Contender:
    return Contender(name, lambda count: float(host.ask("turn", count)))
