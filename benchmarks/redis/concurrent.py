"""Decisions that one process gets from a Redis, if 64 tasks ask at the same time.

Three limits here; others with one rule, which is the least they do, and with the same three.
Beside the rate stands what a decision costs in processor time, at the client and at the
server: on a machine with other work, that is what does not change.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.hosted import Hosted
from benchmarks.redis.asking import NOTHING, Asking
from benchmarks.redis.contenders import BARE, COMPILED
from benchmarks.redis.installed import installed
from benchmarks.redis.sequential import label
from benchmarks.redis.servers import describe, running
from benchmarks.report import Answer, Row, best, number
from benchmarks.rounds import Contender, race
from benchmarks.settings import Settings

NAME = "Redis, 64 at a time"
TASKS = 64
AIM_COMPILED = 2.0
AIM_PYTHON = 6.0
MODES = ("exact",)


def answer(settings: Settings, modes: tuple[str, ...] = MODES) -> Answer:
    """Compare rates."""
    found = Answer(NAME, f"{TASKS} tasks of one process, three limits: how many decisions a second?")
    with running() as server, ExitStack() as stack:
        peers, absent = installed(server, modes)
        chosen = [(NOTHING, 1), (BARE, 1)]
        chosen += [(name, limits) for name in (*modes, *peers) for limits in (1, 3)]
        hosts = {
            label(name, limits): stack.enter_context(Hosted(Asking, name, server.url, limits, TASKS))
            for name, limits in chosen
        }
        samples = race(
            [_contender(*one) for one in hosts.items()],
            rounds=settings.rounds,
            slice_ns=5 * settings.slice_ns,
        )
        costs = {name: host.ask("costs") for name, host in hosts.items()}
        found.notes.append(describe(server))
    hosts.pop(label(NOTHING, 1))
    rates = {name: 1e9 / samples[name].median for name in hosts}
    found.columns = (
        "contender", "decisions a second", "µs, client", "µs, server", "of it scripts", "a call",
        "bytes to server", "back",
    )  # fmt: skip
    for name in hosts:
        cost = costs[name]
        figures = (
            cost["client"],
            cost["server"],
            cost["script"],
            1 / cost["scripts"] if cost["scripts"] else 0,
            cost["received"],
            cost["sent"],
        )
        found.measured.append((name, number(rates[name]), *(number(figure) for figure in figures)))
    compiled = {label(peer, 1): rates[label(peer, 1)] for peer in peers if peer in COMPILED}
    python = {label(peer, 3): rates[label(peer, 3)] for peer in peers if peer not in COMPILED}
    for mode in modes:
        mine = rates[label(mode, 3)]
        for rivals, aim, what in (
            (compiled, AIM_COMPILED, "the fastest compiled peer with one"),
            (python, AIM_PYTHON, "the fastest Python peer with three"),
        ):
            name, value = best(rivals, more_is_better=True)
            if value is not None:
                found.rows.append(Row(f"three limits, {mode}, times {what}", mine / value, "×", aim, True))
                found.rows.append(Row(f"three limits, {mode}", mine, "/s", None, True, name, value))
    found.notes += [f"not installed: {name}" for name in absent]
    found.notes.append("processor time of the client's process and of the server's, a decision")
    return found


def _contender(name: str, host: Hosted) -> Contender:
    return Contender(name, lambda count: float(host.ask("turn", count)))
