"""A cluster as a whole: what its compiled walk finds is what its accounts say one by one."""

from __future__ import annotations

from collections import Counter

import pytest

from ratelimit.core.clusters import profile
from ratelimit.core.clusters.reasons import reasons
from ratelimit.correlation import Correlator
from tests.cli.test_actors import key_of
from tests.support.acting import BOTS, PEOPLE, Actor, caught


@pytest.fixture(scope="module")
def actor() -> Actor:
    return caught()


def correlator_of(actor: Actor) -> Correlator:
    clustering = actor.limiter.clustering
    assert clustering is not None
    leader = clustering._leader
    assert leader is not None
    return leader.correlator


def test_walks_find_what_accounts_say_one_by_one(actor: Actor) -> None:
    correlator = correlator_of(actor)
    core = correlator.core
    (label,) = correlator.identities
    members = profile.members_of(core, label)
    assert len(members) == len(BOTS)
    shared: Counter[tuple[int, int]] = Counter()
    requests = 0
    for key, verdict, count, first_s, last_s in members:
        known = reasons(core, key)
        assert known is not None
        assert (verdict, count, first_s, last_s) == tuple(
            known[name] for name in ("verdict", "requests", "first_s", "last_s")
        )
        shared.update((one["kind"], one["hash"]) for one in known["shared"])
        requests += count
    found = {(each[0], each[1]): each[2] for each in profile.shared_by(core, label)}
    assert found == shared
    ((total, a_day),) = [value for at, value in profile.takings(core).items() if at == label]
    assert total == requests
    assert a_day > 0
    assert profile.neighbours_of(core, label) == []
    for nothing in (profile.members_of, profile.shared_by, profile.neighbours_of):
        assert nothing(core, 0) == []
        assert nothing(core, 4000) == []


def test_the_busiest_seen_with_a_value_are_those_of_all_that_were(actor: Actor) -> None:
    core = correlator_of(actor).core
    (label,) = correlator_of(actor).identities
    by_kind = {each[0]: each[1] for each in profile.shared_by(core, label)}
    by_kind |= dict(profile.around(core, key_of(actor, BOTS[0])))  # its networks and blocks
    assert by_kind.pop(3)  # programs are no value that anybody is looked up by
    assert len(by_kind) >= 4
    for value in by_kind.values():
        seen = profile.seen_with(core, value)
        for most in (0, 1, 7, len(seen), len(seen) + 1):
            count, by_label, busiest = profile.most_seen_with(core, value, most)
            assert count == len(seen) > 0
            assert by_label == Counter(each[2] for each in seen if each[2])
            assert [each[3] for each in busiest] == sorted((each[3] for each in seen), reverse=True)[:most]
            assert set(busiest) <= set(seen)
    assert profile.most_seen_with(core, 12345, 7) == (0, {}, [])


def test_payers_beside_a_method_are_those_at_addresses_of_both(actor: Actor) -> None:
    core = correlator_of(actor).core
    shared: dict[int, dict[int, set[int]]] = {2: {}, 0: {}}
    fresh = {}
    for account in (*BOTS, *PEOPLE):
        key = key_of(actor, account)
        known = reasons(core, key)
        assert known is not None
        fresh[key] = bool(known["is_new"])
        for kind, found in shared.items():
            found[key] = {one["hash"] for one in known["shared"] if one["kind"] == kind}
    methods = {method for found in shared[2].values() for method in found}
    assert len(methods) > 6
    for payment in methods:
        own = {key for key, paid in shared[2].items() if payment in paid}
        at = set().union(*(shared[0][key] for key in own))
        others = {key for key, paid in shared[2].items() if paid - {payment}}
        both = at & set().union(*(shared[0][key] for key in others))
        expected = {
            (method, key, frozenset(shared[0][key] & both), fresh[key])
            for key, paid in shared[2].items()
            if shared[0][key] & both
            for method in paid
        }
        found = profile.payers_beside(core, payment, 10_000)
        assert {(method, key, frozenset(exits), is_new) for method, key, exits, is_new in found} == expected
        assert len(profile.payers_beside(core, payment, 3)) == min(3, len(expected))
