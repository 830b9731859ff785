"""Limits that bind new accounts: which are new, which vouch for a payment method, which are let through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter, Policy, PolicyError
from ratelimit.clock import ManualClock
from ratelimit.identity.fact import Context
from tests.asgi.driver import mount

NS = 10**9
NOW_S = 1_700_000_000
NEW_S = 1_209_600
POLICY = """
version = 1
[identities]
account = { from = "header:x-api-key" }
payment = { from = "state:payment", missing = "skip" }
network = { from = "client", prefix = { v4 = 24, v6 = 48 } }
[[limit]]
name = "new accounts"
per = "account"
age = "new"
rate = "1/day"
[[limit]]
name = "new payment methods"
per = "payment"
age = "new"
rate = "2/day"
[correlation]
principal = "account"
network = ["ip", "network"]
payment = "payment"
created = "state:account_created"
"""
KNOWN = """
[correlation.known]
organisations = [{ name = "Northside schools", %s }]
"""


def limiter(known: str = "", clock: ManualClock | None = None) -> Limiter:
    text = POLICY + (KNOWN % known if known else "")
    return Limiter(Policy.from_toml(text), clock=clock or ManualClock(NOW_S * NS))


def asked(subject: Limiter, account: str, created: Any, *, payment: str = "", ip: str = "192.0.2.1") -> str:
    """Return which limit refused a request; empty for none."""
    state = {"payment": payment} if payment else {}
    decision = subject.decide(identities={"account": account}, state=state, client=ip, created=created)
    return decision.limit or ""


@pytest.mark.parametrize(
    ("created", "is_new"),
    [
        (NOW_S, True),
        (NOW_S - NEW_S + 1, True),
        (NOW_S + 86_400, True),  # clocks differ; what is to come is not old
        (NOW_S - NEW_S, False),
        (NOW_S - 10 * NEW_S, False),
        (None, False),
        ("yesterday", False),
    ],
)
def test_an_account_is_new_for_new_s(created: Any, is_new: bool) -> None:
    subject = limiter()
    found = [asked(subject, "a", created) for _ in range(3)]
    assert found == (["", "new accounts", "new accounts"] if is_new else ["", "", ""])


def test_an_account_grows_out_of_being_new() -> None:
    clock = ManualClock(NOW_S * NS)
    subject = limiter(clock=clock)
    created = NOW_S - NEW_S + 60
    assert [asked(subject, "a", created) for _ in range(2)] == ["", "new accounts"]
    clock.set_ns((NOW_S + 60) * NS)
    assert asked(subject, "a", created) == ""


def test_new_accounts_share_what_their_payment_method_may() -> None:
    subject = limiter()
    found = [asked(subject, f"a{number}", NOW_S, payment="card") for number in range(3)]
    assert found == ["", "", "new payment methods"]
    assert asked(subject, "a9", NOW_S, payment="another") == ""


@pytest.mark.parametrize(
    "known", ['payment = ["card"]', 'network = ["192.0.2.0/24"]', 'account = ["a"], payment = ["card"]']
)
def test_one_line_lets_a_new_organisation_through(known: str) -> None:
    subject = limiter(known)
    assert [asked(subject, "a", NOW_S, payment="card") for _ in range(4)] == [""] * 4
    stranger = [asked(subject, "b", NOW_S, payment="other", ip="203.0.113.1") for _ in range(2)]
    assert stranger == ["", "new accounts"], "and nobody else"


def test_ages_are_asked_for_where_accounts_have_one() -> None:
    text = POLICY.replace('created = "state:account_created"', "")
    with pytest.raises(PolicyError) as found:
        Policy.from_toml(text)
    assert "limit-age" in str(found.value)


OLD = NOW_S - 2 * NEW_S


def rebuilt(subject: Limiter, clock: ManualClock, seconds: int = 7200) -> None:
    """Let time pass, and the correlator look at what was seen."""
    assert subject.clustering is not None
    subject.clustering.tick(clock.now_ns())
    clock.advance(seconds)
    for _ in range(200):
        if not subject.clustering.tick(clock.now_ns()):
            break


def test_a_payment_method_is_as_old_as_its_oldest_account() -> None:
    clock = ManualClock(NOW_S * NS)
    subject = limiter(clock=clock)
    assert asked(subject, "founder", OLD, payment="card") == ""
    assert asked(subject, "hired", NOW_S, payment="card") == ""
    assert asked(subject, "hired", NOW_S, payment="card") == "new accounts", (
        "nothing is known of the card yet"
    )
    rebuilt(subject, clock)
    found = [
        asked(subject, f"hired {number}", NOW_S, payment="card") for number in range(3) for _ in range(2)
    ]
    assert found == [""] * 6
    stranger = [asked(subject, "stranger", NOW_S, payment="another") for _ in range(2)]
    assert stranger == ["", "new accounts"]


def test_an_old_account_makes_no_more_than_one_payment_method_old() -> None:
    clock = ManualClock(NOW_S * NS)
    subject = limiter(clock=clock)
    for number in range(8):
        clock.advance(1200)
        assert asked(subject, "bought", OLD, payment=f"card {number}") == ""
        asked(subject, f"a{number}", NOW_S, payment=f"card {number}")
    rebuilt(subject, clock)
    free = [
        number for number in range(8) if not asked(subject, f"a{number}", NOW_S, payment=f"card {number}")
    ]
    assert free == [7]


def test_what_vouched_for_a_payment_method_outlives_a_restart(tmp_path: Path) -> None:
    clock = ManualClock(NOW_S * NS)
    file = tmp_path / "policy.toml"
    snapshot = f'snapshot = "{tmp_path / "evidence"}"'
    key = '[hashing]\nkey = "000102030405060708090a0b0c0d0e0f"\n[identities]'
    file.write_text(POLICY.replace("[identities]", key) + snapshot)
    first = Limiter(Policy.load(file), clock=clock)
    asked(first, "founder", OLD, payment="card")
    asked(first, "hired", NOW_S, payment="card")
    rebuilt(first, clock)
    first.close()
    other = tmp_path / "other.toml"
    other.write_text(file.read_text())
    second = Limiter(Policy.load(other), clock=clock)
    assert second.clustering is not None
    for _ in range(200):
        if not second.clustering.tick(clock.now_ns()):
            break
    assert [asked(second, "hired", NOW_S, payment="card") for _ in range(3)] == [""] * 3


def test_other_hosts_are_told_of_established_payment_methods() -> None:
    clock = ManualClock(NOW_S * NS)
    here, there = limiter(clock=clock), limiter(clock=clock)
    assert here.clustering is not None
    assert there.clustering is not None
    asked(here, "founder", OLD, payment="card")
    asked(here, "hired", NOW_S, payment="card")
    rebuilt(here, clock)
    watch, other = here.current.watch, there.current.watch
    assert watch is not None
    assert other is not None
    row = here.current.extractor.from_values(
        {"account": "hired", "payment": "card"}, "192.0.2.1", (), Context(created=NOW_S)
    )
    assert other.mark(list(row), clock.now_ns())
    other.assignments.write(there.clustering._board.claim(there.clustering._board.term, 1, clock.now_ns()))
    assert other.assignments.begin()
    assert other.assignments.stage_all(watch.assignments.export())
    assert other.assignments.commit()
    assert not other.mark(list(row), clock.now_ns())


@pytest.mark.parametrize(("created", "statuses"), [(NOW_S, [200, 429, 429]), (OLD, [200, 200, 200])])
@pytest.mark.parametrize("more", ["", '[deny]\nip = ["198.51.100.0/24"]\n'])
async def test_the_middleware_marks_new_accounts_on_either_way(
    created: int, statuses: list[int], more: str
) -> None:
    text = POLICY.replace("state:", "header:x-").replace("version = 1", f"version = 1\n{more}")
    client = mount(text, clock=ManualClock(NOW_S * NS)).client
    headers = [(b"x-api-key", b"a"), (b"x-account_created", str(created).encode())]
    assert await client.statuses(3, headers=headers) == statuses
