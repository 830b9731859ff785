"""Every law is worth its time: implementations broken on purpose are each caught by one.

A suite that a limiter which never refuses could pass would be no suite.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.mutation.mutants import MUTANTS, Mutant
from tests.support.cores import REFERENCE, Core
from tests.support.laws import admission, clocks, corrections, costs
from tests.support.rule import MINUTE, SECOND, RuleSpec
from tests.support.streams import COUNTING, Gap, Step, Stream

MODULES = (admission, costs, clocks, corrections)


def laws() -> Iterator[tuple[str, Callable[..., None]]]:
    """Yield every law."""
    for module in MODULES:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            parameters = list(inspect.signature(function).parameters)
            if function.__module__ == module.__name__ and parameters[0] == "core":
                yield f"{module.__name__.rsplit('.', 1)[-1]}.{name}", function


LAWS = dict(laws())


def cases() -> list[tuple[RuleSpec, Stream]]:
    """Return rules and streams with a fixed seed, that go near every edge."""
    source = random.Random(20)
    found: list[tuple[RuleSpec, Stream]] = []
    for algorithm in COUNTING * 6:
        quota, period_ns = source.choice([1, 2, 3, 5, 7]), source.choice([SECOND, 7 * SECOND, MINUTE])
        burst = source.choice([1, 3, 5]) if algorithm == "token-bucket" else None
        if algorithm == "carried-window":
            burst = source.randint(quota, 2 * quota)
        spec = RuleSpec(algorithm, quota, period_ns, burst)
        gaps: list[Gap] = [
            0,
            0,
            0,
            1,
            period_ns // quota,
            period_ns // 2,
            period_ns - 1,
            period_ns,
            9 * period_ns,
        ]
        gaps += [-1, -period_ns // 2, -period_ns, "until allowed", "just before"]
        steps: list[Step] = []
        for _ in range(30):
            steps.append(Step(source.choice(gaps), source.choice([1, 1, 1, 0, 2, spec.most, spec.most + 1])))
        found.append((spec, steps))
    for algorithm in COUNTING:
        # Charged late, charged a whole window earlier, and asked just after the late charge again.
        swing = [Step(SECOND, 1), Step(-SECOND, 1), Step(SECOND + 1, 1), Step(0, 1)]
        found.append((RuleSpec(algorithm, 2, SECOND), swing))
    return found


CASES = cases()


def forward(stream: Stream) -> Stream:
    """Return the stream without its steps back."""
    return [step for step in stream if not isinstance(step.gap, int) or step.gap >= 0]


def check(law: Callable[..., None], core: Core) -> None:
    """Run one law over all cases."""
    parameters = list(inspect.signature(law).parameters)
    for spec, stream in CASES:
        given = stream if law.__module__ == clocks.__name__ else forward(stream)
        arguments: list[Any] = [core, spec, given][: min(3, len(parameters))]
        if "delay_ns" in parameters:
            arguments.append(spec.period_ns // 2)
        law(*arguments)


def catches(law: Callable[..., None], core: Core) -> bool:
    """Return whether a law fails for a core; blowing up is being caught too."""
    try:
        check(law, core)
    except (AssertionError, ArithmeticError, ValueError):
        return True
    return False


@pytest.mark.parametrize("name", LAWS)
def test_laws_hold_of_the_specification(name: str) -> None:
    check(LAWS[name], REFERENCE)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_broken_limiters_are_caught(mutant: Mutant) -> None:
    core = mutant.core()
    assert any(catches(law, core) for law in LAWS.values())


@pytest.mark.parametrize("name", LAWS)
def test_no_law_is_idle(name: str) -> None:
    # A law that no mutant can break says nothing.
    assert any(catches(LAWS[name], mutant.core()) for mutant in MUTANTS)
