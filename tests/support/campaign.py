"""A small world for the correlator: honest people, and one actor with many accounts.

The campaign is certain: new accounts that are nowhere at home, on six cards that meet at forty
exits of their own. Only the numbers that speak of size and of old records are turned down. What
is tested with it is the way of evidence and assignments, not how well the classification tells
people apart.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.support.policy_lines import tuned

POLICY = """\
version = 1
{headers}
[store]
{store}
[identities]
account = {{ from = "header:x-api-key" }}
payment = {{ from = "header:x-payment", missing = "skip" }}
client = {{ from = "header:user-agent", missing = "skip" }}
ip = {{ from = "client" }}
network = {{ from = "client/24/48" }}
block = {{ from = "client/16/32" }}
[[limit]]
name = "requests"
match = "/v1/*"
per = "account"
rate = "1000/minute"
[[limit]]
name = "one actor"
match = "/v1/*"
per = "{per}"
rate = "{budget}"
algorithm = "fixed-window"
{mode}
[correlation]
principal = "account"
network = ["ip", "network", "block"]
payment = "payment"
client = "client"
{snapshot}
{more}
"""
NUMBERS = "principals = {}\nidentifiers = {}\nexits = 16.0\nrecords_s = 0\n{}\n"

HOUR_S = 3600


def policy_text(
    *,
    store: str = 'memory = "private"',
    budget: str = "1000000/day",
    snapshot: str = "",
    principals: int = 2_000,
    identifiers: int = 10_000,
    tuning: str = "",
    more: str = "",
    mode: str = "enforce",
    per: str = "cluster",
    headers: Sequence[str] | None = None,
) -> str:
    """Return a policy that correlates."""
    text = POLICY.format(
        store=store,
        budget=budget,
        snapshot=f'snapshot = "{snapshot}"' if snapshot else "",
        more=more,
        mode=f'mode = "{mode}"',
        per=per,
        headers=f"headers = {json.dumps(headers)}" if headers else "",
    )
    return tuned(text, NUMBERS.format(principals, identifiers, tuning))


@dataclass(frozen=True)
class Request:
    """One request of the small world."""

    at_s: float
    account: str
    payment: str
    client: str
    address: str

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"x-api-key", self.account.encode()),
            (b"x-payment", self.payment.encode()),
            (b"user-agent", self.client.encode()),
        ]


def campaign(
    seed: int = 1, *, accounts: int = 60, honest: int = 300, hours: int = 8, first: int = 0
) -> Iterator[Request]:
    """Yield requests in order of time. Accounts of the campaign begin with `bot`, others with `person`."""
    source = random.Random(seed)
    exits = [f"45.{n // 4}.{n % 4 * 16}.{7 + n}" for n in range(40)]
    times: list[tuple[float, str, int]] = []
    for number in range(first, first + accounts):
        times += [(source.uniform(0, hours * HOUR_S), "bot", number) for _ in range(3 * hours)]
    for number in range(honest):
        times += [
            (source.uniform(0, hours * HOUR_S), "person", number)
            for _ in range(1 + source.randrange(2 * hours))
        ]
    for at_s, kind, number in sorted(times):
        name = f"{kind}{number}"
        if kind == "bot":
            yield Request(at_s, name, f"stolen{number % 6}", "farm/1.0", source.choice(exits))
        else:
            home = f"81.{number % 200}.{number % 7}.{number % 250}"
            yield Request(at_s, name, f"card{number}", f"browser/{number % 5}", home)
