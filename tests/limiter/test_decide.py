"""The limiter as a plain object: no scope, no server, time as an argument."""

from __future__ import annotations

import copy
import pickle
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from ratelimit import Decision, Limiter, Policy, Reason, UsageError
from ratelimit.clock import ManualClock
from ratelimit.events import NullObserver
from tests.asgi.driver import limit, rules

SECOND_NS = 10**9
START_NS = 1_700_000_000 * SECOND_NS


def limiter(*limits: str, **more: Any) -> Limiter:
    return Limiter(Policy.from_toml(rules(*limits, **more)), clock=ManualClock(START_NS))


def actions(subject: Limiter, count: int, **more: Any) -> list[str]:
    return [subject.decide(**more).action for _ in range(count)]


A: dict[str, Any] = {"identities": {"account": "a"}}


def test_decision_says_what_was_decided() -> None:
    subject = limiter(
        limit("tight", rate="2/minute"), limit("wide", rate="10/hour", algorithm="fixed-window")
    )
    first = subject.decide(**A)
    assert (first.allowed, first.action, first.reason) == (True, "allow", Reason.LIMITS)
    assert (first.limit, first.binding, first.retry_after_ns) == (None, None, 0)
    assert [verdict.remaining for verdict in first.verdicts] == [1, 9]
    subject.decide(**A)
    refused = subject.decide(**A)
    assert (refused.allowed, refused.action, refused.limit) == (False, "refuse", "tight")
    assert refused.retry_after_ns == 30 * SECOND_NS
    tight, wide = refused.verdicts
    assert (tight.allowed, tight.quota, tight.window_ns, tight.unit) == (False, 2, 60 * SECOND_NS, "requests")
    assert (wide.allowed, wide.retry_after_ns, wide.remaining) == (True, 0, 8)
    assert repr(refused) == "<Decision refuse by 'tight' (limits)>"


def test_binding_limit_is_found_behind_a_skipped_one() -> None:
    identities = 'other = { from = "header:x-other", missing = "skip" }'
    subject = limiter(
        limit("skipped", per="other"), limit("binds", per="ip", rate="1/minute"), identities=identities
    )
    subject.decide(client="192.0.2.1")
    refused = subject.decide(client="192.0.2.1")
    assert refused.limit == "binds"
    assert [verdict.limit for verdict in refused.verdicts] == ["binds"]


def test_decision_cannot_be_changed() -> None:
    decision = limiter(limit()).decide(**A)
    for name in ("allowed", "reason", "limit", "verdicts"):
        with pytest.raises(AttributeError):
            setattr(decision, name, None)
    with pytest.raises(AttributeError):
        decision.verdicts[0].remaining = 9  # type: ignore[misc]


def test_time_given_is_the_time_that_counts() -> None:
    subject = limiter(limit(rate="1/minute"))
    assert subject.decide(now_ns=START_NS, **A).allowed
    assert not subject.decide(now_ns=START_NS + 60 * SECOND_NS - 1, **A).allowed
    assert subject.decide(now_ns=START_NS + 60 * SECOND_NS, **A).allowed


def test_peek_charges_and_counts_nothing() -> None:
    subject = limiter(limit(rate="1/minute"))
    assert [subject.peek(**A).action for _ in range(3)] == ["allow"] * 3
    assert actions(subject, 2, **A) == ["allow", "refuse"]
    assert not subject.peek(**A).allowed


def test_facts_come_from_names_headers_client_and_state_alike() -> None:
    identities = 'account = { from = ["header:x-api-key", "state:account"] }'
    subject = limiter(limit(rate="4/minute"), identities=identities)
    ways: list[dict[str, Any]] = [
        A,
        {"identities": {"account": b"a"}},
        {"headers": {"X-API-Key": "a"}},
        {"headers": [(b"x-api-key", b"a")]},
        {"state": {"account": "a"}},
    ]
    assert [subject.decide(**way).action for way in ways] == ["allow"] * 4 + ["refuse"]


