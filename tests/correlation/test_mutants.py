"""Correlators broken on purpose: each is caught by a scenario, and each scenario here catches one."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from benchmarks.correlation.verdict import Verdict
from ratelimit.cli.replay.actors import Actors
from ratelimit.cli.replay.run import Replay
from ratelimit.core.batch import decide_batch
from ratelimit.correlation import rebuild
from ratelimit.correlation.judgement import Judgement
from ratelimit.policy.compiled import CorrelationSpec
from tests.correlation.trial import policy, tried, verdicts

Try = Callable[[str], Verdict]


class Everybody(Actors):
    """All accounts are one actor."""

    def decide(
        self,
        kinds: list[Any],
        columns: list[array[int]],
        times_ns: list[int],
        costs: list[Sequence[int] | None] | None,
        records: list[Any],
    ) -> Any:
        """Decide with one cluster for all."""
        columns[self._at][:] = array("Q", [7]) * len(times_ns)
        return decide_batch(kinds, columns, times_ns, costs)


def everybody(replay: Replay) -> None:
    """Let one cluster hold everybody."""
    assert replay.actors is not None
    replay.actors.__class__ = Everybody


def spec(*, payment: bool = True, **changed: float) -> CorrelationSpec:
    """Return what the policy correlates, with other numbers or without payment methods."""
    found = policy().compiled.correlation
    assert found is not None
    kinds = found.kinds if payment else (*found.kinds[:2], -1, *found.kinds[3:])
    return replace(found, kinds=kinds, settings={**found.settings, **changed})


@dataclass(frozen=True)
class Mutant:
    """What is broken, and how."""

    name: str
    changed: dict[str, Any]
    judges_nobody: bool = False


MUTANTS = (
    Mutant("clusters everybody", {"tamper": everybody}),
    Mutant("clusters nobody", {}, judges_nobody=True),
    Mutant("ignores payment", {"spec": spec(payment=False)}),
    Mutant(
        "ignores who else is at a place, and what speaks against a payment method",
        # Without the length of answers, which makes up for it.
        {"spec": spec(suspect_share=0.0, least_support=-99.0, least_meetings=1, length_cap=0.0)},
    ),
    Mutant(
        "ignores behaviour",
        {
            "spec": spec(
                evenness_most=99.0, behaviour_cap=0.0, length_cap=0.0, insistence_cap=0.0, unlike=99.0
            )
        },
    ),
    Mutant(
        "one thing in common is enough",
        {"spec": spec(join=0.5, stay=0.2, join_paid=0.2, suspect_sharing=2, prior_cap=0.0)},
    ),
    Mutant("never looks again", {"spec": spec(rebuild_least_s=10**6, rebuild_most_s=10**7)}),
)


def contains_the_campaign(attempt: Try) -> None:
    numbers = attempt("base").numbers
    assert numbers["amplification"] < 1.6
    assert numbers["hours beyond"] < 1.5


def knows_replacements(attempt: Try) -> None:
    assert attempt("churning").numbers["to attach, replacements, median"] <= 3


def spares_the_honest_beside_it(attempt: Try) -> None:
    numbers = attempt("base").numbers
    assert numbers["honest refused"] < 0.0002
    assert numbers["pairwise precision"] > 0.998


def finds_nobody_in_a_company(attempt: Try) -> None:
    assert attempt("company").numbers["clusters"] == 0
    assert attempt("company").numbers["honest refused"] == 0


def spares_the_company_beside_it(attempt: Try) -> None:
    numbers = attempt("company+base").numbers
    assert numbers["worst class refused"] < 0.01
    assert numbers["pairwise precision"] > 0.99


def spares_the_subscribers_of_a_carrier_beside_it(attempt: Try) -> None:
    assert attempt("carrier-nat-1000+base").numbers["worst class refused"] < 0.01


def spares_whose_cards_are_stolen(attempt: Try) -> None:
    numbers = attempt("stolen-card").numbers
    assert numbers["worst class refused"] < 0.01
    assert numbers["pairwise precision"] > 0.995


def spares_who_rents_the_same_exits(attempt: Try) -> None:
    numbers = attempt("small").numbers
    assert numbers["worst class refused"] < 0.01
    assert numbers["pairwise precision"] > 0.99


LAWS = (
    contains_the_campaign,
    knows_replacements,
    spares_the_honest_beside_it,
    finds_nobody_in_a_company,
    spares_the_company_beside_it,
    spares_the_subscribers_of_a_carrier_beside_it,
    spares_whose_cards_are_stolen,
    spares_who_rents_the_same_exits,
)


def attempt_of(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> Try:
    """Return how a mutant does in a scenario."""
    if mutant.judges_nobody:
        monkeypatch.setattr(rebuild, "judge", lambda *_, **__: Judgement(0.0, "nobody"))
    known: dict[str, Verdict] = {}

    def attempt(name: str) -> Verdict:
        if name not in known:
            known[name] = tried(name, **mutant.changed)
        return known[name]

    return attempt


def catches(law: Callable[[Try], None], attempt: Try) -> bool:
    """Return whether a law fails."""
    try:
        law(attempt)
    except (AssertionError, KeyError):
        return True
    return False


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws_hold_of_the_correlator(law: Callable[[Try], None]) -> None:
    law(lambda name: verdicts(name)[0])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_broken_correlators_are_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = attempt_of(mutant, monkeypatch)
    assert any(catches(law, attempt) for law in reversed(LAWS))
