"""Calls through refusals: when a scraper is struck, and how much others keep of their limits beside it.

The decisions of a limiter in virtual time, so a run of a day takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ratelimit import Decision, Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.conduct.stage import conduct_of

IDENTITIES = """
version = 1
[store]
memory = "private"
[identities]
account = { from = "state:account" }
user = { from = "header:x-user" }
name = { from = "path:name" }
"""
MINUTE_S, HOUR_S, DAY_H = 60, 3600, 24
SCRAPED_A_SECOND = 20
SCRAPED_FOR_S = 10 * MINUTE_S
NAIVE_FOR_S = 100 * MINUTE_S
THROWN_FOR_S = 20 * MINUTE_S
CLIENT, STRANGER = "192.0.2.1", "198.51.100.7"
VICTIM: dict[str, Any] = {"state": {"account": "victim"}}
ADDRESSES = (("address", '"ip"', "600/minute", "/*"), ("requests", '"account"', "60/minute", "/*"))
"""Limits of the policy in which strikes are thrown from a shared address: name, per, rate, match."""


class World:
    """Callers of one policy.

    Args:
        limits: name, `per`, rate and `match` of each limit.
    """

    def __init__(self, *limits: tuple[str, str, str, str]) -> None:
        self.clock = ManualClock(1_700_000_000 * 10**9)
        written = "".join(
            f'[[limit]]\nname = "{name}"\nper = {per}\nrate = "{rate}"\nmatch = "{match}"\nadaptive = true\n'
            for name, per, rate, match in limits
        )
        self.limiter = Limiter(Policy.from_toml(IDENTITIES + written), clock=self.clock)

    @property
    def strikes(self) -> int:
        """The strikes of all so far."""
        conduct = conduct_of(self.limiter.current)
        assert conduct is not None
        return int(sum(conduct.strikes()))

    def call(self, path: str = "/v1/chat", client: str = CLIENT, **caller: Any) -> Decision:
        """Decide one request."""
        return self.limiter.decide(client=client, path=path, **caller)

    def calls(self, seconds: float, a_second: float = 1.0, **caller: Any) -> Iterator[Decision]:
        """Call evenly for so long, whatever is answered."""
        for _ in range(int(seconds * a_second)):
            yield self.call(**caller)
            self.clock.advance(1 / a_second)


@contextmanager
def _world(*limits: tuple[str, str, str, str]) -> Iterator[World]:
    made = World(*limits)
    try:
        yield made
    finally:
        made.limiter.close()


def struck_after_s(a_minute: int) -> float | None:
    """Return how long after its first refusal a scraper is struck; None where it never is."""
    with _world(("requests", '"account"', f"{a_minute}/minute", "/*")) as world:
        refused = 0
        for decision in world.calls(SCRAPED_FOR_S, SCRAPED_A_SECOND, **VICTIM):
            refused += not decision.allowed
            if world.strikes:
                return refused / SCRAPED_A_SECOND
    return None


def naive_keeps(a_minute: int) -> float:
    """Return which part of its limit a client of a call a second is served."""
    with _world(("requests", '"account"', f"{a_minute}/minute", "/*")) as world:
        served = sum(decision.allowed for decision in world.calls(NAIVE_FOR_S, **VICTIM))
    return served / (min(MINUTE_S, a_minute) * NAIVE_FOR_S / MINUTE_S)


def victim_of_address_keeps(thrown_for_s: int = THROWN_FOR_S) -> float:
    """Return the part of a victim's calls that are served in the hour after a stranger's from its address.

    The stranger calls without an account as fast as the scraper, and the victim every other second after it.
    """
    with _world(*ADDRESSES) as world:
        for _ in world.calls(thrown_for_s, SCRAPED_A_SECOND, state={}):
            pass
        world.clock.advance(MINUTE_S)  # the limit of the address is whole again
        served = [decision.allowed for decision in world.calls(HOUR_S, 0.5, **VICTIM)]
    return sum(served) / len(served)


def victim_of_name_keeps(hours: int = DAY_H) -> float:
    """Return the part of a victim's calls that are served while another logs in under its name.

    A stranger tries for a minute of each hour, as fast as the scraper. The victim calls every other second.
    """
    login, chat = ("login", '"name"', "5/minute", "/login/{name}"), ("chat", '"user"', "60/minute", "/v1/*")
    named: dict[str, Any] = {"headers": {"x-user": "victim"}, **VICTIM}
    served = asked = 0
    with _world(login, chat) as world:
        for _ in range(hours):
            thrown = {"headers": {"x-user": "victim"}, "path": "/login/victim", "client": STRANGER}
            for _ in world.calls(MINUTE_S, SCRAPED_A_SECOND, **thrown):
                pass
            for decision in world.calls(HOUR_S - MINUTE_S, 0.5, **named):
                served += decision.allowed
                asked += 1
    return served / asked


def report_conduct() -> None:
    """Print what a scraper, a naive client and victims of thrown strikes come to."""
    for a_minute in (20, 60, 600):
        after_s = struck_after_s(a_minute)
        said = "never" if after_s is None else f"after {after_s:.0f} s of refusals"
        print(f"scraper, {SCRAPED_A_SECOND} calls a second on {a_minute} a minute: struck {said}", flush=True)
    for a_minute in (10, 20, 60):
        kept = 100 * naive_keeps(a_minute)
        print(f"naive client, a call a second on {a_minute} a minute: {kept:.0f} % of its limit", flush=True)
    print(f"strikes thrown from a shared address: the victim keeps {100 * victim_of_address_keeps():.1f} %")
    print(f"strikes thrown under the victim's name: the victim keeps {100 * victim_of_name_keeps():.1f} %")
