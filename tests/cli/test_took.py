"""`ratelimit show took --of ACTOR`: what a campaign of small accounts took, though none is foremost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratelimit.events import Event
from ratelimit.inspection.callers.takings import HOUR_NS, hours_taken
from ratelimit.inspection.journal.entries import journal_of
from ratelimit.policy import Policy
from ratelimit.stores.journal import takings_of
from ratelimit.worker.events.reporter import Reporter
from ratelimit.worker.events.watch import EventWatch
from tests.cli.running import run
from tests.support.acting import BOTS, END_NS, PEOPLE, START_NS, Actor, caught
from tests.support.campaign import Request, policy_text
from tests.support.time import stop_host

NS = 10**9
CREDITS = """
[[limit]]
name = "credits"
match = "* /*"
per = "account"
unit = "credits"
rate = "1000/hour"
cost = 3
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 5000', more=CREDITS))
    return path


@pytest.fixture
def actor(policy: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Actor]:
    """Return a worker that found a campaign, whose accounts ask twice, and ten others many times."""
    found = caught(policy)
    at_s = (END_NS - START_NS) / NS
    asking = [*BOTS, *BOTS, *(PEOPLE[:10] * 20)]
    assert found.live(Request(at_s, name, f"of {name}", "", "192.0.2.1") for name in asking) == 0
    assert found.limiter.clustering is not None
    found.limiter.clustering.resign(END_NS)  # which saves
    stop_host(monkeypatch, END_NS)
    yield found
    found.limiter.close()


def told(policy: Path, *more: str) -> dict[str, Any]:
    result = run("show", "took", policy, "--json", *more)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_campaign_of_small_accounts_took_what_all_of_them_took(actor: Actor, policy: Path) -> None:
    """Hazard: ten honest callers hide sixty accounts that took more in sum, each a little."""
    (name,) = actor.clusters(BOTS)
    (campaign,) = told(policy, "--of", f"{name:016x}")["actors"]
    assert (campaign["actor"], campaign["accounts"]) == (f"{name:016x}", 60)
    assert campaign["asked"] == 60 * 24 + 2 * 60
    credits = campaign["limits"]["credits"]
    assert (credits["unit"], credits["by_account"]) == ("credits", True)
    assert credits["took_at_least"]["1h"] == credits["took_at_least"]["since found"] == 2 * 60 * 3
    assert told(policy, "--of", "bot7")["actors"] == [campaign]
    assert told(policy)["actors"] == []


def test_people_read_what_is_known_and_what_is_not(actor: Actor, policy: Path) -> None:
    (name,) = actor.clusters(BOTS)
    result = run("show", "took", policy, "--of", f"{name:016x}"[:8])
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0].startswith(f"actor {name:016x}"[:14] + " certain 60 accounts, found ")
    assert "all its accounts asked: 1,560 requests in 9 hours; up to" in lines[1]
    assert lines[2] == "took at least 1h today since found unit"
    assert any(each.startswith("credits 360 ") and "by its accounts" in each for each in lines)
    said = " ".join(result.stderr.split())
    assert "credits: counted by the account." in said
    assert 'A limit with per = "cluster" in that unit, be it in shadow, counts all.' in said


def test_an_hour_that_has_ended_keeps_the_sums_of_actors(actor: Actor, policy: Path) -> None:
    """Hazard: the sum is known for an hour, and gone when an analyst comes in the morning."""
    (name,) = actor.clusters(BOTS)
    limiter = actor.limiter
    watch = EventWatch(Reporter(limiter.store.place, limiter.policy.file.events))
    watch.look(limiter)
    actor.clock.set_ns(END_NS + HOUR_NS)
    watch.look(limiter)
    with journal_of(Policy.load(policy)) as journal:
        noted = {each.begin_ns: each for each in hours_taken(journal, 0)}
        assert journal.place is not None
        hour = noted[END_NS // HOUR_NS * HOUR_NS]
        assert hour.actors["credits"] == {name: 360}
        assert len(hour.limits["credits"]) == 10
        assert name in hour.limits["one actor"]
        # What another host noted of the hour before is added.
        fields = {"begin": (END_NS // HOUR_NS - 1) * HOUR_NS // NS, "limits": {}}
        fields["actors"] = {"credits": {f"{name:016x}": 700}}
        takings_of(journal.place).append([Event("takings", END_NS, "web-2", 7, fields).json().encode()])
    (campaign,) = told(policy, "--of", "bot7")["actors"]
    assert campaign["limits"]["credits"]["took_at_least"]["1h"] == 700 + 360
    assert "web-2" in campaign["limits"]["credits"]["hosts"]
