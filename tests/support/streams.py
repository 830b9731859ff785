"""Hypothesis strategies: rules, and streams of requests that seek out their edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from hypothesis import strategies as st

from ratelimit.algorithms import ALGORITHMS
from tests.support.cores import Limiter
from tests.support.rule import DAY, MINUTE, SECOND, RuleSpec

Gap = int | Literal["until allowed", "just before"]
COUNTING = tuple(
    name for name, record in ALGORITHMS.items() if record.counts == "units" and record.comes_back
)
"""The algorithms that count units over time."""


def written(algorithm: str, burst: int) -> str:
    """Return an algorithm as a policy writes it; `burst` counts where it carries over."""
    if algorithm == "carried-window":
        return f'algorithm = "fixed-window"\nburst = {burst}'
    return f'algorithm = "{algorithm}"'


OF_UNITS = (*COUNTING, "lifetime")
"""Those, and the one that counts them for ever."""

PERIODS = (SECOND, 7 * SECOND, MINUTE, 3601 * SECOND, 31 * DAY)


class Step(NamedTuple):
    """Time passes (an amount, or as long as the last refusal said), then a request costs something."""

    gap: Gap
    cost: int


Stream = Sequence[Step]


@st.composite
def specs(draw: st.DrawFn, algorithm: str | None = None) -> RuleSpec:
    """Draw a rule with small numbers, where the edges lie close together."""
    chosen = algorithm or draw(st.sampled_from(COUNTING))
    quota = draw(st.one_of(st.integers(1, 6), st.integers(1, 60)))
    period_ns = draw(st.sampled_from(PERIODS))
    burst = draw(bursts(chosen, quota))
    debt = draw(st.one_of(st.none(), st.integers(0, 30)))
    return RuleSpec(chosen, quota, period_ns, burst, debt=debt)


def bursts(algorithm: str, quota: int) -> st.SearchStrategy[int | None]:
    """Draw a burst for an algorithm that has one of its own."""
    if algorithm == "carried-window":
        return st.integers(quota, 2 * quota)
    return st.integers(1, 12) if algorithm == "token-bucket" else st.none()


def gaps(spec: RuleSpec, *, backwards: bool = False) -> st.SearchStrategy[Gap]:
    """Draw times that lie at, around and far from the rule's edges."""
    period = spec.period_ns
    unit = max(1, period // spec.quota)
    edges = [0, 1, unit - 1, unit, unit + 1, period // 2, period - 1, period, period + 1, 2 * period]
    forward: list[st.SearchStrategy[Gap]] = [
        st.just(0),
        st.sampled_from(edges),
        st.integers(0, 3 * period),
        st.sampled_from(["until allowed", "just before"]),
    ]
    if backwards:
        deep = [
            10 * (MINUTE + period),
            -5 * period,
            -MINUTE,
            -MINUTE - 1,
            -MINUTE - period,
            -MINUTE - 2 * period,
        ]
        forward.append(st.sampled_from([-edge for edge in edges[1:]] + deep))
    return st.one_of(forward)


def costs(spec: RuleSpec) -> st.SearchStrategy[int]:
    """Draw costs: mostly one, also none, all, and more than ever fits."""
    return st.one_of(st.just(1), st.integers(0, spec.most + 1), st.sampled_from([0, spec.most]))


@st.composite
def streams(
    draw: st.DrawFn, algorithm: str | None = None, *, backwards: bool = False
) -> tuple[RuleSpec, Stream]:
    """Draw a rule and a stream of requests for it."""
    spec = draw(specs(algorithm))
    steps = st.builds(Step, gaps(spec, backwards=backwards), costs(spec))
    return spec, draw(st.lists(steps, min_size=1, max_size=30))


def walk(
    limiter: Limiter, stream: Stream, start_ns: int | None = None, reach_ns: int | None = None
) -> Iterator[tuple[int, int, Any]]:
    """Ask a limiter for a stream; yield (now, cost, outcome) after each request.

    With `reach_ns` the clock never steps back further than that before its latest reading.
    """
    start_ns = limiter.start_ns if start_ns is None else start_ns
    grain_ns = limiter.grain_ns
    now_ns, wait_ns, latest_ns = start_ns, 0, start_ns
    for gap, cost in stream:
        if gap == "until allowed":
            now_ns += limiter.after(wait_ns)
        elif gap == "just before":
            now_ns += max(0, limiter.after(wait_ns) - grain_ns)
        else:
            now_ns = max(start_ns, (now_ns + int(gap)) // grain_ns * grain_ns)
        if reach_ns is not None:
            now_ns = max(now_ns, limiter.after(latest_ns - reach_ns))
        latest_ns = max(latest_ns, now_ns)
        outcome = limiter.ask(now_ns, cost)
        wait_ns = max(0, outcome.retry_after_ns(0))
        yield now_ns, cost, outcome
