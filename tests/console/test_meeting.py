"""A campaign on two cards, which nothing finds, and what the policy file declares: where an analyst looks."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import run
from tests.console.driving import Page, Reader, reading
from tests.support.acting import BOTS, END_NS, START_NS, Actor, caught
from tests.support.campaign import HOUR_S, Request, policy_text
from tests.support.time import stop_host

NS = 10**9
CARDS, ACCOUNTS, EXITS, HOURS = 2, 12, 24, 8
KNOWN = """
[correlation.known]
exempt = ["person3"]
networks = ["198.51.100.0/24"]
organisations.Northside = { payment = ["school"], network = ["203.0.113.0/24"] }
"""


def requests() -> Iterator[Request]:
    """Yield two cards' campaign at exits that rotate, people, a school, and callers of a cloud."""
    source = random.Random(7)
    exits = [f"45.{number}.{number * 3}.{7 + number}" for number in range(EXITS)]
    found = []
    for number in range(ACCOUNTS):
        for _ in range(3 * HOURS):
            at_s = source.uniform(0, HOURS * HOUR_S)
            found.append(Request(at_s, f"bot{number}", f"stolen{number % CARDS}", "", source.choice(exits)))
    for number in range(40):
        for hour in range(HOURS):
            at_s, home = hour * HOUR_S + number, f"81.{number}.7.{number}"
            found.append(Request(at_s, f"person{number}", f"card{number}", "", home))
    for number in range(6):
        at_s = 100.0 + number
        found.append(Request(at_s, f"pupil{number}", "school", "", f"203.0.113.{number}"))
        found.append(Request(at_s + 1, f"cloud{number}", f"cloud{number}", "", f"198.51.100.{number}"))
    yield from sorted(found, key=lambda each: each.at_s)


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the policy of a worker that has seen it all, and saved."""
    path = tmp_path / "policy.toml"
    path.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 5000', more=KNOWN))
    actor = Actor(path)
    actor.live(requests())
    end_ns = START_NS + (HOURS + 1) * HOUR_S * NS
    actor.rest_until(end_ns)
    assert actor.limiter.clustering is not None
    actor.limiter.clustering.resign(end_ns)
    stop_host(monkeypatch, end_ns)
    yield path
    actor.limiter.close()


@pytest.fixture
def reader(policy: Path) -> Iterator[Reader]:
    with reading(policy) as found:
        yield found


def declared(page: Page) -> str:
    """Return what a page says that the policy file declares."""
    head = page.html.partition("<dl>")[2].partition("</dl>")[0]
    found = re.findall(r"<dt>declared</dt><dd>(.*?)</dd>", head)
    return "; ".join(found)


def test_a_campaign_on_two_cards_is_shown_beside_either(reader: Reader) -> None:
    """Hazard: two payment methods are fewer than an actor has, and each page shows one card's accounts."""
    for card, beside in (("payment=stolen0", "payment=stolen1"), ("payment=stolen1", "payment=stolen0")):
        page, other = reader.find(card), reader.find(beside)
        hashed = re.findall(r"hash%3A([0-9a-f]{16})", str(other.url))[0]
        said = page.text.partition("Payment methods beside it")[2]
        assert said.startswith(f" {ACCOUNTS} new accounts of two payment methods meet at")
        assert re.search(r"meet at \d+ exits. An actor has 3 methods at least", said)
        assert re.search(rf"payment {hashed[:8]} {ACCOUNTS} {ACCOUNTS} \d+", said)
        assert f"--payment hash:{hashed}" in said
    account = reader.find("bot4")
    assert f"{ACCOUNTS} new accounts of two payment methods meet" in account.text


def test_one_button_makes_them_one_actor(reader: Reader, policy: Path) -> None:
    asked = reader.send(reader.find("payment=stolen0").form("Merge these accounts"))
    assert f"{ACCOUNTS} accounts, with all of their actors, are one actor of {ACCOUNTS}" in asked.text
    reader.send(asked.form("Do it"))
    page = reader.find("payment=stolen0")
    assert f"{ACCOUNTS // CARDS} accounts of late. {ACCOUNTS // CARDS} in actor" in page.text
    assert "Merge these accounts" not in page.text


def test_the_line_that_a_page_shows_declares_both(reader: Reader, policy: Path) -> None:
    page = reader.find("payment=stolen0")
    methods = re.findall(r"--payment (hash:[0-9a-f]{16})", page.text)
    assert len(methods) == CARDS
    command = ("act", "declare", "organisation", policy, "Acme")
    result = run(*command, *(word for each in methods for word in ("--payment", each)))
    assert result.exit_code == 0, result.output
    assert "organisation Acme" in reader.find("payment=stolen1").text


def test_people_and_networks_have_no_line_that_says_nothing(reader: Reader) -> None:
    for name in ("payment=card7", "81.7.7.7"):
        page = reader.find(name)
        assert "<dt>actor</dt>" not in page.html
        assert "Payment methods beside it" not in page.text
    assert "<dt>actor</dt><dd>none</dd>" in reader.find("person7").html


def test_what_the_policy_file_declares_is_on_the_page(reader: Reader) -> None:
    school = reader.find("ip=203.0.113.4")
    assert "organisation Northside, in the policy file" in declared(school)
    assert "organisation Northside" in declared(reader.find("network=203.0.113.4"))
    assert "organisation Northside" in declared(reader.find("payment=school"))
    assert "exempt from limits per actor, in the policy file" in declared(reader.find("person3"))
    assert "a network that unrelated people share" in declared(reader.find("ip=198.51.100.4"))
    assert declared(reader.find("person7")) == declared(reader.find("81.7.7.7")) == ""


def test_what_is_declared_of_an_actor_is_on_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "policy.toml"
    known = '[correlation.known]\nconfirm = ["bot7", "bot8"]\n'
    path.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 5000', more=known))
    actor = caught(path)
    try:
        assert actor.limiter.clustering is not None
        actor.limiter.clustering.resign(END_NS)
        stop_host(monkeypatch, END_NS)
        (name,) = actor.clusters(BOTS)
        with reading(path) as reader:
            page = reader.get(f"/actor?id={name:016x}")
        assert "its actor is confirmed: 2 of its accounts and identifiers, in the policy file" in declared(
            page
        )
    finally:
        actor.limiter.close()
