"""A request is as much work as its body is long, where the policy says so: in room, lines and use."""

from __future__ import annotations

from mmap import mmap
from typing import Any

import pytest

from ratelimit import Policy
from ratelimit.core.sharing.inflight import InFlight, flight_bytes
from ratelimit.core.sharing.steering import Steering
from ratelimit.load.compile import loads_of
from ratelimit.load.model.controller import Bounds
from tests.asgi.driver import key
from tests.load.held import KIND, POLICY, Gateway, Targeted

SECOND = 10**9
NOW = 1_700_000_000 * SECOND
BY_BODY = POLICY.replace("[adaptive]\n", '[adaptive]\nwork = "body"\n')


@pytest.fixture
def flight() -> InFlight:
    made = InFlight(mmap(-1, flight_bytes()), boot_id=b"", fingerprint=bytes(16), floor=1, step_ns=SECOND)
    made.join(1, 0, NOW, lambda *_: True)
    return made


def waiting(flight: InFlight, bound: int) -> None:
    """Let so many wait for their first byte."""
    Steering(flight).publish(1, 1000, bound, bound, 0, 0, 0, 0, 0.0, SECOND, [])


def test_unit_is_the_work_of_a_request_in_the_middle(flight: InFlight) -> None:
    assert flight.units_of(10_000) == 1  # nothing is known
    for number in range(2_000):
        flight.learn((500, 1_000, 60_000)[number % 3])
    assert flight.units_of(1_000) == 1
    assert 30 <= flight.units_of(40_000) <= 50
    assert flight.units_of(1e12) == 64
    assert flight.units_of(0) == flight.units_of(-5) == flight.units_of(float("nan")) == 1


def test_one_that_waits_counts_by_its_work_and_then_as_one_answer(flight: InFlight) -> None:
    ticket = flight.enter(NOW, 0, 10)
    assert flight.counts(NOW) == (10, 10)
    flight.first_byte(ticket, NOW + 1)
    assert flight.counts(NOW) == (1, 0)
    flight.finished(ticket, NOW + 2)
    assert flight.counts(NOW) == (0, 0)
    flight.finished(flight.enter(NOW, 0, 7), NOW)  # its client hung up
    assert flight.counts(NOW) == (0, 0)


def test_large_one_needs_as_much_room_and_is_not_starved(flight: InFlight) -> None:
    """Hazard: a prompt of 60,000 tokens counted as one request; or never went on at all."""
    waiting(flight, 20)
    for _ in range(12):
        flight.enter(NOW)
    assert flight.has_room(NOW)
    assert flight.has_room(NOW, 1.0, 0.0, 0, 8)
    assert not flight.has_room(NOW, 1.0, 0.0, 0, 9)
    waiting(flight, 80)
    assert flight.has_room(NOW, 1.0, 0.0, 0, 64)
    waiting(flight, 16)  # more than ever may wait: it goes on once a fifth of the queue is left
    assert not flight.has_room(NOW, 1.0, 0.0, 0, 64)
    flight.forget()
    fresh = InFlight(mmap(-1, flight_bytes()), boot_id=b"", fingerprint=bytes(16), floor=1, step_ns=SECOND)
    fresh.join(1, 0, NOW, lambda *_: True)
    waiting(fresh, 16)
    for _ in range(64):
        fresh.first_byte(fresh.enter(NOW), NOW)  # as much went on as it is
    for _ in range(3):
        fresh.enter(NOW)
    assert fresh.has_room(NOW, 1.0, 0.0, 0, 64)
    fresh.enter(NOW)
    assert not fresh.has_room(NOW, 1.0, 0.0, 0, 64)


def patient(flight: InFlight, bound: int) -> None:
    """Let so many wait, each of which takes a tenth of a second at the pace that the limit goes by."""
    patience_ns = bound * SECOND * 15 // 100
    Steering(flight).publish(1, 1000, bound, bound, 0, patience_ns, 0, 0, 0.0, SECOND, [])


def test_what_was_read_of_a_long_one_waits_no_more(flight: InFlight) -> None:
    """Hazard: short requests that would be in time are refused until a long one has its first byte."""
    patient(flight, 10)
    ticket = flight.enter(NOW, 0, 40)
    assert not flight.has_room(NOW + SECOND)  # thirty are left
    assert flight.has_room(NOW + 4 * SECOND)  # four are
    flight.first_byte(ticket, NOW + 4 * SECOND)
    for _ in range(9):
        flight.enter(NOW + 4 * SECOND)
    assert flight.has_room(NOW + 4 * SECOND)
    flight.enter(NOW + 4 * SECOND)
    assert not flight.has_room(NOW + 4 * SECOND)  # nothing is taken off for one that was answered


def test_long_one_without_an_answer_is_a_standstill_in_the_end(flight: InFlight) -> None:
    """Hazard: a worker that died leaves a long one behind, and more go on for ever."""
    patient(flight, 10)
    flight.enter(NOW, 0, 40)
    late = NOW + 20 * SECOND
    flight.enter(late)  # one goes on now and then, to see
    assert not flight.has_room(late)


def test_long_ones_are_no_more_work_than_others_while_something_waits(flight: InFlight) -> None:
    waiting(flight, 10)
    flight.enter(NOW)
    assert not flight.has_room(NOW, 1.0, 0.0, 0, 30)
    for _ in range(30):
        flight.first_byte(flight.enter(NOW), NOW)
    assert flight.has_room(NOW, 1.0, 0.0, 0, 30)
    flight.finished(flight.enter(NOW, 0, 30), NOW)
    assert not flight.has_room(NOW, 1.0, 0.0, 0, 30)
    assert flight.has_room(NOW)


