"""A payment method that is an actor's own names the actor of an account that was never seen before."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from tests.support.acting import END_NS, NS, START_NS, Actor, caught
from tests.support.campaign import Request, policy_text
from tests.support.time import HostClock

KEY = '[hashing]\nkey = "000102030405060708090a0b0c0d0e0f"\n'
AT_S = (END_NS - START_NS) / NS
CARD, EXIT = "stolen1", "45.0.48.10"


def first(account: str, payment: str = CARD, address: str = EXIT) -> Request:
    return Request(AT_S, account, payment, "farm/1.0", address)


def unwatched(actor: Actor) -> None:
    """Let nothing be taken in before the test ticks, as beside a thread that is behind."""
    assert actor.limiter.clustering is not None
    actor.limiter.clustering.is_kept_up = True


def test_account_that_fires_all_at_once_and_is_given_up_is_bound_from_its_first_request() -> None:
    """Hazard: an account that is used once, and then given up, is a free request."""
    actor = caught(budget="5/day")
    unwatched(actor)
    decisions = [actor.decide(first(f"fresh{number}")) for number in range(200)]
    assert sum(decision.allowed for decision in decisions) == 0
    assert {decision.verdict for decision in decisions} == {"certain"}


@pytest.mark.parametrize("payment", ["", "a card of one's own"])
def test_account_with_another_method_has_no_actor(payment: str) -> None:
    actor = caught(budget="5/day")
    unwatched(actor)
    assert actor.decide(first("fresh", payment)).allowed


def test_one_account_that_is_no_certain_member_ends_it_at_once() -> None:
    """Hazard: an honest account on a method of an actor's, and all after it, are taken for the actor."""
    actor = caught(budget="5/day")
    actor.decide(first("stranger", address="198.51.100.7"))
    actor.tick()  # not a rebuild: it is seen, and is no member
    unwatched(actor)
    assert actor.cluster("stranger") == -1
    assert actor.decide(first("fresh")).allowed


def test_method_of_an_actor_that_was_cleared_names_no_actor() -> None:
    actor = caught(budget="5/day", more='[correlation.known]\nclear = ["bot1"]')
    unwatched(actor)
    assert actor.decide(first("fresh")).allowed


def test_method_of_two_certain_members_is_not_enough() -> None:
    actor = caught(budget="5/day")
    for number in range(2):  # they are the actor's by another method, and bring this one along
        for payment in ("stolen2", "borrowed"):
            actor.decide(first(f"bot{2 + 6 * number}", payment))
    actor.rest_until(END_NS + 7200 * NS)
    unwatched(actor)
    assert actor.decide(first("fresh", "borrowed")).allowed
    assert not actor.decide(first("fresh2", "stolen2")).allowed


def test_other_hosts_are_told_whose_a_method_is(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(policy_text().replace("[identities]", KEY + "[identities]", 1))
    here = caught(path)
    there = Limiter(Policy.load(path), clock=HostClock(END_NS))
    watch, other = here.limiter.current.watch, there.current.watch
    assert watch is not None
    assert other is not None
    assert there.clustering is not None
    board = there.clustering._board
    other.assignments.write(board.claim(board.term, 1, END_NS))
    assert other.assignments.begin()
    assert other.assignments.stage_all(watch.assignments.export())
    assert other.assignments.commit()
    request = first("fresh")
    decision = there.decide(path="/v1/x", headers=request.headers, client=request.address)
    assert decision.verdict == "certain"
    there.close()


def test_people_leave_nothing_in_the_table_of_members_between_rebuilds() -> None:
    """Hazard: each account that is seen takes a place until the next rebuild, and is told to all hosts."""
    actor = caught()
    before = actor.numbers["assigned"]
    for number in range(50):
        actor.decide(Request(AT_S, f"visitor{number}", f"its own {number}", "", f"203.0.113.{number}"))
    actor.rest_until(END_NS + 2 * NS)
    assert actor.numbers["principals"] == 410
    assert actor.numbers["assigned"] == before
