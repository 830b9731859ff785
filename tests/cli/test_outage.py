"""The screens of an outage: the same sentence on all of them, and what this host knows of actors."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ratelimit.cli import actors
from ratelimit.core.memory.refusals import refusals_in
from ratelimit.core.memory.table import Table
from ratelimit.decision import VERDICTS
from ratelimit.inspection.actors.actors_here import actors_here
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.journal.outage import ByShare, Outage, outage_of
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.worker.events.host import HostRecord
from tests.cli.running import run, write_policy
from tests.cli.test_actors import actor as actor
from tests.console.driving import reading
from tests.support.acting import BOTS, Actor
from tests.support.redis.port import free_port

POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
match = "/v1/*"
per = "account"
rate = "8/day"
[[limit]]
name = "address"
match = "/v1/*"
per = "ip"
rate = "100/day"
[hashing]
key = "00112233445566778899aabbccddeeff"
[store]
url = "redis://127.0.0.1:{port}/0"
memory = "{path}"
keys = 1000
[correlation]
principal = "account"
"""


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Path]:
    """Yield a policy whose server is not there; its worker refused one caller."""
    path = write_policy(tmp_path, POLICY.format(port=free_port(), path=tmp_path / "table"))
    with closing(Limiter(path)) as worker:
        now_ns = worker.clock.now_ns()
        worker.table.heartbeat(now_ns, is_away=True)
        record = HostRecord(tmp_path / "table")
        record.leave(now_ns, {"refused_by_share": 0})
        record.note_hosts([socket.gethostname(), "web-7"])

        async def ask() -> list[bool]:
            return [
                (
                    await worker.adecide(path="/v1/x", headers=[(b"x-api-key", b"c-5")], client="192.0.2.1")
                ).allowed
                for _ in range(10)
            ]

        assert asyncio.run(ask()) == [True] * 4 + [False] * 6
        yield path


def test_who_is_refused_only_for_the_outage_is_said_and_by_what(away: Path) -> None:
    """Hazard: on call cannot tell whether honest callers are refused as the server is away."""
    outage = outage_of(Policy.load(away))
    assert outage.refused is not None
    ((caller, times),) = outage.refused.most.items()
    assert outage.refused == ByShare(4, 4, 1, {"requests": 4}, {caller: times})
    hashed = json.loads(run("who", away, "c-5", "--json").stdout)["callers"][0]["hash"]
    assert (caller, times) == (f"account {hashed[:8]}", 4)
    said = outage.words
    assert "each host lets 50 % of each limit through by itself" in said
    assert "4 requests were refused since then, 4 in the last minute, of 1 caller, by `requests` (4)" in said
    assert f"; most of all {caller} (4)." in said
    assert "Not known: what web-7 did since then, and what callers had used of the limits elsewhere." in said