def test_long_one_goes_on_where_nothing_waits_whatever_went_before(flight: InFlight) -> None:
    waiting(flight, 10)
    for _ in range(3):
        flight.first_byte(flight.enter(NOW), NOW)  # answers are under way, above the floor
    assert flight.has_room(NOW, 1.0, 0.0, 0, 64)


async def arrives(gateway: Gateway, length: int, account: str = "a") -> None:
    headers: list[Any] = [*key(account), (b"content-length", b"%d" % length)]
    await gateway.begin(account, headers=headers)


async def test_gateway_counts_bodies_and_holds_a_long_one_until_it_fits() -> None:
    gateway = Gateway(BY_BODY, Bounds(400, 10, 10, full_from=1))
    for _ in range(4):
        await arrives(gateway, 1_000)
    assert gateway.load.flight.counts(gateway.limiter.now_ns()) == (4, 4)
    await arrives(gateway, 40_000, "b")
    assert gateway.held == 1
    await arrives(gateway, 1_000)  # the first of the line was not asked yet
    assert gateway.held == 2
    for number in range(4):
        await gateway.answer(gateway.reached[number])
    assert not any(name.startswith("b") for name in gateway.reached)  # less went on than it is
    await gateway.answer(gateway.reached[4])
    assert any(name.startswith("b") for name in gateway.reached)
    assert gateway.load.flight.counts(gateway.limiter.now_ns())[1] > 30


async def test_body_of_unknown_length_is_one_request() -> None:
    gateway = Gateway(BY_BODY, Bounds(400, 10, 10, full_from=1))
    await arrives(gateway, 1_000)
    for length in (b"nonsense", b"-5", b"9" * 40):
        await gateway.begin("a", headers=[*key("a"), (b"content-length", length)])
    await gateway.begin("a")
    assert gateway.load.flight.counts(gateway.limiter.now_ns()) == (5, 5)


async def test_without_the_key_requests_count_alike_whatever_their_bodies() -> None:
    gateway = Gateway(bounds=Bounds(400, 10, 10, full_from=1))
    for length in (10, 1_000_000, 10):
        await arrives(gateway, length)
    assert gateway.load.flight.counts(gateway.limiter.now_ns()) == (3, 3)


def test_key_is_read() -> None:
    assert [spec.by_body for spec in loads_of(Policy.from_toml(BY_BODY).compiled)] == [True]
    assert [spec.by_body for spec in loads_of(Policy.from_toml(POLICY).compiled)] == [False]


async def arrivals_before_one_that_does_not_fit(gateway: Gateway) -> None:
    """Let four wait before the back end, and a fifth that is forty times as long before the gateway."""
    for _ in range(4):
        await arrives(gateway, 1_000)
    await arrives(gateway, 40_000, "large")
    assert gateway.held == 1


async def test_what_fits_passes_one_that_does_not() -> None:
    """Hazard: room is left empty for a long prompt, and short ones that would be in time are shed."""
    gateway = Gateway(BY_BODY, Bounds(400, 10, 10, full_from=1))
    await arrivals_before_one_that_does_not_fit(gateway)
    await gateway.pass_by(0.03)  # it asked, found no room, and stands aside
    await arrives(gateway, 1_000, "small")
    assert gateway.reached[-1].startswith("small")
    await arrives(gateway, 5_000, "several")
    assert gateway.held == 2  # one that counts for several is behind it


async def test_as_many_pass_one_that_does_not_fit_as_it_counts_for() -> None:
    """Hazard: short prompts pass without end, and a long one is never answered."""
    gateway = Gateway(BY_BODY, Bounds(400, 10, 10, full_from=1))
    await arrivals_before_one_that_does_not_fit(gateway)
    await gateway.pass_by(0.03)
    passed = 0
    while gateway.held == 1:
        assert passed <= 64
        await arrives(gateway, 1_000, "small")
        if gateway.held == 1:
            passed += 1
            await gateway.answer(gateway.reached[-1])
    assert 30 <= passed <= 64  # its units: the one in the middle moves with those that pass


async def test_one_that_stood_aside_counts_in_its_callers_share() -> None:
    """Hazard: an account sends long prompts alone, and each is before the others' short ones."""
    gateway = Gateway(BY_BODY, Bounds(400, 10, 10, full_from=1))
    for _ in range(7):
        await arrives(gateway, 1_000)
    await arrives(gateway, 5_000, "large")
    await gateway.pass_by(0.03)
    for _ in range(3):
        await arrives(gateway, 1_000)
    await arrives(gateway, 1_000, "large")
    await arrives(gateway, 1_000, "small")
    assert gateway.held == 3
    gateway.load._admission.adapt(Targeted(bounds=Bounds(400, 100, 100, full_from=1)), kind=KIND)
    await gateway.pass_by(0.03)
    assert [name.rstrip("0123456789") for name in gateway.reached[-3:]] == ["large", "small", "large"]


async def test_request_waits_for_half_of_the_target_where_requests_count_by_their_work() -> None:
    """Hazard: what comes while a long prompt is read is shed just before there is room for all of it."""
    gateway = Gateway(BY_BODY)
    await gateway.saturate()
    task = await gateway.begin("a")
    await gateway.pass_by(0.499)
    assert not task.done()
    await gateway.pass_by(0.001)
    await task
    assert gateway.answers[task.get_name()].status == 503
