"""Remembered evidence: within bounds, whatever clients send, and no longer than it counts."""

from __future__ import annotations

import tracemalloc

import pytest

from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.clusters.evidence import (
    IDENTIFIER_BYTES,
    MOST_IDENTIFIERS,
    PRINCIPAL_BYTES,
    SHARES,
    Evidence,
)
from ratelimit.correlation import Correlator
from tests.correlation.sights import DAY_S, HOUR_S, NS, START_S, columns, correlator, rebuild, row

KEPT = (HOUR_S,) * 8
LONGEST_S = 450 * DAY_S
TICK_S = 600


def evidence(principals: int = 16, identifiers: int = 64) -> Evidence:
    return Evidence(principals=principals, identifiers=identifiers, now_s=START_S, kept_s=KEPT)


def see(one: Correlator, account: object, at_s: float = START_S, **given: object) -> int:
    """Let one request be seen; return how many edges it made."""
    before = one.evidence.new_edges
    one.observe(row(account, **given), int(at_s * NS))
    return one.evidence.new_edges - before


@pytest.mark.parametrize(
    ("principals", "identifiers", "kept", "says"),
    [
        (15, 64, KEPT, "16 principals"),
        (16, 63, KEPT, "64 to"),
        (16, MOST_IDENTIFIERS + 1, KEPT, "64 to"),
        (16, 64, KEPT[1:], "one duration for each"),
        (16, 64, (599, *KEPT[1:]), "600 to 38880000 seconds"),
        (16, 64, (*KEPT[1:], LONGEST_S + 1), "600 to 38880000 seconds"),
    ],
)
def test_sizes_out_of_range(principals: int, identifiers: int, kept: tuple[int, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Evidence(principals=principals, identifiers=identifiers, now_s=START_S, kept_s=kept)


def test_smallest_sizes_are_allowed() -> None:
    one = evidence()
    assert (one.principal_count, one.identifier_count, one.new_edges) == (0, 0, 0)
    assert one.nbytes >= 16 * PRINCIPAL_BYTES + 64 * IDENTIFIER_BYTES


def test_evidence_is_set_up_once() -> None:
    one = evidence()
    with pytest.raises(ValueError, match="in use already"):
        one.__init__(principals=16, identifiers=64, now_s=0, kept_s=KEPT)  # type: ignore[misc]


@pytest.mark.parametrize("clusters", [0, 4097])
def test_clusters_out_of_range(clusters: int) -> None:
    with pytest.raises(ValueError, match="1 to 4096"):
        ClusterIndex(evidence(), columns(), clusters=clusters, new_s=1, records_s=1)


def test_each_new_pair_is_an_edge_and_each_old_one_is_none() -> None:
    one = correlator()
    everything = {"address": "10.0.0.1", "payment": 1, "client": 1, "device": 1, "template": 1, "domain": 1}
    assert see(one, "a", **everything) == 6
    assert see(one, "a", **everything) == 0
    assert see(one, "b", **everything) == 6
    assert see(one, "a", address="10.0.0.2") == 1
    assert one.evidence.principal_count == 2
    assert one.evidence.identifier_count == 9  # two addresses, their network and block, and five others


def test_nothing_known_but_the_account_is_no_evidence() -> None:
    one = correlator()
    assert see(one, "a") == 0
    assert one.evidence.principal_count == 1
    assert one.evidence.identifier_count == 0


def test_one_value_under_two_families_is_two_identifiers() -> None:
    one = correlator()
    value = row("x", payment="same")[3]
    both = row("a")
    both[3] = both[4] = value
    one.observe(both, START_S * NS)
    assert one.evidence.identifier_count == 2


# -- room ---------------------------------------------------------------------------------------------


def test_the_longest_silent_makes_room() -> None:
    one = correlator(principals=16, identifiers=640)
    for number in range(16):
        see(one, number, START_S + number, payment=number)
    see(one, 0, START_S + 20, payment=0)
    see(one, "another", START_S + 21)
    assert one.evidence.principal_count == 16
    assert one.evidence.principal_evictions == 1
    assert see(one, 0, START_S + 22, payment=0) == 0  # known still
    assert see(one, 1, START_S + 23, payment=1) == 1  # the longest silent, and not known any more


def test_a_member_of_a_cluster_is_forgotten_after_strangers() -> None:
    one = correlator(principals=16, identifiers=640)
    for number in range(16):
        see(one, number, START_S + number, payment=number)
    label = one.core.open_label()
    one.core.assign(row(0)[0], label)
    see(one, "another", START_S + 21)
    assert one.core.label_of(row(0)[0]) == label
    assert see(one, 1, START_S + 23, payment=1) == 1


@pytest.mark.parametrize("family", ["client", "device", "payment", "address"])
def test_flood_of_one_family_pushes_out_no_other(family: str) -> None:
    one = correlator(identifiers=1000)
    known = [
        {"address": f"10.0.{n}.1", "payment": n, "client": n % 5, "device": n, "template": n % 3}
        for n in range(50)
    ]
    for number, given in enumerate(known):
        see(one, number, START_S, **given)
    for number in range(5000):
        fresh = f"30.0.0.{number}" if family == "address" else f"fresh {number}"
        see(one, "flood", START_S + HOUR_S, **{family: fresh})
    assert one.evidence.identifier_evictions > 3000
    assert one.evidence.identifier_count <= 1000
    lost = 0
    for number, given in enumerate(known):
        others = {name: value for name, value in given.items() if name != family}
        lost += see(one, number, START_S + HOUR_S + 1, **others)
    assert lost == 0


@pytest.mark.parametrize("family", ["client", "device", "payment", "address"])
def test_flood_does_not_push_out_what_several_share(family: str) -> None:
    one = correlator(identifiers=1000)
    names = {"address": "10.0.0.1", "client": "shared", "device": "shared", "payment": "shared"}
    shared = {family: names[family]}
    for number in range(3):
        see(one, number, START_S, **shared)
    for number in range(5000):
        fresh = f"30.{number % 200}.{number // 200}.1" if family == "address" else f"fresh {number}"
        see(one, f"flood {number % 7}", START_S + DAY_S, **{family: fresh})
    assert [see(one, number, START_S + DAY_S + 1, **shared) for number in range(3)] == [0, 0, 0]


def test_families_that_clients_choose_have_the_smallest_shares() -> None:
    address, network, payment, client, *extra, block = SHARES
    assert client == extra[0] == 0.1
    assert block < client < payment == network < address < 1


@pytest.mark.parametrize("distinct", [1, 3000])
def test_memory_is_flat_whatever_clients_send(distinct: int) -> None:
    one = correlator(principals=500, identifiers=2000)
    rows = [
        row(n % distinct, address=f"10.{n % 250}.{n // 250}.1", payment=n, client=n, device=n)
        for n in range(3000)
    ]
    _, before = _traced(one, rows[:500])
    grown, _ = _traced(one, rows)
    assert one.evidence.principal_count <= 500
    assert one.evidence.identifier_count <= 2000
    assert grown < 4096, before


def _traced(one: Correlator, rows: list[list[int]]) -> tuple[int, int]:
    """Return how much memory showing rows (and a rebuild) takes for good, and the most it took."""
    now_s = one.evidence.now_s + START_S - DAY_S
    tracemalloc.start()
    try:
        begin = tracemalloc.get_traced_memory()[0]
        for number, seen in enumerate(rows):
            one.observe(seen, (now_s + number) * NS)
        rebuild(one, now_s + len(rows))
        end, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return end - begin, most - begin


# -- edges --------------------------------------------------------------------------------------------


def test_a_principal_keeps_its_latest_and_most_used_addresses() -> None:
    one = correlator()
    for hour in range(8):
        see(one, "a", START_S + hour * HOUR_S, address="10.0.0.1")  # home
    then_s = START_S + 8 * HOUR_S
    for number in range(2, 22):
        see(one, "a", then_s + number * TICK_S, address=f"10.0.{number}.1")
    assert see(one, "a", then_s + 5 * HOUR_S, address="10.0.0.1") == 0
    assert see(one, "a", then_s + 5 * HOUR_S, address="10.0.13.1") == 1  # nine are kept
    assert see(one, "a", then_s + 5 * HOUR_S, address="10.0.21.1") == 0


def test_requests_within_an_hour_are_one_visit() -> None:
    one = correlator()
    for second in range(0, HOUR_S, 60):
        see(one, "a", START_S + second, address="10.0.0.1", payment="x")
    see(one, "a", START_S + 27 * HOUR_S, address="10.0.0.1")
    said = one.core.evidence.returns
    assert said == 1


def test_an_edge_to_a_place_given_away_is_void() -> None:
    one = correlator(identifiers=64)
    see(one, "a", payment="first")
    for number in range(200):
        see(one, f"flood {number}", START_S + 4 * DAY_S, payment=number)
    assert one.evidence.identifier_evictions >= 180
    # Its place belongs to another one now: the account is not thought to share that one's payment method.
    said = one.explain(row("a")[0])
    assert said is not None
    assert not said.shared
    assert see(one, "a", START_S + 4 * DAY_S, payment="first") == 1


@pytest.mark.parametrize(("ticks", "fresh_edges"), [(35, 0), (36, 1)])
def test_an_edge_is_kept_for_as_long_as_it_is_said(ticks: int, fresh_edges: int) -> None:
    one = correlator(payment_kept_s=6 * HOUR_S)
    see(one, "a", START_S, payment="card")
    then = START_S + ticks * TICK_S
    see(one, "b", then)
    rebuild(one, then)
    assert see(one, "a", then, payment="card") == fresh_edges


@pytest.mark.parametrize(("days", "fresh_edges"), [(449, 0), (450, 1), (455, 1)])
def test_the_longest_time_outruns_no_tick(days: int, fresh_edges: int) -> None:
    one = correlator(payment_kept_s=LONGEST_S)
    see(one, "a", START_S, payment="card")
    for day in (*range(3, days, 3), days):  # an account is always there, and rebuilds drop what is too old
        see(one, "b", START_S + day * DAY_S)
        rebuild(one, START_S + day * DAY_S)
    assert see(one, "a", START_S + days * DAY_S, payment="card") == fresh_edges


def test_evidence_used_again_does_not_age() -> None:
    one = correlator(payment_kept_s=HOUR_S)
    for hour in range(12):
        see(one, "a", START_S + hour * HOUR_S, payment="card")
        rebuild(one, START_S + hour * HOUR_S)
    assert one.evidence.new_edges == 1


# -- time ---------------------------------------------------------------------------------------------


def test_clock_steps_back() -> None:
    one = correlator()
    see(one, "a", START_S + HOUR_S, payment="card")
    latest = one.evidence.now_s
    for at_s in (START_S, START_S - 30 * DAY_S, 0, -1):
        see(one, "a", at_s, payment="card")
        assert one.evidence.now_s == latest
    rebuild(one, 0)
    assert one.evidence.now_s == latest
    assert one.evidence.new_edges == 1


def test_clock_jumps_to_the_end_of_time() -> None:
    one = correlator()
    see(one, "a", payment="card")
    see(one, "a", 2**62 // NS * 2, payment="card")  # the year 2262
    see(one, "b", 2**62 // NS * 2, payment="card")
    rebuild(one, 2**62 // NS * 2)
    assert one.evidence.principal_count == 2
    assert one.members() == {}
