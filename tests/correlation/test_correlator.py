"""The correlator: when it looks for clusters, their names, and the operator's overrides on their members."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.core.clusters.overrides import Overrides
from ratelimit.correlation import Correlator
from ratelimit.correlation.classification import Verdict
from tests.correlation.sights import (
    HOUR_S,
    NS,
    START_S,
    clusters,
    correlator,
    exit_of,
    key_of,
    keys_of,
    later,
    mixed,
    rebuild,
    row,
    show,
)

HOURS = 16
KNOWN_S = START_S + HOURS * HOUR_S
BAD = keys_of(f"bad-{number}" for number in range(100))


def grown(edges: int) -> Correlator:
    """Return a correlator of a hundred principals, rebuilt at the start, with new edges since."""
    one = correlator()
    for number in range(100):
        one.observe(row(number, payment=number), START_S * NS)
    rebuild(one, START_S)
    for number in range(edges):
        one.observe(row(number % 100, address=f"10.0.{number // 250}.{number % 250}"), START_S * NS)
    return one


@pytest.mark.parametrize(
    ("edges", "after_s", "is_due"),
    [
        # Nothing new: never.
        (0, 10**6, False),
        # Anything new: after an hour.
        (1, 3599, False),
        (1, 3600, True),
        # An edge for eight principals: after a minute.
        (11, 60, False),
        (12, 59, False),
        (12, 60, True),
        # Time that steps back is no time.
        (12, -60, False),
    ],
)
def test_when_a_rebuild_is_due(edges: int, after_s: int, is_due: bool) -> None:
    assert grown(edges).is_due((START_S + after_s) * NS) == is_due


def test_a_rebuild_is_due_when_accounts_came_back() -> None:
    one = grown(0)
    one.observe(row(1, payment=1), (START_S + 2 * HOUR_S) * NS)
    assert one.is_due((START_S + 2 * HOUR_S) * NS)


def test_a_rebuild_is_not_due_twice() -> None:
    one = grown(25)
    rebuild(one, START_S + 60)
    assert not one.is_due((START_S + 120) * NS)
    assert one.rebuilds == 2


def settled(seed: int = 1) -> Correlator:
    """Return a correlator that has found the actor among people."""
    one = correlator()
    show(one, mixed(seed, honest=200, hours=HOURS))
    rebuild(one, KNOWN_S)
    assert clusters(one) == [BAD]
    return one


@pytest.mark.parametrize(("account", "is_early"), [("bad-{}", False), ("honest-{}", True)])
def test_what_certain_members_do_makes_no_rebuild_due_early(account: str, is_early: bool) -> None:
    one = settled()
    for number in range(200):
        seen = row(account.format(number % 100), address=f"77.0.{number // 250}.{number % 250}")
        one.observe(seen, KNOWN_S * NS)
    assert one.is_due((KNOWN_S + 60) * NS) == is_early
    assert one.is_due((KNOWN_S + HOUR_S) * NS)


# -- names --------------------------------------------------------------------------------------------


def test_a_cluster_keeps_its_name_over_rebuilds() -> None:
    one = settled()
    names = {one.cluster(row("bad-1"))}
    for day in range(1, 4):
        show(one, later(mixed(day, honest=200, hours=HOURS), 24 * HOUR_S * day))
        names |= {one.identities[label] for label in one.members()}
    assert one.rebuilds > 5
    assert len(names) == 1
    assert -1 not in names


def test_names_follow_from_what_was_seen() -> None:
    first, second = settled(), settled()
    assert first.identities == second.identities
    assert settled(2).identities != first.identities


def test_a_name_is_never_what_stands_for_none() -> None:
    one = correlator()
    for number in range(10_000):
        one._rebuilt_ns = number * 997
        assert 0 < one._name_at(number % 4096) < 2**64 - 1


def test_names_of_one_rebuild_are_different() -> None:
    one = correlator()
    assert len({one._name_at(number) for number in range(4097)}) == 4097


# -- what the operator says ---------------------------------------------------------------------------


def told(one: Correlator, at_s: float, **said: Any) -> Correlator:
    """Tell a correlator what the operator says, by names of accounts, and rebuild twice."""

    def keys(value: Any) -> Any:
        return key_of(value) if isinstance(value, str) else [keys(one) for one in value]

    ruled = {name: keys(value) for name, value in said.items()}
    ruled |= {name: dict.fromkeys(ruled[name], 0) for name in ("confirm", "clear") if name in ruled}
    one.know(Overrides(**ruled))
    assert one.is_due(int(at_s * NS))
    rebuild(one, at_s)
    rebuild(one, at_s + 60)
    return one


def test_an_exempt_account_is_in_no_cluster() -> None:
    one = told(settled(), KNOWN_S, exempt=["bad-1"])
    assert clusters(one) == [BAD - {key_of("bad-1")}]
    one.observe(row("bad-1", address=exit_of(9), payment="bad card 9"), (KNOWN_S + 99) * NS)
    assert one.cluster(row("bad-1")) == -1


def test_accounts_told_together_are_certain_whatever_the_evidence() -> None:
    one = told(settled(), KNOWN_S, together=[["honest-1", "honest-2"]])
    assert sorted(map(len, clusters(one))) == [2, 100]
    assert one.cluster(row("honest-1")) == one.cluster(row("honest-2")) != -1
    assert one.core.verdict_of(key_of("honest-1")) == Verdict.CERTAIN
    # And with the actor that one of them is in.
    one = told(one, KNOWN_S + 300, together=[["honest-1", "bad-1"]])
    assert one.cluster(row("honest-1")) == one.cluster(row("bad-2")) != -1
    assert one.cluster(row("honest-2")) == -1


def test_accounts_told_apart_are_never_in_one_cluster() -> None:
    one = told(settled(), KNOWN_S, apart=[["bad-1", "bad-2"]])
    assert (one.cluster(row("bad-1")) == -1) + (one.cluster(row("bad-2")) == -1) == 1
    assert len(clusters(one)[0]) == 99


def test_a_cleared_actor_has_no_verdict_until_that_is_taken_back() -> None:
    one = told(settled(), KNOWN_S, clear=["bad-1"])
    assert {one.core.verdict_of(key) for key in BAD} == {Verdict.NONE}
    assert clusters(one) == [BAD]  # it is still seen together
    # A newcomer to it as well.
    one.observe(row("new", address=exit_of(3), payment="bad card 3", created_s=KNOWN_S), (KNOWN_S + 99) * NS)
    assert one.core.verdict_of(key_of("new")) == Verdict.NONE
    one = told(one, KNOWN_S + 300)
    assert {one.core.verdict_of(key) for key in BAD} == {Verdict.CERTAIN}


def test_a_confirmed_actor_is_certain_as_far_as_its_members_belong() -> None:
    one = correlator(exits=2000.0)
    show(one, mixed(1, honest=200, hours=HOURS))
    rebuild(one, KNOWN_S)
    assert {one.core.verdict_of(key) for key in BAD} == {Verdict.LIKELY}
    told(one, KNOWN_S, confirm=["bad-1"])
    assert {one.core.verdict_of(key) for key in BAD} == {Verdict.CERTAIN}
    assert one.core.verdict_of(key_of("honest-1")) == Verdict.NONE


# -- explaining ---------------------------------------------------------------------------------------


def test_an_account_that_was_never_seen_has_nothing_to_explain() -> None:
    assert settled().explain(key_of("never seen")) is None


def test_an_account_in_no_cluster_is_told_why() -> None:
    said = settled().explain(key_of("honest-1"))
    assert said is not None
    assert said.verdict == Verdict.NONE
