"""Limits that bind new accounts: which are new, and which are let through."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit import Limiter, Policy, PolicyError
from ratelimit.clock import ManualClock
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


def test_one_old_account_opens_no_limit_for_new_ones_on_its_payment_method() -> None:
    """The opener: an old account asks once an hour, and seven new ones on its card do the work."""
    clock = ManualClock(NOW_S * NS)
    subject = limiter(clock=clock)
    for _ in range(3):
        assert asked(subject, "opener", OLD, payment="card") == ""
        asked(subject, "a0", NOW_S, payment="card")
        rebuilt(subject, clock)
    # A day after the last of these.
    clock.advance(86_400)
    assert asked(subject, "opener", OLD, payment="card") == ""
    found = [asked(subject, f"a{number}", NOW_S, payment="card") for number in range(1, 8)]
    assert found == ["", "", *["new payment methods"] * 5]
    assert [asked(subject, "opener", OLD, payment="card") for _ in range(9)] == [""] * 9


@pytest.mark.parametrize(("created", "statuses"), [(NOW_S, [200, 429, 429]), (OLD, [200, 200, 200])])
@pytest.mark.parametrize("more", ["", '[deny]\nip = ["198.51.100.0/24"]\n'])
async def test_the_middleware_marks_new_accounts_on_either_way(
    created: int, statuses: list[int], more: str
) -> None:
    text = POLICY.replace("state:", "header:x-").replace("version = 1", f"version = 1\n{more}")
    client = mount(text, clock=ManualClock(NOW_S * NS)).client
    headers = [(b"x-api-key", b"a"), (b"x-account_created", str(created).encode())]
    assert await client.statuses(3, headers=headers) == statuses


UNPAID = """
version = 1
[identities]
account = { from = "header:x-api-key" }
payment = { from = "state:payment", missing = "skip" }
sponsor = { from = "state:sponsor", missing = "skip" }
network = { from = "client", prefix = { v4 = 24, v6 = 48 } }
[[limit]]
name = "sponsors"
per = "sponsor"
age = "new"
rate = "5/day"
[[limit]]
name = "free accounts"
per = "account"
age = "new"
payer = "none"
rate = "2/day"
[[limit]]
name = "free accounts of a network"
per = "network"
age = "new"
payer = "none"
rate = "3/day"
[correlation]
principal = "account"
network = ["ip", "network"]
payment = "payment"
sponsor = "sponsor"
created = "state:account_created"
"""


def paid(subject: Limiter, account: str, created: Any, **state: str) -> str:
    """Return which limit refused a request of an account that somebody pays for; empty for none."""
    decision = subject.decide(
        identities={"account": account}, state=state, client="192.0.2.1", created=created
    )
    return decision.limit or ""


def test_accounts_without_a_payment_method_have_less_than_a_budget_however_many() -> None:
    subject = Limiter(Policy.from_toml(UNPAID), clock=ManualClock(NOW_S * NS))
    assert [paid(subject, "a", NOW_S) for _ in range(3)] == ["", "", "free accounts"]
    found = [paid(subject, f"b{number}", NOW_S) for number in range(3)]
    assert found == ["", *["free accounts of a network"] * 2]
    # Whoever is established, of unknown age, or pays, is not counted with them.
    for account, created, state in (
        ("old", OLD, {}),
        ("unknown", None, {}),
        ("payer", NOW_S, {"payment": "card"}),
    ):
        assert [paid(subject, account, created, **state) for _ in range(9)] == [""] * 9


def test_the_sponsor_of_free_credit_is_the_payer_of_its_new_accounts() -> None:
    subject = Limiter(Policy.from_toml(UNPAID), clock=ManualClock(NOW_S * NS))
    found = [paid(subject, f"pupil {number}", NOW_S, sponsor="course") for number in range(7)]
    assert found == ["", "", "", "", "", "sponsors", "sponsors"]
    assert paid(subject, "pupil", NOW_S, sponsor="another course") == ""


def test_a_limit_for_accounts_that_nobody_pays_for_is_one_for_new_ones() -> None:
    with pytest.raises(PolicyError, match='Write `age = "new"`'):
        Policy.from_toml(UNPAID.replace('age = "new"\npayer', "payer"))


async def test_the_middleware_marks_who_pays_on_either_way() -> None:
    for more in ("", '[deny]\nip = ["198.51.100.0/24"]\n'):
        text = UNPAID.replace("state:", "header:x-").replace("version = 1", f"version = 1\n{more}")
        client = mount(text, clock=ManualClock(NOW_S * NS)).client
        headers = [(b"x-api-key", b"a"), (b"x-account_created", str(NOW_S).encode())]
        assert await client.statuses(3, headers=headers) == [200, 200, 429]
        for name in (b"x-payment", b"x-sponsor"):
            pays = [(b"x-api-key", b"p"), *headers[1:], (name, b"p")]
            assert await client.statuses(4, headers=pays) == [200] * 4
