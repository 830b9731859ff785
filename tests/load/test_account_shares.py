"""Accounts share evenly in what goes on where requests are shed, over the hosts of one back end."""

from __future__ import annotations

from mmap import mmap

import pytest

from benchmarks.adaptive.catalogue import BY_NAME
from benchmarks.adaptive.judging import WAYS, over_hosts
from benchmarks.adaptive.phases import Phase
from ratelimit.core.sharing.inflight import InFlight, flight_bytes
from ratelimit.core.sharing.shares import SAID_BYTES, Shares
from tests.load.held import Gateway, status

SECOND = 10**9
NOW = 1_700_000_000 * SECOND
HEAVY, LIGHT, BESIDE, STRANGER = 1 << 32 | 1, 2 << 32 | 2, 3 << 32 | 1, 9 << 32 | 9
"""`BESIDE` has one of the cells of the heavy account, and another one of its own."""


def flight(memory: mmap | None = None, pid: int = 1) -> InFlight:
    made = InFlight(
        memory or mmap(-1, flight_bytes()), boot_id=b"", fingerprint=bytes(16), floor=1, step_ns=SECOND
    )
    made.join(pid, 0, NOW, lambda *_: True)
    return made


def crowd(shares: Shares) -> None:
    """Let a heavy account ask for sixty, and a light one for twelve; thirty go on, as they came."""
    for _ in range(25):
        shares.served(HEAVY)
    for _ in range(35):
        shares.shed(HEAVY)
    for _ in range(5):
        shares.served(LIGHT)
    for _ in range(7):
        shares.shed(LIGHT)


@pytest.fixture
def shares() -> Shares:
    return Shares(flight())


def test_heavy_account_is_over_its_share_and_a_light_one_is_not(shares: Shares) -> None:
    """Hazard: an account that asks for most is served most."""
    crowd(shares)
    assert not shares.are_scarce
    shares.step(NOW)
    assert shares.are_scarce
    assert shares.is_over(HEAVY)
    assert not shares.is_over(LIGHT)
    assert not shares.is_over(STRANGER)
    assert not shares.is_over(0)


def test_large_request_takes_as_much_of_a_share(shares: Shares) -> None:
    """Hazard: an account of long prompts has a share of requests, and most of the work."""
    crowd(shares)
    shares.step(NOW)
    assert not shares.is_over(LIGHT, 1)
    assert shares.is_over(LIGHT, 60)


def test_without_shed_requests_no_account_is_over_its_share(shares: Shares) -> None:
    """Hazard: a heavy account is held back though there is room."""
    for _ in range(500):
        shares.served(HEAVY)
    shares.served(LIGHT)
    shares.step(NOW)
    assert not shares.are_scarce
    assert not shares.is_over(HEAVY)


def test_account_in_a_cell_with_a_heavy_one_is_judged_by_its_other_cell(shares: Shares) -> None:
    """Hazard: who has a cell with a heavy account is shed for what that did."""
    crowd(shares)
    shares.served(BESIDE)
    shares.shed(BESIDE)
    shares.step(NOW)
    assert shares.is_over(HEAVY)
    assert not shares.is_over(BESIDE)


def test_shares_are_forgotten_once_all_within_theirs_find_room(shares: Shares) -> None:
    """Hazard: after a crowd a heavy account is held back for as long as it was in it."""
    crowd(shares)
    shares.step(NOW)
    for tenth in range(1, 100):
        shares.served(LIGHT)
        shares.served(HEAVY)
        shares.shed(HEAVY, 1, True)
        shares.step(NOW + tenth * SECOND // 10)
        if not shares.are_scarce:
            break
    assert 10 < tenth < 60


def test_shares_stay_while_requests_within_theirs_are_shed(shares: Shares) -> None:
    """Hazard: the heavy account is let in again in the middle of a crowd."""
    crowd(shares)
    for tenth in range(100):
        shares.served(LIGHT)
        shares.shed(LIGHT)
        shares.shed(HEAVY, 4, True)
        shares.step(NOW + tenth * SECOND // 10)
    assert shares.are_scarce


def test_cells_add_up_over_hosts() -> None:
    """Hazard: an account that is light at each host is the heaviest of all."""
    hosts = [Shares(flight()) for _ in range(4)]
    for host in hosts:
        for account in range(20, 28):
            for _ in range(2):
                host.served(account << 32 | account)
            host.shed(account << 32 | account)
    for host in hosts:
        for _ in range(2):
            host.served(HEAVY)
        host.shed(HEAVY, 4)
        host.step(NOW)
    one = hosts[0]
    said = [host.said() for host in hosts[1:]]
    assert [len(each) for each in said] == [SAID_BYTES] * 3
    one.heard([*said, b"of another release", b""], NOW)
    one.step(NOW + SECOND // 5)
    for _ in range(2):
        one.served(LIGHT)
    assert one.is_over(HEAVY, 2)
    assert not one.is_over(LIGHT, 2)  # it has as much here, and nothing elsewhere
    one.step(NOW + 2 * SECOND)  # the others are silent
    assert one.is_over(HEAVY, 2) == one.is_over(LIGHT, 2)


def test_host_without_shed_requests_says_nothing(shares: Shares) -> None:
    shares.served(HEAVY)
    shares.step(NOW)
    assert shares.said() == b""


async def test_request_over_its_share_is_held_while_others_go_on() -> None:
    """Hazard: the gate lets a heavy account in that the slow path would not."""
    gateway = Gateway()
    await gateway.begin("running ")
    await gateway.answer(gateway.reached[-1])
    await gateway.begin("heavy")
    shares = gateway.load.shares_had
    heavy = next(
        one for one in gateway.limiter.current.extractor.value_hashes("account", "heavy") if one >= 0
    )
    for _ in range(20):
        shares.served(heavy)
        shares.shed(heavy)
        shares.shed(LIGHT)
    shares.step(gateway.limiter.now_ns() + SECOND)
    assert shares.is_over(heavy)
    await gateway.begin("heavy")
    assert gateway.held == 1
    await gateway.begin("light")
    assert gateway.reached[-1].startswith("light")
    held = next(name for name in gateway.answers if name not in gateway.sent)
    await gateway.pass_by(0.3)
    assert status(gateway, held) == 503


@pytest.mark.parametrize(
    ("engine", "way"), [("48 slots", "one host"), ("small and quick", "one host"), ("48 slots", "shared")]
)
def test_heavy_account_has_hardly_more_than_a_light_one(engine: str, way: str) -> None:
    """Hazard: half of all requests are one account's, and so are half of the answers."""
    phases = (Phase("calm", 5, 0.6), Phase("three times", 20, 3.0))
    found = over_hosts(BY_NAME[engine], (1,), *WAYS[way], phases=phases)
    assert found.heavy < 2.5
    assert found.good > 0.27
