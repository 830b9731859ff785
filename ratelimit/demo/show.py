"""The output of the board: redrawn in place on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ratelimit.demo.board import PLAIN_HEAD, latency_words, plain_line, render
from ratelimit.demo.state import Actor, State
from ratelimit.demo.verdict import Line, account_of

_PLAIN_EVERY_S = 2.0


@contextmanager
def shown(console: Console, *, quiet: bool, hosts: int = 1) -> Iterator[Callable[[State], None]]:
    """Yield what to call with each new state."""
    if quiet:
        yield lambda state: None
        return
    if not console.is_terminal:
        yield _plain(console)
        return
    what = "a server with two workers" if hosts == 1 else f"{hosts} servers with two workers each"
    console.print(f"starting {what} …", style="dim")
    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield lambda state: live.update(render(state, console.width, console.height), refresh=True)


def _plain(console: Console) -> Callable[[State], None]:
    said_s = -_PLAIN_EVERY_S
    begun = False

    def show(state: State) -> None:
        nonlocal said_s, begun
        if not begun:
            for url in state.urls:
                console.print(f"server  {url}, metrics {url}/metrics, policy {state.policy}", soft_wrap=True)
            console.print("requests so far of each group, admitted/refused:", soft_wrap=True)
            console.print(PLAIN_HEAD, soft_wrap=True)
            begun = True
        if state.elapsed_s - said_s >= _PLAIN_EVERY_S:
            said_s = state.elapsed_s
            console.print(plain_line(state), soft_wrap=True)

    return show


def print_verdict(console: Console, state: State, lines: list[Line]) -> None:
    """Write what came of it."""
    whole = not console.is_terminal  # a log takes lines as they are
    console.print()
    for line in lines:
        mark = Text("✔ ", "green") if line.good else Text("✘ ", "bold red")
        console.print(mark + Text(line.sentence()), soft_wrap=whole)
    console.print()
    for who, sentence in account_of(state):
        console.print(Text(f"  {who:9} ", "bold") + Text(sentence), soft_wrap=whole)
    for actor in state.actors:
        _print_actor(console, actor, console.width if console.is_terminal else None)
    total = sum(line.admitted + line.refused for line in lines)
    console.print()
    asked = f"{total:,} requests in {state.elapsed_s:.0f} s, decided by"
    console.print(f"{asked} {_deciders(state)}", style="dim", soft_wrap=whole)
    if latency := latency_words(state):
        console.print(latency[0].upper() + latency[1:], style="dim", soft_wrap=whole)
        console.print(
            "The callers share these cores; `make bench` measures alone.", style="dim", soft_wrap=whole
        )
    console.print(f"The policy that did it: {state.policy}", style="dim", soft_wrap=True)
    console.print("Yours to add: app.add_middleware(RateLimitMiddleware, policy=…)", style="dim")


def _print_actor(console: Console, actor: Actor, width: int | None) -> None:
    """Write what is said of an actor and why, in lines of this width, or as one."""
    head = f"  {actor.verdict or 'cleared':9} "
    said = f"{actor.size} accounts. {actor.words}"
    lines = [said] if width is None else textwrap.wrap(said, max(width - len(head), 20))
    for number, line in enumerate(lines):
        console.print(Text(head if number == 0 else " " * len(head), "bold") + Text(line), soft_wrap=True)


def _deciders(state: State) -> str:
    if state.redis is None:
        return "two workers"
    asked = sum(state.decided) or 1
    shares = " and ".join(f"{100 * one / asked:.0f} %" for one in state.decided)
    return f"{len(state.ports)} hosts ({shares}), which share only one Redis, at {state.redis}"
