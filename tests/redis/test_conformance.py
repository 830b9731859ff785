"""One table of laws for both stores: what holds of the host's table holds of the script in a server.

The server counts in whole microseconds, so time moves in those here. Answers are compared to
the nanosecond: what a word means is worked out by the same functions in both stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis
from redis.exceptions import ResponseError

from ratelimit.algorithms import ALGORITHMS
from ratelimit.stores.redis.decision.script import assembled, rule_texts, spread
from tests.parity.test_calendar import requests, windows
from tests.parity.test_extremes import EDGE_PERIODS, LARGEST_COST, YEAR, extreme_specs
from tests.parity.test_wide import WIDE, agree_near_the_end
from tests.properties.test_distinct import START, members
from tests.support.cores import COMPILED, REFERENCE, Core, Limiter, reading
from tests.support.laws import admission, clocks, corrections, costs
from tests.support.machine import Decisions
from tests.support.redis.binary import Binary
from tests.support.redis.core import ScriptCore
from tests.support.redis.server import Server
from tests.support.rule import DAY, HOUR, MINUTE, RuleSpec
from tests.support.streams import COUNTING, OF_UNITS, PERIODS, Stream, specs, streams, walk

Judge = Callable[[Core, st.DataObject], None]
GRAIN = 1_000
PROFILE = settings().max_examples
FEW = settings(max_examples=PROFILE // 5)
SOME = settings(max_examples=PROFILE // 2)


@pytest.fixture(scope="module")
def script(binary: Binary) -> Iterator[ScriptCore]:
    """Return the script in a server of this module's own."""
    server = Server(binary)
    server.start()
    client = Redis.from_url(server.url)
    try:
        yield ScriptCore(client)
    finally:
        client.close()
        server.stop()


def of_streams(law: Callable[[Core, RuleSpec, Stream], None], *, backwards: bool = False) -> Judge:
    """Return a law about a rule and a stream of requests."""

    def judge(core: Core, data: st.DataObject) -> None:
        law(core, *data.draw(streams(backwards=backwards)))

    return judge


def of_rules(law: Callable[[Core, RuleSpec], None]) -> Judge:
    """Return a law about a rule."""

    def judge(core: Core, data: st.DataObject) -> None:
        law(core, data.draw(specs()))

    return judge


def late_undo(core: Core, data: st.DataObject) -> None:
    """Judge refunds that come late."""
    delay_ns = data.draw(st.one_of(st.sampled_from([0, GRAIN, *PERIODS]), st.integers(0, 3 * max(PERIODS))))
    corrections.late_undo_never_mints(core, *data.draw(streams()), delay_ns)


LAWS: dict[str, Judge] = {
    "never more than the bound": of_streams(admission.keeps_bound),
    "admitted if and only if there is room": of_streams(admission.admits_exactly),
    "the bound is reached": of_rules(admission.reaches_bound),
    "waits are exact": of_streams(admission.wait_is_exact),
    "remaining is exact": of_streams(admission.remaining_is_exact),
    "reset is exact": of_streams(admission.reset_is_exact),
    "nothing is saved up": of_streams(admission.idle_is_fresh),
    "keys are apart": of_streams(admission.keys_are_apart),
    "steps back mint nothing": of_streams(clocks.steps_back_never_mint, backwards=True),
    "steps back refill nothing": of_rules(clocks.step_back_refills_nothing),
    "deep steps lock nobody out": of_rules(clocks.deep_step_back_locks_out_no_longer_than_a_window),
    "swings mint nothing": of_rules(clocks.shallow_swing_mints_nothing),
    "splitting gains nothing": of_streams(costs.splitting_never_gains),
    "peeks change nothing": of_streams(costs.peeks_change_nothing),
    "zero costs change nothing": of_streams(costs.zero_costs_change_nothing),
    "refusals charge nothing": of_streams(costs.refusals_charge_nothing),
    "charges are exact": of_streams(costs.charges_are_exact),
    "settling less": of_streams(corrections.settling_less_is_charging_less),
    "settling more": of_streams(corrections.settling_more_is_charging_more),
    "settling repeats nothing": of_streams(corrections.settling_repeats_nothing),
    "refusals settle nothing": of_rules(corrections.refusals_have_nothing_to_settle),
    "undo restores": of_streams(corrections.undo_restores),
    "soon undone is undone": of_rules(corrections.soon_undone_is_undone_whole),
    "late undo mints nothing": late_undo,
    "debt is bounded": of_rules(corrections.debt_is_bounded),
    "the last report stands": of_streams(corrections.the_last_report_stands),
    "what was forgiven is not given back": of_streams(corrections.what_was_forgiven_is_not_given_back),
    "reports at any time mint nothing": of_streams(corrections.reports_at_any_time_never_mint),
    "late overruns count": of_rules(corrections.a_late_overrun_is_charged),
    "costs known afterwards bind": of_streams(corrections.unestimated_costs_bind),
}


