"""Processes of their own on loopback: a short form of the real run."""

from __future__ import annotations

import pytest

from benchmarks.adaptive.real.run import MEANS, SHORT
from benchmarks.adaptive.real.table import print_real
from ratelimit.demo.saturated import TARGET_S

COLUMNS = ("in_time", "share", "p50", "p95", "p99", "refused", "given_up")


def rows_of(printed: str) -> list[dict[str, list[str]]]:
    """Return the cells of each table by the name of its row."""
    tables = printed.split("first byte of what was answered")[1:]
    named = [means.name for means in MEANS]
    return [
        {
            name: line.removeprefix(name).replace(" s", "").replace(" %", "").split()
            for line in table.splitlines()
            for name in named
            if line.startswith(name + "  ")
        }
        for table in tables
    ]


def test_adaptive_limit_keeps_what_is_lost_without_it(capsys: pytest.CaptureFixture[str]):
    """The bounds are wide: tests share their cores."""
    print_real(12, [1], SHORT)
    whole, half = rows_of(capsys.readouterr().out)
    nothing, adaptive = (dict(zip(COLUMNS, whole[means.name], strict=True)) for means in SHORT)
    assert int(nothing["refused"]) == 0 < int(adaptive["refused"])
    assert int(adaptive["share"]) >= 60 > 40 >= int(nothing["share"])
    assert float(adaptive["p50"]) <= TARGET_S < float(nothing["p50"])
    assert int(half[SHORT[1].name][1]) >= 30 > 10 >= int(half[SHORT[0].name][1])
