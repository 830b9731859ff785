"""A pupil's page: every limit that binds it, by the address and the network of its school, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.driving import Reader, reading
from tests.support.acting import START_NS, Actor
from tests.support.campaign import Request, policy_text
from tests.support.time import stop_host

NS = 10**9
PUPILS = 40
REFUSES = r"refuses: the next request fits in [\w. ]+, all again in [\w. ]+"
BINDS = rf"each network {REFUSES} 0 of 100 network 100 an hour"
MORE = """
[[limit]]
name = "each network"
match = "* /*"
per = "network"
rate = "100/hour"
algorithm = "fixed-window"
[[limit]]
name = "each address"
match = "* /*"
per = "ip"
rate = "30/hour"
algorithm = "fixed-window"
"""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """Return the console after a school has used up its network, and one of its addresses."""
    policy = tmp_path / "policy.toml"
    policy.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 5000') + MORE)
    school = Actor(policy)
    at_s = 60.0
    school.live(
        Request(
            at_s + number,
            f"pupil{number % PUPILS}",
            f"card{number % PUPILS}",
            "",
            f"203.0.113.{7 + number % 4}",
        )
        for number in range(140)
    )
    school.rest_until(START_NS + 300 * NS)
    assert school.limiter.clustering is not None
    school.limiter.clustering.resign(school.clock.now_ns())
    stop_host(monkeypatch, school.clock.now_ns())
    with reading(policy) as found:
        yield found
    school.limiter.close()


def test_a_refused_pupils_page_has_its_schools_limits(reader: Reader) -> None:
    """Hazard: all limits of the account have room, and the page says no more."""
    page = reader.find("pupil7")
    binding = page.html.partition("Limits that bind it</h2>")[2].partition("</table>")[0]
    said = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", binding))
    assert re.search(BINDS, said)
    assert re.search(r"each address has room, all again in [\w. ]+ \d+ of 30 ip 30 an hour", said)
    refusals = page.html.partition("Refused</h2>")[2].partition("</table>")[0]
    assert "each network" in refusals
    network = reader.get(page.link("who=network%3D"))
    assert f"{PUPILS} accounts of late. {PUPILS} in no actor" in network.text
    assert re.search(BINDS, network.text)
    address = reader.get(page.link("who=ip%3D"))
    assert re.search(BINDS, address.text)  # what binds its network binds it


def test_without_correlation_an_address_is_named_beside_the_account(tmp_path: Path) -> None:
    from ratelimit import Limiter
    from tests.cli.running import write_policy
    from tests.console.test_pages import PLAIN

    text = PLAIN.format(tmp_path / "table").replace('per = "account"', 'per = "ip"', 1)
    path = write_policy(tmp_path, text)
    limiter = Limiter(path)
    try:
        for _ in range(3):
            limiter.decide(path="/a", headers={"x-api-key": "eve"}, client="192.0.2.1")
        with reading(path) as reader:
            alone = reader.find("eve")
            assert "nobody knows an account's addresses" in alone.text
            both = reader.send(alone.form("Find both"), beside="192.0.2.1")
            assert re.search(rf"requests {REFUSES} 0 of 2 ip 2 an hour", both.text)
            assert "192.0.2.1" not in str(both.url)
            wrong = reader.send(alone.form("Find both"), 404, beside="192.0.2.0/7")
            assert "192.0.2.0/7" in wrong.html
            assert 'aria-describedby="beside-wrong"' in wrong.html
    finally:
        limiter.close()