def test_address_among_the_identities_speaks_for_the_client() -> None:
    subject = limiter(limit("ip", per="ip", rate="2/minute"), limit("account", rate="2/minute"))
    for given in ({"identities": {"ip": "192.0.2.1"}}, {"client": "::ffff:192.0.2.1"}):
        assert subject.decide(**given).allowed  # type: ignore[arg-type]
    refused = subject.decide(identities={"ip": "192.0.2.1"})
    assert [verdict.allowed for verdict in refused.verdicts] == [False, False]


def test_key_confusion_is_impossible_by_construction() -> None:
    identities = 'x = { from = "header:x" }\ny = { from = "header:y" }'
    subject = limiter('name = "pair"\nper = ["x", "y"]\nrate = "1/minute"', identities=identities)
    pairs = [("a/b", "c"), ("a", "b/c"), ("a/b/", "c"), ("", "a/b/c"), ("ab", "c"), ("a", "bc"), ("c", "a/b")]
    assert [subject.decide(identities={"x": x, "y": y}, client="::1").action for x, y in pairs] == [
        "allow"
    ] * 7
    assert [subject.decide(identities={"x": x, "y": y}, client="::1").action for x, y in pairs] == [
        "refuse"
    ] * 7


@pytest.mark.parametrize(
    ("event", "expected"),
    [("request", ["any"]), ("connect", ["any", "handshakes"]), ("message", ["messages"])],
)
def test_events_meet_the_limits_that_are_on_them(event: Any, expected: list[str]) -> None:
    subject = limiter(
        limit("any"), limit("handshakes", unit="handshakes"), limit("messages", unit="messages")
    )
    assert [verdict.limit for verdict in subject.decide(event=event, **A).verdicts] == expected


def test_costs_known_on_arrival_replace_the_estimate() -> None:
    subject = limiter(limit("tokens", unit="tokens", rate="100/hour", cost=50, algorithm="fixed-window"))
    assert subject.decide(costs={"tokens": 90}, **A).verdicts[0].remaining == 10
    refused = subject.decide(**A)
    assert (refused.allowed, refused.verdicts[0].cost) == (False, 50)
    assert subject.decide(costs={"tokens": 10}, **A).allowed
    assert subject.decide(costs={"tokens": 0}, **A).allowed is True


def test_batch_counts_as_many_requests_as_it_says_and_never_more_than_fit() -> None:
    subject = limiter(limit(rate="10/minute"))
    assert subject.decide(costs={"requests": 8}, **A).allowed
    assert not subject.decide(costs={"requests": 3}, **A).allowed
    never = subject.decide(costs={"requests": 11}, **A)
    assert never.retry_after_ns is None
    assert subject.decide(costs={"requests": 2}, **A).allowed


@pytest.mark.parametrize("cost", [-1, 2**31, True, 1.5, float("nan"), float("inf"), "7", None])
def test_impossible_cost_is_rejected_before_anything_is_charged(cost: Any) -> None:
    """A cost that is negative, huge, infinite, NaN or no integer."""
    subject = limiter(limit(rate="1/minute"))
    with pytest.raises(UsageError) as caught:
        subject.decide(costs={"requests": cost}, **A)
    assert caught.value.code == "cost-range"
    assert actions(subject, 2, **A) == ["allow", "refuse"]


def test_names_the_policy_does_not_have_are_the_caller_s_error() -> None:
    subject = limiter(limit())
    with pytest.raises(UsageError, match="acount") as caught:
        subject.decide(identities={"acount": "a"})
    assert caught.value.code == "identity-unknown"
    with pytest.raises(UsageError, match="tokens") as caught:
        subject.decide(costs={"tokens": 1}, **A)
    assert caught.value.code == "unit-unknown"


@pytest.mark.parametrize(
    ("given", "allowed", "reason"),
    [
        ({"identities": {"account": "friend"}}, True, Reason.ALLOW_LIST),
        ({"identities": {"account": "foe"}}, False, Reason.DENY_LIST),
        ({"client": "203.0.113.5"}, False, Reason.DENY_LIST),
        ({"identities": {"ip": "203.0.113.5"}}, False, Reason.DENY_LIST),
        ({"client": "203.0.113.5", "identities": {"account": "friend"}}, True, Reason.ALLOW_LIST),
        ({"path": "/free", "client": "192.0.2.1"}, True, Reason.UNLIMITED),
        ({"client": "192.0.2.1"}, False, Reason.IDENTITY),
    ],
)
def test_reason_says_what_decided(given: dict[str, Any], allowed: bool, reason: Reason) -> None:
    lists = '[allow]\naccount = ["friend"]\n[deny]\naccount = ["foe"]\nip = ["203.0.113.0/24"]'
    identities = 'account = { from = "header:x-api-key", missing = "refuse" }'
    subject = limiter(limit(match="/v1/*"), identities=identities, more=lists)
    decision = subject.decide(**{"path": "/v1/x", **given})
    assert (decision.allowed, decision.reason) == (allowed, reason)
    assert decision.verdicts == ()
    decision.settle(tokens=1)
    decision.release()


