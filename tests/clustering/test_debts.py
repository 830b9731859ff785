"""Use of accounts before they were recognised: it reaches the budgets of their clusters."""

from __future__ import annotations

import pytest

from ratelimit.core.sharing.bundle import Bundle, unpack
from ratelimit.core.sharing.ring import Ring
from tests.support.acting import BOTS, END_NS, NS, PEOPLE, START_NS, Actor, caught
from tests.support.boards import COLUMNS, board, correlator, row
from tests.support.campaign import Request
from tests.support.charging import Noted
from tests.support.rule import EPOCH

AT_S = (END_NS - START_NS) / NS
OTHER = """
[[limit]]
name = "login"
match = "/login"
per = "account"
rate = "1000/minute"
"""


def noted_by(actor: Actor) -> Noted:
    """Return what is charged from now on; what is seen waits until the test ticks, as beside a thread.

    A stranger pays with the campaign's method, so that it is not enough for being its member.
    """
    actor.decide(Request(AT_S, "stranger", "stolen1", "", "198.51.100.7"))
    actor.tick()
    clustering, noted = actor.limiter.clustering, Noted()
    assert clustering is not None
    assert clustering._leader is not None
    clustering.is_kept_up = True
    clustering._leader._budgets = clustering._budgets = lambda: noted  # type: ignore[assignment,return-value]
    return noted


def late(actor: Actor, requests: int, account: str = "bot999") -> list[bool]:
    """Return whether requests of an account of the campaign, all within a second, are admitted."""
    return [
        actor.decide(Request(AT_S + number / 1000, account, "stolen1", "farm/1.0", "45.0.48.10")).allowed
        for number in range(requests)
    ]


def rest(actor: Actor) -> None:
    for seconds in (2, 4):
        actor.rest_until(END_NS + seconds * NS)


def test_all_that_was_decided_before_it_was_seen_is_charged() -> None:
    """Hazard: an account that fires all it may at once, and is given up, is never charged."""
    actor = caught()
    rest(actor)
    noted = noted_by(actor)
    assert late(actor, 40) == [True] * 40
    rest(actor)
    assert actor.cluster("bot999") == actor.cluster("bot1") != -1
    assert noted.charged == [(actor.cluster("bot999"), 40)]


def test_what_is_asked_as_a_member_is_not_charged_again() -> None:
    actor = caught()
    rest(actor)
    noted = noted_by(actor)
    late(actor, 3)
    actor.tick()
    late(actor, 5)
    rest(actor)
    assert sum(requests for _, requests in noted.charged) == 3


def test_what_no_limit_per_cluster_applies_to_is_not_charged() -> None:
    actor = caught(more=OTHER)
    rest(actor)
    noted = noted_by(actor)
    headers = Request(AT_S, "bot999", "stolen1", "farm/1.0", "").headers
    for _ in range(5):
        assert actor.limiter.decide(path="/login", headers=headers, client="45.0.48.10").allowed
    late(actor, 2)
    rest(actor)
    assert actor.cluster("bot999") != -1
    assert sum(requests for _, requests in noted.charged) == 2


def test_people_are_charged_nothing() -> None:
    actor = caught()
    rest(actor)
    noted = noted_by(actor)
    for person in PEOPLE[:50]:
        actor.decide(Request(AT_S, person, "", "", "192.0.2.1"))
    rest(actor)
    assert actor.clusters(BOTS) != {-1}
    assert noted.charged == []


def test_whoever_ends_charges_what_is_owed() -> None:
    actor = caught()
    rest(actor)
    noted = noted_by(actor)
    late(actor, 7)
    assert actor.limiter.clustering is not None
    actor.limiter.clustering.resign(actor.clock.now_ns())
    assert [requests for _, requests in noted.charged] == [7]


@pytest.mark.parametrize("by_hosts", [False, True])
def test_how_a_request_was_decided_is_passed_on(by_hosts: bool) -> None:
    ring, subject = Ring(board(), COLUMNS), correlator()
    for free in (True, False, True, False, True):
        assert ring.put(row(1), EPOCH, free)
    if by_hosts:
        bundle = Bundle(8)
        assert bundle.drain(ring, 100, EPOCH) == 5
        assert unpack(bundle.pack(), subject.core, EPOCH // NS) == 5
    else:
        assert ring.drain(subject.core, 100, EPOCH) == 5
    label = subject.core.open_label()
    subject.core.name(label, 12345)
    key = COLUMNS.key_of(row(1))
    assert key is not None
    assert subject.core.assign(key, label)
    assert ring.put(row(1), EPOCH, False)
    assert ring.drain(subject.core, 100, EPOCH) == 1
    assert subject.core.debts() == [(12345, 3)]