def test_numbers_that_hold_refusals_of_an_outage_before_are_left_out(
    away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: "9 requests, by `requests` (9), by `card` (9), some by more than one", of two callers."""
    refused = outage_of(Policy.load(away)).refused
    assert refused is not None
    assert refused.is_exact
    ((caller, _),) = refused.most.items()
    stood_in = refusals_in

    def long_ago(table: Table, now_ns: int) -> list[tuple[Any, ...]]:
        return [(*line[:4], line[4] - 60 * 10**9, *line[5:]) for line in stood_in(table, now_ns)]

    monkeypatch.setattr("ratelimit.inspection.journal.outage.refusals_in", long_ago)
    outage = outage_of(Policy.load(away))
    assert f"of 1 caller, by `requests`; most of all {caller}." in outage.words
    assert json.loads(json.dumps(outage.as_json()))["refused_by_share"]["is_exact"] is False


def test_a_request_that_two_limits_refuse_is_said_to_count_twice() -> None:
    """Hazard: the numbers behind limits come to more than the number of requests, and nobody says why."""
    once = ByShare(6, 2, 2, {"requests": 4, "tokens": 2}).words
    twice = ByShare(6, 2, 2, {"requests": 6, "tokens": 2}).words
    assert twice == once.replace("(4)", "(6)") + ", some by more than one"


@pytest.mark.parametrize(
    "command",
    [
        ("top", "--once"),
        ("show", "refused"),
        ("show", "actors"),
        ("show", "acts"),
        ("show", "budget"),
        ("who",),
        ("journal",),
    ],
)
def test_every_screen_has_that_sentence(away: Path, command: tuple[str, ...]) -> None:
    said = outage_of(Policy.load(away)).words.rstrip(".")
    more = ["c-5"] if command[-1] in ("who", "budget") else []
    words = [each for each in command if not each.startswith("--")]
    flags = [each for each in command if each.startswith("--")]
    shown = run(*words, away, *more, *flags)
    assert said[1:] in " ".join(shown.output.split())
    assert shown.exit_code == 4


def test_a_callers_page_has_that_sentence_above_what_is_left_of_this_hosts_share(away: Path) -> None:
    """Hazard: "limits cannot be looked at", and below it a table of limits that are those of one host."""
    with reading(away) as pages:
        page = pages.find("c-5").text
    assert outage_of(Policy.load(away)).words in page
    assert "cannot be looked at" not in page
    assert "0 of 4" in page


@pytest.mark.parametrize("page", ["/actors", "/limits", "/limit?name=requests", "/changes", "/"])
def test_every_page_has_that_sentence(away: Path, page: str) -> None:
    """Hazard: totals "of all hosts" without a word of the outage; an error in place of this host's actors."""
    with reading(away) as pages:
        assert outage_of(Policy.load(away)).words in pages.get(page).text


def test_a_budget_has_what_who_has_of_this_hosts_share(away: Path) -> None:
    """Hazard: one screen has what is left of the share, and the other one that the server does not answer."""
    (left,) = [
        each
        for each in json.loads(run("who", away, "c-5", "--json").stdout)["limits"]
        if each["limit"] == "requests"
    ]
    budget = json.loads(run("show", "budget", away, "c-5", "--json").stdout)
    (mine,) = budget["limits"]
    assert (
        (mine["number"], mine["remaining"], mine["used"]) == (left["of"], left["remaining"], 4) == (4, 0, 4)
    )
    assert mine["by"] == "this host's share"
    assert abs(mine["retry_after"] - left["retry_after"]) < 60
    assert budget["outage"]["share"] == 0.5


def test_who_set_a_number_is_said_with_that_number_where_a_share_of_it_holds(away: Path) -> None:
    """Hazard: "ann set 5 a day" of an act that set 10, on one screen, and no word of it on the others."""
    run("act", "budget", "set", away, "c-5", "requests=10", "--by", "ann", "--yes")
    for command in (("who",), ("show", "budget")):
        shown = " ".join(run(*command, away, "c-5").output.split())
        assert "requests: ann, as " in shown
        assert re.search(r" set 10 a day \d+ s ago", shown)
        assert "5 a day" in shown
    with reading(away) as pages:
        assert re.search(r" set 10 a day \d+ s ago", pages.find("c-5").text)


def test_actors_are_those_that_this_host_decides_by(away: Path) -> None:
    """Hazard: the command was an error, though each worker has the table of actors that it decides by."""
    shown = run("show", "actors", away, "--json")
    told = json.loads(shown.stdout)
    assert (shown.exit_code, told["actors"], told["found"]) == (4, [], 0)
    assert told["outage"]["refused_by_share"]["limits"] == {"requests": 4}


def test_table_of_this_host_has_the_actors_with_accounts_and_refusals(actor: Actor, tmp_path: Path) -> None:
    found = actors_here(Policy.load(tmp_path / "policy.toml"))
    (one,) = found.actors
    assert {one.identity} == set(actor.clusters(BOTS))
    assert (one.at_least, one.at_most, VERDICTS[one.verdict]) == (60, 66, "certain")  # 6 methods are its own
    assert [each.rule.name for each in one.refused] == ["one actor"]


def test_accounts_of_an_actor_are_accounts_while_the_server_is_away_too(
    actor: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: 60 accounts on one screen and 66 members on another: payment methods were counted."""
    policy = tmp_path / "policy.toml"
    (usual,) = json.loads(run("show", "actors", policy, "--json").stdout)["actors"]
    monkeypatch.setattr(Knowledge, "is_away", True)
    with reading(policy) as pages:
        page = pages.get("/actors").text
    assert f"{usual['actor'][:8]} certain 60 to 66 accounts " in page
    here_only = partial(actors._show_actors_here, Policy.load(policy), 20)
    monkeypatch.setattr(actors, "_show_actors", lambda *_, as_json: here_only(as_json=as_json))
    shown = run("show", "actors", policy).output
    assert "certain  60 to 66 accounts; " in shown
    assert "member" not in shown
    (here,) = json.loads(run("show", "actors", policy, "--json").stdout)["actors"]
    assert here["accounts_at_least"] == usual["accounts"] == 60
    assert here["actor"] == usual["actor"]


def test_nobody_refused_is_said_as_well() -> None:
    said = Outage("web-1", 1_800_000_000 * 10**9, 0.5, ByShare(), ("web-2",)).words
    assert (
        "Only for that, on this host, web-1, nobody was refused that the whole limits had room for." in said
    )


def test_of_many_limits_the_first_are_named() -> None:
    limits = {f"l{at}": 9 - at for at in range(6)}
    assert ByShare(39, 2, 5, limits).words.endswith(
        "by `l0` (9), `l1` (8), `l2` (7), `l3` (6), 2 more limits"
    )