def test_slot_is_held_until_the_block_ends() -> None:
    subject = limiter(limit(rate="", concurrent=1))
    with subject.decide(**A) as decision:
        assert decision.allowed
        assert not subject.decide(**A).allowed
    assert subject.decide(**A).allowed


def test_slot_is_given_back_once_however_often_it_is_released() -> None:
    subject = limiter(limit(rate="", concurrent=2))
    first, second = subject.decide(**A), subject.decide(**A)
    for _ in range(3):
        first.release()
    third = subject.decide(**A)
    assert (second.allowed, third.allowed, subject.decide(**A).allowed) == (True, True, False)
    with pytest.raises(ZeroDivisionError), second:
        raise ZeroDivisionError
    assert subject.decide(**A).allowed


def left(subject: Limiter) -> int:
    return subject.peek(costs={"tokens": 0}, **A).verdicts[0].remaining


def test_refused_decision_settles_nothing() -> None:
    subject = limiter(
        limit("tokens", unit="tokens", rate="100/hour", algorithm="fixed-window"),
        limit("gate", rate="1/hour"),
    )
    assert subject.decide(costs={"tokens": 40}, **A).allowed
    refused = subject.decide(costs={"tokens": 40}, **A)
    assert not refused.allowed
    refused.settle(tokens=100)
    assert left(subject) == 60


def test_settle_reaches_its_own_unit_only() -> None:
    subject = limiter(
        limit("tokens", unit="tokens", rate="100/hour", cost=10, algorithm="fixed-window"),
        limit("gate", rate="10/hour", algorithm="fixed-window"),
        limit("slots", rate="", concurrent=5),
    )
    decision = subject.decide(**A)
    decision.settle({"tokens": 70}, nonsense=4)
    decision.settle(requests=2)
    assert [verdict.remaining for verdict in subject.peek(costs={"tokens": 0}, **A).verdicts] == [30, 8, 4]


def test_batch_declared_afterwards_is_capped_at_debt_of_one_quota() -> None:
    subject = limiter(limit(rate="10/minute"))
    subject.decide(**A).settle(requests=2**31 - 1)
    refused = subject.decide(**A)
    assert refused.retry_after_ns is not None
    # Full burst spent and one quota of debt: 60 s to be even, 6 s for the next request.
    assert refused.retry_after_ns <= 66 * SECOND_NS


def test_tiers_share_the_counter_of_the_limit_they_vary() -> None:
    identities = (
        'account = { from = "header:x-api-key" }\nplan = { from = "header:x-plan", missing = "skip" }'
    )
    tiers = '[limit.tiers.plan.pro]\nrate = "3/hour"'
    subject = limiter(limit(rate="1/hour", algorithm="fixed-window") + "\n" + tiers, identities=identities)
    assert actions(subject, 2, **A) == ["allow", "refuse"]
    upgraded = {"identities": {"account": "a", "plan": "pro"}}
    assert actions(subject, 3, **upgraded) == ["allow", "allow", "refuse"]


