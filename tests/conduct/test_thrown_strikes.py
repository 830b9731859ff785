"""Strikes hit the account that called, on the limit where it did, and are over soon after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ratelimit import Decision, Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.conduct.stage import conduct_of

SECOND = 10**9
MINUTE, HOUR = 60, 3600
IDENTITIES = """
version = 1
proxies = ["10.0.0.0/8"]
[store]
memory = "private"
[identities]
account = { from = "state:account" }
key = { from = "header:authorization" }
api_key = { from = "header:x-api-key" }
user = { from = "header:x-user" }
name = { from = "path:name" }
session = { from = ["state:account", "cookie:sid"] }
"""


def limit(name: str, per: str, rate: str = "60/minute", match: str = "/*", adaptive: str = "true") -> str:
    head = f'[[limit]]\nname = "{name}"\nmatch = "{match}"\nper = {per}\n'
    return f'{head}rate = "{rate}"\nadaptive = {adaptive}\n'


class World:
    """Callers of one policy, in virtual time."""

    def __init__(self, *limits: str) -> None:
        self.clock = ManualClock(1_700_000_000 * SECOND)
        self.limiter = Limiter(Policy.from_toml(IDENTITIES + "".join(limits)), clock=self.clock)

    def call(self, path: str = "/v1/chat", **caller: Any) -> Decision:
        known: dict[str, Any] = {"client": "192.0.2.1", "path": path, **caller}
        return self.limiter.decide(**known)

    def hammer(self, seconds: float, a_second: float = 20, **caller: Any) -> None:
        for _ in range(int(seconds * a_second)):
            self.call(**caller)
            self.clock.advance(1 / a_second)

    def quotas(self, **caller: Any) -> dict[str, int]:
        """Return what a caller's limits allow now."""
        known: dict[str, Any] = {"client": "192.0.2.1", "path": "/v1/chat", **caller}
        return {verdict.limit: verdict.quota for verdict in self.limiter.peek(**known).verdicts}

    @property
    def strikes(self) -> float:
        conduct = conduct_of(self.limiter.current)
        assert conduct is not None
        return sum(conduct.strikes())


@pytest.fixture
def worlds() -> Iterator[list[World]]:
    made: list[World] = []
    yield made
    for world in made:
        world.limiter.close()


def world(worlds: list[World], *limits: str) -> World:
    worlds.append(World(*limits))
    return worlds[-1]


ME: dict[str, Any] = {"state": {"account": "me"}}
VICTIM: dict[str, Any] = {"state": {"account": "victim"}}


@pytest.mark.parametrize("rate", ["20/minute", "60/minute", "600/minute"])
def test_scraper_is_struck_and_its_neighbours_keep_all(worlds: list[World], rate: str) -> None:
    at = world(worlds, limit("requests", '"account"', rate))
    whole = at.quotas(**VICTIM)
    while at.call(**ME).allowed:  # it uses up its burst
        pass
    at.hammer(60, **ME)
    assert at.strikes == 1
    assert at.quotas(**ME)["requests"] <= whole["requests"] * 0.6
    assert at.quotas(**VICTIM) == whole


@pytest.mark.parametrize("rate", ["10/minute", "20/minute", "60/minute"])
def test_naive_client_of_a_call_a_second_keeps_its_limit(worlds: list[World], rate: str) -> None:
    """Hazard: a client without a wait of its own kept a tenth."""
    at = world(worlds, limit("requests", '"account"', rate))
    allowed = 0
    for _ in range(100 * MINUTE):
        allowed += at.call(**ME).allowed
        at.clock.advance(1)
    assert at.strikes == 0
    assert allowed >= min(60, int(rate.split("/")[0])) * 100


@pytest.mark.parametrize("attack_s", [20 * MINUTE])
def test_fault_89_strikes_thrown_from_a_shared_address_hit_nobody(worlds: list[World], attack_s: int) -> None:
    """Hazard: a stranger at the same address left the victim a fifth of its calls."""
    at = world(worlds, limit("address", '"ip"', "600/minute"), limit("requests", '"account"'))
    whole = at.quotas(**VICTIM)
    at.hammer(attack_s, 5, state={})
    at.hammer(attack_s, 5, state={"account": None})
    at.clock.advance(MINUTE)
    assert at.quotas(**VICTIM) == whole
    assert at.strikes == 0
    assert all(at.call(**VICTIM).allowed for _ in range(30))