@pytest.mark.parametrize("law", LAWS)
@FEW
@given(data=st.data())
def test_law_holds_in_redis(script: ScriptCore, law: str, data: st.DataObject) -> None:
    LAWS[law](script, data)


@pytest.mark.parametrize("law", LAWS)
@FEW
@given(data=st.data())
def test_law_holds_in_this_host(law: str, data: st.DataObject) -> None:
    LAWS[law](COMPILED, data)


@pytest.mark.parametrize("backwards", [False, True], ids=["forward", "backwards"])
@pytest.mark.parametrize("algorithm", OF_UNITS)
@SOME
@given(data=st.data())
def test_streams_are_answered_as_specified(
    script: ScriptCore, algorithm: str, backwards: bool, data: st.DataObject
) -> None:
    spec, stream = data.draw(streams(algorithm, backwards=backwards))
    specified = walk(Limiter(REFERENCE, spec, grain_ns=GRAIN), stream)
    for (now_ns, cost, expected), (_, _, found) in zip(
        specified, walk(Limiter(script, spec), stream), strict=True
    ):
        assert reading(found) == reading(expected), (now_ns, cost)


def test_whole_decisions_in_any_order_are_the_embedded_ones(script: ScriptCore) -> None:
    # Several limits, shadow and partial enforcement, corrections, reloads with other numbers.
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        partial(Decisions, (COMPILED, script)), settings=settings(SOME, stateful_step_count=30)
    )