def test_calendar_limit_follows_the_month_for_years_and_back() -> None:
    subject = limiter(limit(rate="2/month", algorithm="calendar:Europe/Berlin"))

    def at(*when: int) -> list[str]:
        now_ns = int(datetime(*when, tzinfo=UTC).timestamp()) * SECOND_NS  # type: ignore[arg-type]
        return actions(subject, 3, now_ns=now_ns, **A)

    allowed = ["allow", "allow", "refuse"]
    assert at(2023, 11, 30, 22, 59, 59) == allowed
    # Berlin is an hour ahead of UTC in winter: the month is over there.
    assert at(2023, 11, 30, 23, 0, 0) == allowed
    # Far beyond the windows that were listed in advance; Berlin is two hours ahead in summer.
    assert at(2031, 7, 15) == allowed
    assert at(2031, 7, 31, 21, 59, 59) == ["refuse"] * 3
    assert at(2031, 7, 31, 22) == allowed
    # And far before them, for a caller that has not been seen since.
    other = {"identities": {"account": "b"}}
    then_ns = int(datetime(2026, 3, 31, 21, 59, tzinfo=UTC).timestamp()) * SECOND_NS
    assert actions(subject, 3, now_ns=then_ns, **other) == allowed
    assert actions(subject, 3, now_ns=then_ns + 60 * SECOND_NS, **other) == allowed


def test_clock_steps_back_never_mint() -> None:
    subject = limiter(limit(rate="3/minute"), limit("day", rate="3/day", algorithm="fixed-window"))
    back = sum(subject.decide(now_ns=START_NS - step * 10 * SECOND_NS, **A).allowed for step in range(50))
    again = sum(subject.decide(now_ns=START_NS, **A).allowed for _ in range(50))
    assert back + again == 3


def test_threads_share_one_budget_exactly() -> None:
    subject = limiter(limit(rate="500/hour", algorithm="fixed-window"))
    admitted: list[int] = []

    def hammer() -> None:
        admitted.append(sum(subject.decide(**A).allowed for _ in range(200)))

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 500


def test_flood_of_paths_methods_and_keys_grows_no_cache() -> None:
    subject = limiter(limit(match="/users/{id}", rate="1/minute"))
    for number in range(9_000):
        subject.decide(method=f"M{number % 50}", path=f"/users/{number}", **A)
        subject.decide(path=f"/users/{number}", identities={"account": str(number)})
        subject.decide(path="/users/" + "x" * 300 + str(number), **A)
    assert subject.current.remembered() <= 4096


def test_policy_in_memory_has_no_file_to_reload() -> None:
    subject = limiter(limit())
    assert subject.reload_if_changed() is None
    with pytest.raises(UsageError) as caught:
        subject.reload()
    assert caught.value.code == "reload-no-file"


def test_limiter_closes_only_the_store_it_opened() -> None:
    mine = limiter(limit())
    other = Limiter(mine.policy, store=mine.store, clock=mine.clock)
    other.close()
    assert mine.decide(**A).allowed
    mine.close()
    with pytest.raises(ValueError, match="closed"):
        mine.decide(**A)


def test_public_names_are_those_promised() -> None:
    import ratelimit

    for name in ("RateLimitMiddleware", "Limiter", "Policy", "Decision"):
        assert name in ratelimit.__all__
    assert all(hasattr(ratelimit, name) for name in ratelimit.__all__)
    assert isinstance(limiter(limit()).decide(**A), Decision)


def test_identity_that_is_given_by_name_is_not_missed_in_the_state() -> None:
    said: list[str] = []

    class Watching(NullObserver):
        def diagnosed(self, code: str, message: str) -> None:
            said.append(code)

    policy = Policy.from_toml(rules(limit(), identities='account = { from = "state:account" }'))
    subject = Limiter(policy, clock=ManualClock(), observer=Watching())
    for number in range(50):
        subject.decide(identities={"account": f"{number}"}, client="192.0.2.1")
    assert said == []
    subject.close()


def test_decision_that_charged_nothing_can_be_copied_and_sent() -> None:
    made = Decision(True, Reason.UNLIMITED, None, 7, 2, None, 5)
    for again in (copy.copy(made), pickle.loads(pickle.dumps(made))):
        assert type(again) is Decision
        assert (again.allowed, again.reason, again.waited_ns) == (True, Reason.UNLIMITED, 5)
        assert (again.cluster, again.verdict, again.verdicts, again.binding) == (
            made.cluster,
            "certain",
            (),
            None,
        )
    assert not hasattr(made, "__dict__")
    with pytest.raises(AttributeError):
        made.allowed = False  # type: ignore[misc]
    with pytest.raises(AttributeError):
        made._allowed = False  # type: ignore[misc]
