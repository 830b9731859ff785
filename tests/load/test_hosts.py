"""Hosts before one back end: what each may do, who steers, and what holds while they hear nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.sharing.steering import Steering
from ratelimit.load.link import HostLink
from ratelimit.load.model.admission import Admission
from ratelimit.load.model.controller import Settings
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.hosts import (
    Elsewhere,
    Holding,
    HostMessage,
    ServerReply,
    leader_of,
    lease,
    live,
    period_ns,
)
from tests.load.flights import SECOND, flight

COUNT = st.integers(0, 300)
DEMAND = st.floats(0, 1_000)
HOLDING = st.builds(Holding, COUNT, COUNT, DEMAND)
NOW = 1_700_000_000 * SECOND


@given(others=st.lists(HOLDING, max_size=12), unanswered=COUNT, wanted=COUNT, demand=DEMAND, waiting=COUNT)
def test_no_two_hosts_lease_the_same_room(
    others: list[Holding], unanswered: int, wanted: int, demand: float, waiting: int
):
    leased, share = lease(others, unanswered, wanted, demand, waiting)
    held = sum(one.holds for one in others)
    assert 0 <= leased <= max(unanswered, waiting)
    assert leased <= unanswered or leased + held <= waiting
    assert 0.0 < share <= 1.0


@given(counts=st.lists(COUNT, min_size=1, max_size=12), waiting=COUNT, rounds=st.integers(1, 8))
def test_all_leases_are_within_the_bound_in_any_order(counts: list[int], waiting: int, rounds: int):
    """Hazard: twelve hosts that see the same room."""
    held = [Holding(0, 0, 1.0) for _ in counts]
    for _ in range(rounds):
        for at, wanted in enumerate(counts):
            others = [*held[:at], *held[at + 1 :]]
            leased, _ = lease(others, held[at].holds, wanted, 1.0, waiting)
            held[at] = Holding(max(leased, held[at].holds), wanted, 1.0)
            assert sum(one.holds for one in held) <= waiting


def test_room_that_others_do_not_ask_for_is_lent():
    idle = [Holding(1, 0, 1.0)] * 11
    assert lease(idle, 0, 8, 1.0, 20)[0] == 8
    assert lease(idle, 0, 80, 1.0, 20)[0] == 9


def test_a_host_with_more_than_its_part_goes_back_to_it_while_another_has_less():
    short = Holding(0, 3, 1.0)
    assert lease([short], 9, 5, 1.0, 10)[0] == 5
    assert lease([Holding(0, 0, 1.0)], 9, 5, 1.0, 10)[0] == 10


def test_a_host_whose_part_is_less_than_one_gives_its_place_to_one_without():
    """Hazard: of twelve hosts before four places eight never get one."""
    waits, has = Holding(0, 1, 1.0), Holding(1, 1, 1.0)
    others = [has] * 3 + [waits] * 8
    assert lease(others, 1, 1, 1.0, 4)[0] == 0
    assert lease([has] * 3 + [waits] * 8, 0, 1, 1.0, 4)[0] == 1


def test_parts_go_by_demand():
    busy, idle = Holding(0, 9, 29.5), Holding(0, 9, 9.5)
    assert lease([idle], 0, 100, 29.5, 40) == (30, 0.75)
    assert lease([busy], 0, 100, 9.5, 40) == (10, 0.25)


def test_the_host_that_steers_for_longest_steers_and_one_that_comes_follows():
    assert leader_of({"b": HostMessage(), "a": HostMessage()}) == "a"
    assert leader_of({"b": HostMessage(steers_ms=5), "a": HostMessage()}) == "b"
    assert leader_of({"b": HostMessage(steers_ms=5), "a": HostMessage(steers_ms=9)}) == "b"


def test_a_host_that_gets_no_requests_any_more_does_not_steer():
    """Hazard: a balancer drains the host that steers, and the limit of all stands still."""
    assert leader_of({"a": HostMessage(steers_ms=5), "b": HostMessage(demand=3.0)}) == "b"
    assert leader_of({"a": HostMessage(steers_ms=5, demand=0.1), "b": HostMessage(demand=0.1)}) == "a"


def test_a_host_that_is_silent_for_a_second_has_no_part():
    told = {"a": (1_000, HostMessage()), "b": (2_001, HostMessage())}
    assert list(live(told, 2_001)) == ["b"]
    assert list(live(told, 2_000)) == ["a", "b"]


@pytest.mark.parametrize(("target_ms", "period_ms"), [(0, 100), (200, 100), (1_000, 125), (9_000, 250)])
def test_exchanges_are_every_100_to_250_ms(target_ms: int, period_ms: int):
    assert period_ns(target_ms * 10**6) == period_ms * 10**6


class _Host:
    def __init__(self, name: str, *, floor: int = 1) -> None:
        settings = Settings(first_byte_ns=SECOND, floor=floor, start=12)
        self.admission = Admission(FirstByte(settings), flight(floor=floor, now_ns=NOW))
        self.flight = self.admission.flight
        self.steering = Steering(self.flight)
        self.link = HostLink(name, self.flight)

    def admitted(self, now_ns: int, of: int) -> int:
        """Return how many of so many requests find room."""
        found = 0
        for _ in range(of):
            if self.flight.has_room(now_ns):
                self.flight.enter(now_ns)
                found += 1
        return found


def _exchange(
    hosts: list[_Host], now_ns: int, server: dict[str, tuple[int, HostMessage, Holding]] | None = None
) -> None:
    """Let each host speak once, one after the other."""
    server = {} if server is None else server
    for host in hosts:
        host.flight.beat(now_ns)
        told = host.link.say(now_ns)
        others = [one for name, (_, _, one) in server.items() if name != host.link.name]
        waiting = host.link.may_wait(now_ns)
        leased, share = lease(others, told.unanswered, told.wanted, told.demand, waiting)
        held = Holding(max(leased, told.unanswered), told.wanted, told.demand)
        server[host.link.name] = now_ns // 10**6, told, held
        said = {name: (at, one) for name, (at, one, _) in server.items()}
        host.link.hear(ServerReply(now_ns // 10**6, leased, share, said), now_ns)


def _several(count: int, **settings: int) -> tuple[list[_Host], dict[str, tuple[int, HostMessage, Holding]]]:
    hosts, server = [_Host(f"host-{at:02}", **settings) for at in range(count)], {}
    for _ in range(2):
        _exchange(hosts, NOW, server)
    return hosts, server


def test_twelve_hosts_have_together_what_one_has():
    """Hazard: each lets in what one of them may."""
    alone = _Host("alone").admitted(NOW, 50)
    hosts, server = _several(12)
    for round_ in range(4):
        now_ns = NOW + round_ * SECOND // 10
        for host in hosts:
            host.admitted(now_ns, 50)
            host.flight.turn_away()
        _exchange(hosts, now_ns, server)
    together = sum(host.flight.counts(NOW + SECOND // 2)[1] for host in hosts)
    assert alone == 12
    assert 12 <= together <= 24


def test_hosts_that_do_not_hear_each_other_go_on_with_the_part_they_had():
    """Hazard: the server is away, and each host becomes the only one."""
    hosts, _ = _several(4)
    for host in hosts:
        host.flight.beat(NOW + 3 * SECOND)
    late_ns = NOW + 3 * SECOND
    assert [host.admitted(late_ns, 50) for host in hosts] == [3, 3, 3, 3]
    assert not any(host.flight.follows(late_ns) for host in hosts)


def test_hosts_that_hear_nothing_and_have_less_than_one_each_take_turns_by_time():
    """Hazard: twelve hosts let in one each, before a back end for four."""
    hosts, _ = _several(12)
    entered = 0
    for tick in range(1, 121):
        now_ns = NOW + 3 * SECOND + tick * SECOND // 10
        for host in hosts:
            host.flight.beat(now_ns)
            host.steering.publish(1, 400, 4, 4, 0, 0, 0, 0, 1.0, SECOND, [])
            if host.flight.has_room(now_ns):
                entered += 1
                ticket = host.flight.enter(now_ns)
                host.flight.first_byte(ticket, now_ns)
                host.flight.finished(ticket, now_ns)
    # In 12 s each goes on once in 0.75 s × 12 / 4.
    assert 12 * 4 <= entered <= 12 * 8


def test_a_host_alone_on_its_server_has_all():
    (host,), _ = _several(1)
    assert host.admitted(NOW, 50) == 12


def test_floor_holds_for_all_hosts_together():
    hosts, server = _several(4, floor=4)
    for host in hosts:
        host.steering.publish(1, 400, 1, 1, 0, 0, 0, 0, 1.0, SECOND, [])
    for host in hosts:
        host.admitted(NOW, 2)
        _exchange(hosts, NOW, server)
    assert 4 <= sum(host.flight.counts(NOW)[0] for host in hosts) <= 6


def test_first_bytes_of_all_hosts_move_the_limit_and_all_go_by_it():
    hosts, server = _several(3)
    leader = next(host for host in hosts if not host.flight.follows(NOW))
    now_ns = NOW
    for number in range(60):
        now_ns = NOW + number * SECOND // 10
        for host in hosts:
            if host.flight.has_room(now_ns):
                ticket = host.flight.enter(now_ns - 3 * SECOND // 2)
                if host is not leader:  # whose clients hang up
                    host.flight.first_byte(ticket, now_ns)
                host.flight.finished(ticket, now_ns)
        _exchange(hosts, now_ns, server)
        leader.admission.step(now_ns)
    assert leader.steering.pressure > 1.0
    _exchange(hosts, now_ns, server)
    assert {host.steering.pressure for host in hosts} == {leader.steering.pressure}


def test_a_host_that_steers_and_dies_is_followed_by_one_that_knows_what_it_knew():
    hosts, server = _several(3)
    leader = next(host for host in hosts if not host.flight.follows(NOW))
    leader.steering.publish(1, 400, 7, 5, 3, 0, 3, 0, 1.0, SECOND, leader.steering.words)
    _exchange(hosts, NOW + SECOND // 10, server)
    others = [host for host in hosts if host is not leader]
    del server[leader.link.name]
    late_ns = NOW + 3 * SECOND
    _exchange(others, late_ns, server)
    _exchange(others, late_ns, server)
    assert sum(not host.flight.follows(late_ns) for host in others) == 1
    assert {host.steering.bounds[1] for host in others} == {7}


def test_numbers_of_a_strange_host_are_bounded():
    """Hazard: a message of a damaged host."""
    (host,), _ = _several(1)
    told = HostMessage(
        in_flight=-5, unanswered=10**12, wanted=-1, demand=float("nan"), samples=((0, 0, 0, 0, False),) * 99
    )
    host.link.hear(ServerReply(NOW // 10**6, 0, 0.5, {"other": (NOW // 10**6, told)}), NOW)
    assert host.flight.together(NOW)[1] <= 1 << 24
    assert not host.flight.has_room(NOW) or host.flight.counts(NOW)[0] < 1


def _counted(*messages: tuple[int, str, int]) -> list[int]:
    """Return how many entries were counted at each message: when in ms, of which host, and its count then."""
    elsewhere = Elsewhere()
    return [
        elsewhere.more({name: (0, HostMessage(entered=entered))}, at_ms) for at_ms, name, entered in messages
    ]


def test_hosts_know_how_many_all_of_them_let_through():
    hosts, server = _several(3)
    for at, host in enumerate(hosts):
        for _ in range(at + 1):
            host.flight.enter(NOW)
    for _ in range(3):  # what was heard counts once
        _exchange(hosts, NOW, server)
    assert [host.flight.entries(NOW)[:3] for host in hosts] == [(1, 1, 5), (2, 2, 4), (3, 3, 3)]
    assert all(0.3 < host.flight.entries(NOW)[3] < 0.4 for host in hosts)


def test_hosts_that_hear_nothing_have_all_of_what_they_let_through():
    hosts, _ = _several(3)
    host = hosts[0]
    assert host.flight.entries(NOW + 2 * SECOND) == (0, 0, 0, 1.0)
    host.flight.enter(NOW)
    hosts[1].flight.enter(NOW)
    _exchange(hosts[:1], NOW + 4 * SECOND, {})
    assert host.flight.entries(NOW + 4 * SECOND) == (1, 1, 0, 1.0)


def test_a_host_that_is_heard_for_the_first_time_let_nothing_through_before():
    """Hazard: a host that comes hears of the millions of a month, and calls all of its callers at once."""
    assert _counted((0, "a", 10**6), (200, "a", 10**6 + 3)) == [0, 3]


def test_what_a_host_lets_through_while_it_is_not_heard_counts_for_nothing():
    """Hazard: the server was away for a minute, and all that was let through then counts at once."""
    assert _counted((0, "a", 1), (1_000, "a", 9), (61_000, "a", 900), (61_200, "a", 903)) == [0, 8, 0, 3]


def test_a_host_that_was_started_again_counts_from_its_new_count_on():
    told = (0, "a", 500), (200, "a", 2), (400, "a", 4), (1_200, "a", 6), (1_400, "a", 9)
    assert _counted(*told) == [0, 0, 0, 2, 3]


def test_an_old_message_that_comes_again_counts_for_nothing():
    """Hazard: a server that comes back older repeats what was said, and the rest of it counts anew."""
    told = (0, "a", 5), (200, "a", 7), (400, "a", 7), (600, "a", 5), (800, "a", 7), (1_000, "a", 8)
    assert _counted(*told) == [0, 2, 0, 0, 0, 0]


def test_two_hosts_of_one_name_count_for_nothing():
    """Hazard: their counts take turns, and the difference counts each time."""
    assert sum(_counted(*((at * 100, "a", 5 + at + 10**4 * (at % 2)) for at in range(100)))) == 10**4 + 1


def test_a_server_whose_clock_steps_back_is_believed_after_a_second():
    assert _counted((10**9, "a", 1), (0, "a", 4), (500, "a", 5), (1_100, "a", 7)) == [0, 0, 0, 2]


@given(entered=st.integers(), times=st.integers(1, 5))
def test_a_host_that_lies_counts_for_a_bounded_number(entered: int, times: int):
    host = _Host("host")
    for number in range(times):
        told = HostMessage(number, entered=(number + 1) * entered)
        found = ServerReply(NOW // 10**6, 1, 0.5, {"liar": (NOW // 10**6, told)})
        host.link.hear(found, NOW)
    assert 0 <= host.flight.entries(NOW)[2] <= (times - 1) << 20