@pytest.mark.parametrize(
    ("per", "asserted"),
    [
        ("user", {"headers": {"x-user": "victim"}}),
        ("name", {"path": "/login/victim"}),
        ("session", {"headers": {"cookie": "sid=victim"}, "state": {}}),
    ],
    ids=["header", "path", "cookie"],
)
def test_fault_89_strikes_thrown_under_an_asserted_name_hit_nobody(
    worlds: list[World], per: str, asserted: dict[str, Any]
) -> None:
    """Hazard: a minute an hour of `/login` under a victim's name cut its chat limit to an eighth."""
    login, match = limit("login", f'"{per}"', "5/minute", "/login/{name}"), "/v1/*"
    at = world(worlds, login, limit("chat", f'["{per}"]' if per != "name" else '"account"', match=match))
    victim = VICTIM | ({} if per == "name" else asserted)
    victim["path"] = "/v1/chat"
    whole, allowed = at.quotas(**victim), 0
    for _ in range(24):
        at.hammer(MINUTE, client="198.51.100.7", **{"path": "/login/victim", **asserted})
        at.clock.advance(HOUR - MINUTE)
        allowed += sum(at.call(**victim).allowed for _ in range(20))
    assert at.strikes == 0
    assert at.quotas(**victim)["chat"] >= 0.99 * whole["chat"] - 20
    assert allowed >= 0.99 * 24 * 20


@pytest.mark.parametrize(
    ("per", "header", "value"), [("key", "authorization", "Bearer "), ("api_key", "x-api-key", "sk-")]
)
def test_credential_is_proof_since_only_its_holder_can_write_it(
    worlds: list[World], per: str, header: str, value: str
) -> None:
    at = world(worlds, limit("requests", f'"{per}"'))
    at.hammer(3 * MINUTE, headers={header: f"{value}mine"})
    assert at.strikes >= 2
    assert at.quotas(headers={header: f"{value}mine"})["requests"] < 60
    assert at.quotas(headers={header: f"{value}yours"})["requests"] == 60


def test_address_in_place_of_a_missing_account_earns_no_strike(worlds: list[World]) -> None:
    """Hazard: what stands in for an account that is not there is the address, which others share."""
    at = world(worlds, limit("requests", '"account"'))
    at.hammer(5 * MINUTE, state={})
    assert at.strikes == 0
    assert at.quotas(state={})["requests"] == 60


def test_strike_lowers_the_limit_where_it_happened_alone(worlds: list[World]) -> None:
    at = world(
        worlds,
        limit("login", '"account"', "5/minute", "/login/*"),
        limit("chat", '"account"', match="/v1/*"),
        limit("images", '"account"', match="/images/*", adaptive='["login", "images"]'),
    )
    at.hammer(2 * MINUTE, path="/login/now", **ME)
    assert at.strikes >= 1
    assert at.quotas(path="/login/now", **ME)["login"] < 5
    assert at.quotas(**ME)["chat"] == 60
    assert at.quotas(path="/images/1", **ME)["images"] < 60  # the policy says so


def test_bug_of_ten_minutes_is_forgiven_within_the_hour(worlds: list[World]) -> None:
    """Hazard: it cost a day."""
    at = world(worlds, limit("requests", '"account"'))
    at.hammer(10 * MINUTE, **ME)
    assert at.quotas(**ME)["requests"] < 20
    at.clock.advance(HOUR)
    assert at.quotas(**ME)["requests"] == 60


def test_account_that_hammers_all_day_is_not_forgiven_within_the_hour(worlds: list[World]) -> None:
    at = world(worlds, limit("requests", '"account"', "6/minute"))
    at.hammer(2 * HOUR, 5, **ME)
    at.clock.advance(3 * HOUR)
    assert at.quotas(**ME)["requests"] < 5


def test_wait_that_is_told_is_longer_once_refusals_come_fast(worlds: list[World]) -> None:
    at = world(worlds, limit("requests", '"account"', "600/minute"))
    while at.call(**ME).allowed:
        pass
    first = at.call(**ME).retry_after
    at.hammer(10, **ME)
    later = max(at.call(**ME).retry_after or 0 for _ in range(3))
    assert first is not None
    assert first <= 0.1
    assert 2 <= later <= 60


def test_limits_that_earn_no_strikes_are_told_at_the_start() -> None:
    warnings = Policy.from_toml(
        IDENTITIES + limit("a", '"account"') + limit("b", '"user"') + limit("c", "[]") + limit("d", '"ip"')
    ).warnings
    found = [(each.code, each.key) for each in warnings if each.code == "adaptive-unproven"]
    assert [path for _, path in found] == ["limit[1].adaptive", "limit[2].adaptive", "limit[3].adaptive"]
