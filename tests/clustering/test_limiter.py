"""The limiter by itself: one actor gets one budget, and no other account notices."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.correlation.classification import Verdict
from tests.support.acting import BOTS, END_NS, NS, PEOPLE, START_NS, Actor, caught
from tests.support.campaign import Request, campaign, policy_text


def later(actor: Actor, *accounts: str, each: int = 1) -> list[bool]:
    """Return what a later round of requests of these accounts is answered."""
    at_s = (END_NS - START_NS) / NS
    requests = [Request(at_s, account, "", "", "192.0.2.1") for _ in range(each) for account in accounts]
    return [actor.decide(request).allowed for request in requests]


def test_campaign_becomes_one_actor_and_people_stay_themselves() -> None:
    actor = caught()
    clusters = actor.clusters(BOTS)
    assert len(clusters) == 1
    assert -1 not in clusters
    assert actor.clusters(PEOPLE) == {-1}
    numbers = actor.numbers
    # Assigned are the accounts, and the payment methods that are the actor's own.
    assert (numbers["clusters"], numbers["members"], numbers["assigned"]) == (1, 60, 66)
    assert numbers["principals"] == 360
    assert numbers["dropped"] == numbers["torn"] == numbers["abandoned"] == numbers["overflowed"] == 0


def test_whoever_correlates_says_why() -> None:
    actor = caught()
    assert actor.limiter.clustering is not None
    known = actor.limiter.clustering.clusters()
    assert known is not None
    (one,) = known
    assert {one.identity} == actor.clusters(BOTS)
    assert (len(one.members), one.verdict, one.why) == (60, Verdict.CERTAIN, "covert")
    assert {verdict for _, verdict in one.members} == {Verdict.CERTAIN}
    assert START_NS // NS <= one.first_s <= END_NS // NS
    assert (one.evidence["accounts"], one.evidence["payment_methods"], one.evidence["addresses"]) == (
        60,
        6,
        40,
    )
    assert one.words.startswith("6 payment methods of 60 accounts meet at 40 addresses nobody else uses;")
    actor.limiter.clustering.resign(END_NS)
    assert actor.limiter.clustering.clusters() is None


def test_nobody_says_why_in_the_middle_of_a_rebuild() -> None:
    actor = Actor()
    actor.live(campaign())
    clustering = actor.limiter.clustering
    assert clustering is not None
    actor.clock.set_ns(END_NS)
    said = set()
    for _ in range(3000):
        is_busy = clustering.tick(END_NS)
        said.add(clustering.clusters() is None)
        if not is_busy:
            break
    assert said == {True, False}


def test_one_actor_has_one_budget_exactly() -> None:
    actor = caught(budget="10/hour")
    assert later(actor, *BOTS) == [True] * 10 + [False] * 50
    assert later(actor, *PEOPLE[:60]) == [True] * 60


def test_policy_without_correlation_has_none() -> None:
    limiter = Limiter(Policy.from_toml(policy_text().partition("[correlation]")[0]), clock=ManualClock())
    assert limiter.clustering is None
    assert limiter.current.watch is None
    assert limiter.correlation == {}


def test_newcomer_is_recognised_between_rebuilds() -> None:
    actor = caught()
    rebuilds = actor.numbers["rebuilds"]
    at_s = (END_NS - START_NS) / NS
    for number, exit_ in enumerate((3, 9, 17, 22, 30, 35)):
        address = f"45.{exit_ // 4}.{exit_ % 4 * 16}.{7 + exit_}"
        actor.decide(Request(at_s + number, "bot999", "stolen1", "farm/1.0", address))
    actor.tick()
    assert actor.numbers["rebuilds"] == rebuilds
    assert actor.cluster("bot999") == actor.cluster("bot1") != -1


def test_peek_tells_of_the_cluster_and_is_not_observed() -> None:
    actor = caught(budget="1/hour")
    later(actor, BOTS[0])
    taken, waiting = actor.numbers["taken"], actor.numbers["waiting"]
    asked = actor.limiter.peek(path="/v1/x", headers=[(b"x-api-key", b"bot7")], client="192.0.2.1")
    assert asked.limit == "one actor"
    assert (actor.numbers["taken"], actor.numbers["waiting"]) == (taken, waiting)


def test_requests_that_no_limit_meets_are_not_observed() -> None:
    actor = Actor()
    actor.limiter.decide(path="/elsewhere", headers=[(b"x-api-key", b"a")], client="192.0.2.1")
    assert actor.numbers["waiting"] == 0
    # Neither does a key that no application knows.
    key = (b"x-api-key", b"a")
    actor.limiter.decide(path="/v1/x", headers=[key], client="192.0.2.1")
    assert actor.numbers["waiting"] + actor.numbers["taken"] == 0
    actor.limiter.decide(path="/v1/x", headers=[key, (b"x-payment", b"p")], client="192.0.2.1")
    assert actor.numbers["waiting"] + actor.numbers["taken"] == 1


def test_reload_with_other_settings_keeps_clusters_and_evidence() -> None:
    actor = caught()
    cluster, before = actor.cluster("bot1"), actor.numbers
    clustering = actor.limiter.clustering
    spec = actor.limiter.policy.compiled.correlation
    assert clustering is not None
    assert spec is not None
    settings = structs.replace(spec.settings, homed=0.04, identifiers=20_000, clusters=16)
    clustering.adapt(replace(spec, settings=settings))
    actor.tick()
    leader = clustering._leader
    assert leader is not None
    assert leader.correlator is not None
    assert (leader.correlator.settings.homed, leader.correlator.settings.clusters) == (0.04, 16)
    after = actor.numbers
    assert [after[name] for name in ("principals", "identifiers", "members")] == [
        before[name] for name in ("principals", "identifiers", "members")
    ]
    actor.rest_until(END_NS + 2 * 3600 * NS)
    assert actor.clusters(BOTS) == {cluster}


def test_reload_with_less_room_forgets_what_does_not_fit_and_goes_on() -> None:
    actor = caught()
    clustering, spec = actor.limiter.clustering, actor.limiter.policy.compiled.correlation
    assert clustering is not None
    assert spec is not None
    clustering.adapt(replace(spec, settings=structs.replace(spec.settings, principals=100, identifiers=200)))
    actor.tick()
    actor.rest_until(END_NS + 2 * NS)
    assert actor.numbers["principals"] == 100
    assert actor.numbers["identifiers"] == 200
    actor.live(replace(request, at_s=request.at_s + 10 * 3600) for request in campaign(2))
    actor.rest_until(END_NS + 12 * 3600 * NS)
    assert actor.numbers["principals"] == 100


def test_failing_correlator_fails_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = caught()
    cluster = actor.cluster("bot1")
    clustering = actor.limiter.clustering
    assert clustering is not None
    assert clustering._leader is not None

    def fail(now_ns: int) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(clustering._leader, "step", fail)
    assert later(actor, "bot1", "person1") == [True, True]
    actor.clock.advance(1)
    assert later(actor, "bot1", "person1") == [True, True]
    assert actor.noted.codes == ["correlator-failed"]
    assert isinstance(clustering.take_fault(), ZeroDivisionError)
    assert clustering.take_fault() is None
    assert actor.cluster("bot1") == cluster
    monkeypatch.undo()
    actor.clock.advance(11)
    actor.tick()
    assert actor.numbers["waiting"] == 0


def test_rebuild_that_fails_leaves_no_provisional_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Actor()
    actor.live(campaign())
    actor.tick()
    clustering = actor.limiter.clustering
    assert clustering is not None
    leader = clustering._leader
    assert leader is not None
    subject: Any = leader.correlator
    core = subject.core

    def rebuild(now_ns: int) -> Any:
        core.begin()
        try:
            core.open_label()
            yield
            raise RuntimeError
        finally:
            core.end()

    monkeypatch.setattr(subject, "rebuild", rebuild)
    monkeypatch.setattr(subject, "is_due", lambda now_ns: True)
    live = core.live()
    actor.rest_until(END_NS)
    assert core.live() == live
    assert actor.noted.codes == ["correlator-failed"]


def test_idle_limiter_costs_nothing_until_it_is_asked() -> None:
    actor = Actor()
    assert actor.numbers["term"] == 0
    actor.decide(next(iter(campaign())))
    assert actor.numbers["term"] == 1


def test_clock_that_steps_back_stops_nothing() -> None:
    actor = caught()
    actor.clock.set_ns(START_NS)
    assert later(actor, "bot1") == [True]
    for second in range(100):
        actor.clock.set_ns(START_NS + second * NS)
        actor.limiter.decide(path="/v1/x", headers=[(b"x-api-key", b"a")], client="192.0.2.1")
    actor.tick()
    assert actor.numbers["waiting"] == 0
    assert actor.clusters(BOTS) == {actor.cluster("bot0")} != {-1}


def test_flood_of_fresh_identities_grows_nothing() -> None:
    actor = Actor(principals=200, identifiers=500)

    def flood(start: int, count: int) -> None:
        for number in range(start, start + count):
            name = str(number).encode()
            headers = [(b"x-api-key", name), (b"x-payment", name), (b"user-agent", name)]
            address = f"{number % 200 + 1}.{number // 200 % 200}.{number % 251}.{number % 249}"
            actor.limiter.decide(path="/v1/x", headers=headers, client=address)
            actor.clock.advance(0.5)

    flood(0, 6_000)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    flood(6_000, 6_000)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    actor.tick()
    numbers = actor.numbers
    assert grown < 200_000
    assert (numbers["principals"], numbers["identifiers"]) == (200, 500)
    assert numbers["principal_evictions"] > 11_000
    assert numbers["waiting"] + numbers["dropped"] + numbers["taken"] == 12_000


def test_closed_limiter_lets_go_of_its_board() -> None:
    actor = caught()
    actor.limiter.close()
    actor.limiter.close()
    assert actor.limiter.correlation == {}


def test_on_and_off_and_on_again_by_reloads(tmp_path: Any) -> None:
    path = tmp_path / "policy.toml"
    store = f'memory = "{tmp_path / "store"}"'
    on, off = policy_text(store=store), policy_text(store=store).partition("[correlation]")[0]
    path.write_text(off)
    actor = Actor(path)
    assert actor.limiter.current.watch is None
    path.write_text(on)
    assert actor.limiter.reload().result == "applied"
    actor.live(campaign())
    actor.rest_until(END_NS)
    assert actor.cluster("bot1") != -1
    before = actor.limiter.clustering
    path.write_text(policy_text(store=store, budget="10/hour"))
    assert actor.limiter.reload().result == "applied"
    assert actor.limiter.clustering is before
    assert later(actor, *BOTS) == [True] * 10 + [False] * 50
    path.write_text(off)
    assert actor.limiter.reload().result == "applied"
    assert actor.limiter.clustering is None
    assert later(actor, *BOTS) == [True] * 60
    path.write_text(on)
    assert actor.limiter.reload().result == "applied"
    # The board was still there: what was in force is in force again.
    assert actor.clusters(BOTS) != {-1}


def test_actors_beyond_the_labels_are_said() -> None:
    others = [
        replace(one, account=f"o{one.account}", payment=f"o{one.payment}", address=f"46{one.address[2:]}")
        for one in campaign(2, accounts=40)
        if one.account.startswith("bot")
    ]
    both = sorted([*campaign(), *others], key=lambda one: one.at_s)
    for clusters, unlabelled in ((2, 0), (1, 1)):
        actor = Actor(tuning=f"clusters = {clusters}")
        actor.live(both)
        actor.rest_until(END_NS)
        assert actor.numbers["unlabelled"] == unlabelled
        assert actor.numbers["clusters"] == clusters
        assert ("clusters-full" in actor.noted.codes) == bool(unlabelled)
        # The smaller one costs its owner less.
        assert actor.clusters(BOTS) != {-1}
