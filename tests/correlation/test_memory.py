"""The core's memory of requests: equal to the reference's, whichever way they came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.sharing.bundle import Bundle, unpack
from ratelimit.core.sharing.ring import Ring
from tests.correlation.sights import (
    DAY_S,
    HOUR_S,
    NS,
    START_S,
    columns,
    correlator,
    mixed,
    rebuild,
    row,
    verdicts,
)
from tests.support.boards import board
from tests.support.reference.sightings import Sightings
from tests.support.remembered import TICK_S, remembered

GAPS = st.sampled_from(
    (0, 30, 599, 600, 1800, HOUR_S - 1, HOUR_S, 5 * HOUR_S, 12 * HOUR_S, DAY_S, 3 * DAY_S, -7200)
)
VALUES = st.one_of(st.none(), st.integers(0, 11))


@given(
    st.lists(
        st.tuples(GAPS, st.integers(0, 2), VALUES, st.one_of(st.none(), st.integers(0, 3)), VALUES),
        max_size=120,
    )
)
def test_edges_are_kept_as_the_reference_keeps_them(
    steps: list[tuple[int, int, int | None, int | None, int | None]],
) -> None:
    one, reference = correlator(), Sightings(DAY_S)
    at_s = START_S
    for gap, account, address, payment, device in steps:
        at_s += gap
        given_ = {"payment": payment, "client": device, "device": device}
        seen = row(account, address=None if address is None else f"10.0.{address}.1", **given_)
        one.observe(seen, at_s * NS)
        kinds = [max(0, value) for value in seen[1:9]]
        reference.see(seen[0], kinds, at_s - (START_S - DAY_S))
    memory = remembered(one)
    assert len(memory.accounts) == len(reference.accounts)
    for account in memory.accounts:
        wanted = reference.accounts[account.key]
        assert account.first_s == wanted.first_s
        found = [None if edge is None else (edge.seen, edge.visits, edge.span) for edge in account.edges]
        assert found == [
            None
            if edge is None
            else (edge.last_s // TICK_S, edge.hours, edge.last_s // HOUR_S - edge.first_s // HOUR_S)
            for edge in wanted.places
        ]
    # And of every address the payment methods that were new there last.
    by_address = sorted(len(node.payers) for node in memory.identifiers if node.kind == 0 and node.payers)
    assert by_address == sorted(map(len, reference.payers.values()))


@pytest.mark.parametrize("room", [1, 7, 4096])
def test_hosts_bundles_are_remembered_as_single_requests_are(room: int) -> None:
    """What another host saw travels counted together by the second; verdicts do not tell the difference."""
    sights = mixed(3, honest=60, bad=100, hours=16)
    alone, told = correlator(), correlator()
    ring, bundle = Ring(board(sightings=1 << 15), columns()), Bundle(room)
    for sight in sights:
        now_ns = int(sight.at_s * NS)
        alone.observe(sight.row, now_ns)
        assert ring.put(sight.row, now_ns)
    while bundle.drain(ring, 1 << 15, int(sights[-1].at_s * NS)) or bundle.held:
        unpack(bundle.pack(), told.core, int(sights[-1].at_s))
    for one in (alone, told):
        rebuild(one, sights[-1].at_s)
    assert verdicts(told) == verdicts(alone)
    assert sum(verdict == 2 for verdict in verdicts(told).values()) == 100
