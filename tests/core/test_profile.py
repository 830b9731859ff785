"""A cluster as a whole: what its compiled walk finds is what its accounts say one by one."""

from __future__ import annotations

from collections import Counter

import pytest

from ratelimit.core.clusters import profile
from ratelimit.core.clusters.reasons import reasons
from tests.support.acting import BOTS, Actor, caught


@pytest.fixture(scope="module")
def actor() -> Actor:
    return caught()


def test_walks_find_what_accounts_say_one_by_one(actor: Actor) -> None:
    clustering = actor.limiter.clustering
    assert clustering is not None
    leader = clustering._leader
    assert leader is not None
    correlator = leader.correlator
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
