"""The display of a saturated server, without a limit and with one."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ratelimit.demo.saturated.callers import TARGET_S, TIMES, Outcome
from ratelimit.demo.saturated.engine import CAPACITY, PLACES

BARS = " ▁▂▃▄▅▆▇█"


def print_head(console: Console, seconds: float) -> None:
    """Say what is about to be seen."""
    console.print(
        f"A server with {PLACES} places, which answers {CAPACITY:.0f} requests a second, is asked for "
        f"{TIMES * CAPACITY:.0f}: {seconds:.0f} seconds without a limit, and {seconds:.0f} with one.",
        style="dim",
    )


def print_outcome(console: Console, without: Outcome, limited: Outcome) -> None:
    """Write both side by side, and what it takes to have the second."""
    table = Table(box=None, padding=(0, 2))
    table.add_column("")
    table.add_column("without", justify="right")
    table.add_column("with", justify="right", style="bold")
    late = f"first byte within {TARGET_S:g} s, of what came"
    table.add_row(late, _percent(without.in_time, without.came), _percent(limited.in_time, limited.came))
    table.add_row("… of what the server can do", *map(_of_capacity, (without, limited)))
    table.add_row(
        "half of the answers began within", *(f"{one.wait_s(0.5):.2f} s" for one in (without, limited))
    )
    table.add_row("95 % of them within", *(f"{one.wait_s(0.95):.2f} s" for one in (without, limited)))
    table.add_row("refused, with 503", *(f"{one.refused:,}" for one in (without, limited)))
    table.add_row("callers that gave up", *(f"{one.given_up:,}" for one in (without, limited)))
    table.add_row("in time, second by second", *map(_bars, (without, limited)))
    console.print(table)
    console.print("The policy that did it:", style="dim")
    console.print(Text(f'  [adaptive]\n  first_byte = "{round(1000 * TARGET_S)}ms"', "bold"))
    console.print("docs/adaptive.md explains how to adopt it without turning requests away.", style="dim")


def as_json(without: Outcome, limited: Outcome) -> dict[str, object]:
    """Return the same for programs."""
    return {
        name: {
            "came": one.came,
            "in_time": one.in_time,
            "refused": one.refused,
            "given_up": one.given_up,
            "first_byte_p50_s": round(one.wait_s(0.5), 3),
            "first_byte_p95_s": round(one.wait_s(0.95), 3),
            "in_time_by_second": [second.in_time for second in one.seconds],
        }
        for name, one in (("without", without), ("with", limited))
    }


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.0f} %"


def _of_capacity(outcome: Outcome) -> str:
    return f"{100 * outcome.in_time / (CAPACITY * max(1, len(outcome.seconds))):.0f} %"


def _bars(outcome: Outcome) -> Text:
    most = len(BARS) - 1
    return Text(
        "".join(BARS[min(most, round(most * second.in_time / CAPACITY))] for second in outcome.seconds),
        "green",
    )
