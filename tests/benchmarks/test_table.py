"""The benchmark's table of results: hits, misses, and neither."""

from __future__ import annotations

import pytest

from benchmarks.correlation.aims import HARM
from benchmarks.correlation.runs import Result
from benchmarks.correlation.table import aims, is_missed, summary
from benchmarks.correlation.verdict import Verdict

HARMLESS = dict.fromkeys(HARM, 0.0)


def results(scenario: str, *numbers: dict[str, float]) -> list[Result]:
    """Return one result a seed."""
    return [
        Result(scenario, seed, "kinlimit", 1, Verdict(dict(found), {}))
        for seed, found in enumerate(numbers, 1)
    ]


def said(number: str, runs: list[Result]) -> str:
    """Return what is said of one aim."""
    return next(row[-1] for row in aims(runs) if row[1] == number)


@pytest.mark.parametrize(
    ("values", "word"),
    [((1.2, 1.0), "met"), ((1.0, 1.1, 1.3), "missed by some"), ((1.3, 1.1, 1.3), "missed")],
)
def test_the_worst_seed_decides(values: tuple[float, ...], word: str) -> None:
    number = "amplification after 1 h"
    assert said(number, results("base", *({number: value} for value in values))) == word


@pytest.mark.parametrize(
    ("admitted", "harm", "word"),
    [
        (0.4, 0.0, "met"),
        (1.0, 0.0, "inert, harmless"),
        (0.8, 0.0, "contained in part, harmless"),
        (1.0, 0.00001, "missed"),  # within the bounds of collateral, and harm nevertheless
    ],
)
def test_a_mimic_is_contained_by_half_or_left_alone_with_everybody_else(
    admitted: float, harm: float, word: str
) -> None:
    runs = results("full-mimic", {"admitted": admitted} | HARMLESS | {"honest refused": harm})
    assert said("admitted", runs) == word


def test_harm_in_one_seed_is_harm() -> None:
    runs = results(
        "full-mimic", {"admitted": 1.0} | HARMLESS, {"admitted": 1.0} | HARMLESS | {"false clusters": 1.0}
    )
    assert said("admitted", runs) == "missed"


def test_to_do_nothing_is_no_excuse_elsewhere() -> None:
    assert said("amplification", results("small", {"amplification": 9.0} | HARMLESS)) == "missed"


def test_what_was_contained_by_nobody_is_counted_by_itself() -> None:
    runs = results("full-mimic", {"admitted": 1.0} | HARMLESS) + results("small", {"amplification": 9.0})
    rows = aims(runs)
    assert (
        summary(rows)
        == f"3 of {len(rows)} aims met; not contained, and harmless: full-mimic; missed in: small."
    )
    assert [is_missed(row) for row in rows].count(True) == 1
    assert summary([]) == "No aims in these runs."