@pytest.mark.parametrize("algorithm", COUNTING)
@SOME
@given(data=st.data())
def test_largest_and_smallest_numbers_lose_nothing(
    script: ScriptCore, algorithm: str, data: st.DataObject
) -> None:
    # Among them products past 2^53, and a unit a year.
    rare = [RuleSpec("token-bucket", 1, 366 * DAY), RuleSpec("token-bucket", 10**9, DAY)]
    spec = data.draw(
        st.sampled_from(extreme_specs(algorithm) + (rare if algorithm == "token-bucket" else []))
    )
    edge_costs = [0, 1, spec.quota // 2, spec.quota - 1, spec.quota, spec.quota + 1, LARGEST_COST]
    amounts = st.sampled_from([cost for cost in edge_costs if 0 <= cost <= LARGEST_COST])
    period = spec.period_ns
    gaps = [0, 1, period // 3, period // 2 + 1, period - 1, period, period + 1, YEAR, 13 * YEAR]
    times = st.sampled_from([gap // GRAIN * GRAIN for gap in gaps] + [GRAIN])
    specified, found_by = Limiter(COMPILED, spec, grain_ns=GRAIN), Limiter(script, spec)
    for _ in range(data.draw(st.integers(1, 12))):
        now_ns, cost = specified.start_ns + data.draw(times), data.draw(amounts)
        expected, found = specified.ask(now_ns, cost), found_by.ask(now_ns, cost)
        assert reading(found) == reading(expected), (now_ns, cost)
        if data.draw(st.booleans()):
            actual = data.draw(amounts)
            assert found.settle_rule(0, actual, now_ns) == expected.settle_rule(0, actual, now_ns)


@pytest.mark.parametrize("period_ns", EDGE_PERIODS)
def test_sliding_counts_past_what_a_double_holds_are_exact(script: ScriptCore, period_ns: int) -> None:
    largest = next(spec for spec in reversed(extreme_specs("sliding-window")) if spec.period_ns == period_ns)
    spec = RuleSpec("sliding-window", min(largest.quota - 3, 2**38 - 3), period_ns)
    scale = spec.quota // LARGEST_COST + 1  # so that what is left is one charge
    specified, found_by = Limiter(REFERENCE, spec, grain_ns=GRAIN), Limiter(script, spec)
    edge_ns = specified.start_ns // period_ns * period_ns + 3 * period_ns
    for limiter in (specified, found_by):
        for first in range(0, spec.quota, LARGEST_COST):
            assert limiter.ask(edge_ns - GRAIN, min(LARGEST_COST, spec.quota - first)).allowed
    for part in range(1, 40):
        now_ns = edge_ns + period_ns * part // (40 * scale) // GRAIN * GRAIN
        for cost in (spec.quota * part // (40 * scale) + delta for delta in (-1, 0, 1)):
            expected, found = specified.peek(now_ns, cost), found_by.peek(now_ns, cost)
            assert reading(found) == reading(expected), (part, cost)


@pytest.mark.parametrize("algorithm", WIDE)
@FEW
@given(data=st.data())
def test_counts_past_two_to_the_36_are_exact(script: ScriptCore, algorithm: str, data: st.DataObject) -> None:
    agree_near_the_end(COMPILED, script, algorithm, data)


@FEW
@given(case=requests(), in_order=st.booleans())
def test_calendar_windows_are_as_specified(script: ScriptCore, case: Any, in_order: bool) -> None:
    calendar, asked = case
    spec = windows(calendar)
    specified, found_by = Limiter(REFERENCE, spec, grain_ns=GRAIN), Limiter(script, spec)
    for now_ns, cost in sorted(asked) if in_order else asked:
        at_ns = max(specified.after(now_ns), specified.start_ns)
        if at_ns >= calendar[-1]:
            continue
        expected, found = specified.ask(at_ns, cost), found_by.ask(at_ns, cost)
        assert reading(found) == reading(expected), (now_ns, cost)


@SOME
@given(
    quota=st.integers(1, 40),
    moves=st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from(["ask", "ask", "ask", "peek", "undo", "hour"])),
        max_size=60,
    ),
)
def test_distinct_counts_are_the_embedded_ones(
    script: ScriptCore, quota: int, moves: list[tuple[int, str]]
) -> None:
    # The same bit stands for the same member, so even the errors are the same.
    spec = RuleSpec("distinct", quota, HOUR)
    pair = [Limiter(COMPILED, spec), Limiter(script, spec)]
    known = members(61, 9)
    now_ns = START
    for number, move in moves:
        if move == "hour":
            now_ns += HOUR // 3
            continue
        if move == "peek":
            found = [limiter.peek(now_ns, member=known[number]) for limiter in pair]
        else:
            found = [limiter.ask(now_ns, member=known[number]) for limiter in pair]
        assert reading(found[0]) == reading(found[1])
        if move == "undo":
            for outcome in found:
                outcome.undo(now_ns)


@SOME
@given(
    quota=st.integers(1, 5),
    moves=st.lists(
        st.tuples(st.sampled_from(["take", "take", "release", "undo", "settle", "wait"]), st.integers(0, 9)),
        max_size=40,
    ),
)
def test_slots_in_flight_are_as_specified(
    script: ScriptCore, quota: int, moves: list[tuple[str, int]]
) -> None:
    spec = RuleSpec("concurrency", quota)
    pair = [Limiter(REFERENCE, spec, grain_ns=GRAIN), Limiter(script, spec)]
    now_ns = pair[0].start_ns
    held: list[list[Any]] = []
    for move, which in moves:
        if move == "wait":  # the workers live, and say so
            now_ns += which * spec.lease_ns // 10
            for limiter in pair:
                limiter.table.heartbeat(now_ns)
        elif move == "take":
            found = [limiter.ask(now_ns) for limiter in pair]
            assert reading(found[0]) == reading(found[1])
            if found[0].allowed:
                held.append(found)
        elif held:
            for outcome in held.pop(which % len(held)):
                if move == "settle":
                    outcome.settle_rule(0, 0, now_ns)
                else:
                    (outcome.release if move == "release" else outcome.undo)(now_ns)
                outcome.release(now_ns)
        assert pair[1].peek(now_ns).remaining(0) == quota - len(held)


def test_slots_of_a_holder_that_is_silent_return_within_the_lease(script: ScriptCore) -> None:
    limiter = Limiter(script, RuleSpec("concurrency", 2, lease_ns=MINUTE))
    now_ns = limiter.start_ns
    silent, lively = limiter.ask(now_ns), limiter.ask(now_ns)
    assert not limiter.ask(now_ns).allowed
    lively.renew(now_ns + MINUTE // 2)
    assert not limiter.ask(now_ns + MINUTE - GRAIN).allowed
    late = limiter.ask(now_ns + MINUTE)
    assert late.allowed
    assert not limiter.ask(now_ns + MINUTE).allowed
    # What has lapsed is another holder's now: neither renewed nor given back.
    silent.renew(now_ns + MINUTE)
    silent.release(now_ns + MINUTE)
    assert not limiter.ask(now_ns + MINUTE).allowed


def test_refusal_by_one_limit_takes_no_slot_and_counts_no_member(script: ScriptCore) -> None:
    rules = [
        RuleSpec("concurrency", 5, salt=1),
        RuleSpec("distinct", 5, HOUR, salt=2),
        RuleSpec("sliding-log", 5, HOUR, salt=3),
        RuleSpec("fixed-window", 1, HOUR, salt=4),
    ]
    plan = script.plan(script.table(START), rules, [[0]] * 4, [-1, 1, -1, -1])
    assert plan.decide([1, 10], START).allowed
    for member in range(20, 25):
        assert not plan.decide([1, member], START).allowed
    found = plan.peek([1, 30], START)
    assert [found.remaining(index) for index in range(4)] == [4, 4, 4, 0]


def test_script_without_an_algorithm_refuses_it_by_number(script: ScriptCore) -> None:
    # Whatever asks it: it never counts by the rule of another.
    plan = script.plan(script.table(START), [RuleSpec("sliding-window", 5, HOUR)], [[0]])
    number = ALGORITHMS["sliding-window"].kind
    older = assembled([record for record in ALGORITHMS.values() if record.kind != number])
    keys: dict[bytes, int] = {}
    items: list[int] = []
    plan.rules.ask([1], None, True, 0, keys, items, plan)
    payload = spread([START // 1000, 1, 1]) + rule_texts(plan.rules.describe(START)) + spread(items)
    with pytest.raises(ResponseError, match=f"no algorithm {number}"):
        script.client.eval(older, len(keys), *keys, payload)
    assert not script.client.exists(*keys)


def test_names_of_keys_stay_when_only_numbers_change(script: ScriptCore) -> None:
    table = script.table(START)
    for algorithm in COUNTING:
        spec = RuleSpec(algorithm, 10, MINUTE, 10 if algorithm == "token-bucket" else None)
        assert script.plan(table, [spec], [[0]]).decide([1], START, None).allowed
    names = sorted(script.client.keys(table.prefix + b"*"))
    for algorithm in COUNTING:
        burst = 4 if algorithm == "token-bucket" else None
        fewer = script.plan(table, [RuleSpec(algorithm, 4, MINUTE, burst)], [[0]])
        assert fewer.decide([1], START, None).remaining(0) == 2, algorithm
    assert sorted(script.client.keys(table.prefix + b"*")) == names
