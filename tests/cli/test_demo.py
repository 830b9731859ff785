"""`ratelimit demo`: its arithmetic, its display, and one short real run."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from rich.console import Console

from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.overview import Overview
from ratelimit.demo.api import Accounts, create, report_of
from ratelimit.demo.outcome import (
    Grant,
    State,
    account_of,
    as_json,
    grants_of_policy,
    judge,
    picture,
    plain_line,
    print_verdict,
)
from ratelimit.demo.people import (
    CLUSTER_LIMIT,
    POPULATIONS,
    address_of,
    everyone,
    fastest_pause_s,
    person_of,
)
from ratelimit.demo.run import DemoFailed, free_port, policy_path, run
from ratelimit.policy import Policy
from tests.cli.running import run as run_command
from tests.support.redis.port import free_port as unused_port
from tests.support.redis.server import Server

GRANTS = grants_of_policy(policy_path())


def report(elapsed_s: float, **changes: tuple[int, dict[str, int]]) -> State:
    """Return a state in which each population had this many admitted, and these refused."""
    state = State(20, [8429], "policy.toml")
    populations = {}
    for population in POPULATIONS:
        admitted, refused = changes.get(population.name.replace(" ", "_"), (0, {population.limit or "": 1}))
        if population.honest and population.name not in changes:
            admitted, refused = 100, {}
        populations[population.name] = {"admitted": admitted, "refused": refused, "failed": 0}
    state.take_report(json.dumps({"elapsed_s": elapsed_s, "decided": [0], "populations": populations}))
    return state


def good(state: State) -> dict[str, bool]:
    return {line.population.name: line.good for line in judge(state, GRANTS)}


def test_demos_policy_is_without_a_complaint() -> None:
    assert Policy.load(policy_path()).warnings == ()


def test_each_greedy_population_presses_on_a_limit_of_the_policy() -> None:
    limits = {limit.name for limit in Policy.load(policy_path()).compiled.limits}
    assert {population.limit for population in POPULATIONS if not population.honest} <= limits


def test_honest_people_stay_inside_what_is_granted() -> None:
    grant = GRANTS["requests"]
    for population in POPULATIONS:
        if population.honest:
            fastest_per_minute = 60 / fastest_pause_s(population) * population.parallel
            assert fastest_per_minute <= grant.per_minute
            tokens = GRANTS["output tokens"]
            assert fastest_per_minute * population.output_tokens <= tokens.per_minute * tokens.per_request


def test_everyone_is_somebody_else() -> None:
    accounts = [person.account for _, _, person in everyone()]
    assert len(set(accounts)) == len(accounts)
    homes = {
        address_of(population, number, 0)
        for population, number, _ in everyone()
        if population.places == "home"
    }
    assert len(homes) == sum(p.people for p in POPULATIONS if p.places == "home")


WORDS = (
    "48 payment methods of 240 accounts meet at 144 addresses nobody else uses; none is ever at home; "
    "all are younger than two weeks. It has 0.6 exits for each active account, more than an organisation has."
)
SCHOOL = (
    "6 payment methods of 60 accounts meet at 4 addresses nobody else uses; none is ever at home; "
    "all are younger than two weeks. An organisation that has just come looks like this, too. "
    "Not certain: traffic of about 4 exits where 48 are needed."
)


def found(*, size: int = 240, honest: int = 0, verdict: Verdict = Verdict.CERTAIN) -> str:
    """Return the server's report of a campaign and of the school beside it."""
    members = tuple((key, verdict) for key in range(size + honest))
    campaign = Overview(77, verdict, None, "covert", WORDS, 100, {}, members)
    pupils = tuple((key, Verdict.LIKELY) for key in range(1000, 1060))
    school = Overview(78, Verdict.LIKELY, None, "new and together", SCHOOL, 90, {}, pupils)
    of = {key: "campaign" if key < size else "customers" for key, _ in members}
    return json.dumps(report_of([school, campaign], of | {key: "school" for key, _ in pupils}, 118))


def campaigning(admitted: int, refused: int, **actor: Any) -> State:
    """Return a state at second 40; the campaign was found at second 10, after 240 requests."""
    state = report(10, campaign=(240, {}))
    state.take_actors(found(**actor))
    later = report(40, campaign=(admitted, {CLUSTER_LIMIT: refused}))
    state.elapsed_s, state.populations = later.elapsed_s, later.populations
    state.take_actors(found(**actor))
    return state


def test_everyone_in_the_campaign_is_far_below_their_own_limit() -> None:
    (campaign,) = [population for population in POPULATIONS if population.limit == CLUSTER_LIMIT]
    assert campaign.people * 60 / campaign.pause_s > 10 * GRANTS[CLUSTER_LIMIT].per_minute
    assert 60 / fastest_pause_s(campaign) < GRANTS["requests"].per_minute / 5
    cards = {person_of(campaign, person).card for person in range(campaign.people)}
    assert 1 < len(cards) < campaign.people


def test_campaign_is_held_to_one_budget_from_when_it_was_found() -> None:
    # 240 before it was found, then 20 at once and 120 a minute; some were still outside.
    assert good(campaigning(240 + 20 + 60, 500))["campaign"]
    assert not good(campaigning(240 + 20 + 60 + 60, 500))["campaign"]
    assert not good(campaigning(320, 0))["campaign"]


def test_campaign_that_is_never_one_actor_is_no_success() -> None:
    assert not good(campaigning(320, 500, size=200))["campaign"]
    assert not good(campaigning(320, 500, verdict=Verdict.LIKELY))["campaign"]
    assert good(report(10, campaign=(240, {})))["campaign"]


def test_certain_honest_account_is_a_bad_verdict_and_a_likely_one_is_not() -> None:
    assert good(campaigning(320, 500))["customers"]
    assert not good(campaigning(320, 500, honest=1))["customers"]
    lines = {line.population.name: line for line in judge(campaigning(320, 500), GRANTS)}
    assert lines["school"].good
    assert (
        lines["school"].sentence() == "school: 0 refused of 100; 60 accounts likely one actor, and left alone"
    )


def test_school_shares_with_the_campaign_what_is_free_and_not_what_costs() -> None:
    (school,) = [population for population in POPULATIONS if population.places == "school"]
    (campaign,) = [population for population in POPULATIONS if population.limit == CLUSTER_LIMIT]
    assert (school.days, school.pause_s, school.unevenness, school.cards, len(school.programs)) == (
        campaign.days,
        campaign.pause_s,
        campaign.unevenness,
        campaign.cards,
        len(campaign.programs),
    )
    assert len({person_of(school, person).card for person in range(school.people)}) >= 3
    addresses = {address_of(school, person, call) for person in range(school.people) for call in range(9)}
    assert len(addresses) == 4


async def test_application_says_who_pays_and_since_when_of_accounts_it_knows() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["state"])

    accounts = Accounts(app, now_s=1_800_000_000)
    for key in (person_of(POPULATIONS[0], 0).account, "me"):
        scope = {"type": "http", "headers": [(b"x-api-key", key.encode())], "state": {"kept": 1}}
        await accounts(scope, None, None)  # type: ignore[arg-type]
    created = seen[0].pop("account_created")
    assert seen == [{"kept": 1, "payment": "card-customers-0"}, {"kept": 1}]
    assert 30 * 86400 < 1_800_000_000 - created < 3000 * 86400


def test_summary_compares_with_limits_per_account_alone() -> None:
    state = campaigning(320, 500)
    assert account_of(state) == [
        ("campaign", "320 of 820 requests admitted; limits per account alone: all 820"),
        ("honest", "0 of 500 requests refused; of 200 accounts 0 certain, 60 likely"),
    ]
    told = as_json(state, judge(state, GRANTS))
    (line,) = [each for each in told["populations"] if each["name"] == "campaign"]
    assert (line["admitted_without_clusters"], line["certain"], line["held_since_s"]) == (820, 240, 10)
    assert told["actors"][0]["certain"] == {"campaign": 240}
    assert told["actors"][1]["likely"] == {"school": 60}


def test_one_honest_refusal_is_a_bad_verdict() -> None:
    assert all(good(report(20)).values())
    assert not good(report(20, customers=(99, {"requests": 1})))["customers"]


@pytest.mark.parametrize(("admitted", "verdict"), [(3 * 30, True), (3 * 31, True), (3 * 31 + 1, False)])
def test_greedy_are_held_to_what_the_policy_grants(admitted: int, verdict: bool) -> None:
    # 60 a minute and 10 at once: 30 each in 20 seconds, and one of slack.
    assert good(report(20, hammer=(admitted, {"requests": 500})))["hammer"] is verdict


def test_never_refused_at_all_is_no_success() -> None:
    assert not good(report(20, hammer=(5, {})))["hammer"]
    assert good(report(3, hammer=(5, {})))["hammer"]


def test_verdict_speaks_to_people_and_machines() -> None:
    state = report(20, hammer=(90, {"requests": 500}))
    lines = judge(state, GRANTS)
    assert lines[0].sentence() == "customers: 0 refused of 100"
    (hammer,) = [line for line in lines if line.population.name == "hammer"]
    assert hammer.sentence() == "hammer: 500 refused of 590 by “requests”, 90 a minute (granted: 90)"
    told = as_json(state, lines)
    assert told["good"] is True
    (hammers,) = [each for each in told["populations"] if each["name"] == "hammer"]
    assert hammers["refused_by"] == {"requests": 500}


def test_grants_come_from_the_policy() -> None:
    assert GRANTS["requests"] == Grant(burst=10, per_minute=60)
    assert GRANTS["output tokens"].per_request > 1
    assert "streams at once" not in GRANTS


@pytest.mark.parametrize("width", [60, 80, 130])
def test_picture_fits_its_terminal(width: int) -> None:
    state = report(10, hammer=(90, {"requests": 500}), campaign=(320, {CLUSTER_LIMIT: 500}))
    state.take_actors(found())
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as capture:
        console.print(picture(state, width))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) < 24
    assert any("certain: campaign, 240 accounts, one budget" in line for line in lines)
    assert any("48 payment methods of 240 accounts meet" in line for line in lines)
    assert any("likely: school, 60 accounts, shown, and left" in line for line in lines)
    assert any("Not certain: traffic of about 4 exits" in line for line in lines)
    assert any("hammer" in line and "500" in line for line in lines)
    line = plain_line(state)
    assert "90/503" in line.split()  # of the other greedy, one each
    assert "\n" not in line
    assert len(line) <= 120


@pytest.mark.parametrize("width", [80, 120])
def test_last_words_say_of_each_actor_why_within_the_terminal(width: int) -> None:
    state = campaigning(320, 500)
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as capture:
        print_verdict(console, state, judge(state, GRANTS))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert f"certain 240 accounts. {WORDS}" in text
    assert f"likely 60 accounts. {SCHOOL}" in text


async def test_visitor_is_told_how_to_try_it_and_is_limited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(policy_path().read_text() + '\n[store]\nmemory = "private"\n')
    (policy.parent / "tuning.toml").write_text(policy_path().with_name("tuning.toml").read_text())
    monkeypatch.setenv("RATELIMIT_DEMO_POLICY", str(policy))
    address = "http://127.0.0.1:8429"
    transport = httpx.ASGITransport(app=create(), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url=address) as client:
        told = (await client.get("/")).text
        assert f"curl -si -w '\\n\\n' {address}/v1/chat/completions \\\n" in told
        assert max(map(len, told.splitlines())) <= 80
        assert (await client.get("/actors")).json() == {"actors": []}
        statuses = []
        bodies = (b'{"messages": [], "max_tokens": 20}', b"", b"hello", b"[]", b'{"max_tokens": []}')
        for number, body in enumerate(bodies):
            # Each with a key of its own: a body that cannot be read reserves all that a small budget has.
            key = {"x-api-key": f"visitor {number}"}
            for content in (body, b'{"max_tokens": 20}'):
                reply = await client.post("/v1/chat/completions", headers=key, content=content)
                statuses.append(reply.status_code)
        assert statuses == [200, 200, 200, 200, 400, 200, 400, 200, 400, 200]
        key = {"x-api-key": "me"}
        # Ten at once: refused in the end, however slowly we ask, since answers take no second.
        more = [(await client.post("/v1/chat/completions", headers=key)).status_code for _ in range(40)]
        assert more[:4] == [200] * 4
        assert 429 in more


def test_taken_port_is_a_sentence() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(DemoFailed, match="--port"):
            free_port(port)
        result = run_command("demo", "--port", port, "--seconds", 1)
        assert result.exit_code == 4
        assert isinstance(result.exception, SystemExit)


def children(mark: str) -> set[str]:
    """Return the demo's processes that are alive, of those started with this mark in the environment."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if f"RATELIMIT_TEST_MARK={mark}".encode() not in (entry / "environ").read_bytes().split(b"\0"):
                continue
        except (OSError, ValueError):
            continue
        if b"ratelimit.demo.server" in words or b"ratelimit.demo.crowd" in words:
            found.add(entry.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for leftovers in /proc")
def test_short_real_run_admits_the_honest_and_leaves_nothing_behind() -> None:
    # Other runs of this suite on this host have demos of their own.
    mark = uuid4().hex
    environment = {**os.environ, "RATELIMIT_TEST_MARK": mark}
    command = [sys.executable, "-m", "ratelimit.cli.main", "demo", "--seconds", "4", "--json"]
    command += ["--port", str(unused_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as done:
        pause = threading.Event()
        while not children(mark) and done.poll() is None:  # so that a mark is a mark
            pause.wait(0.05)
        out, err = done.communicate(timeout=90)
    assert done.returncode == 0, err.decode()
    told = json.loads(out)
    by_name = {each["name"]: each for each in told["populations"]}
    honest, hammer = by_name["customers"], by_name["hammer"]
    assert all(each["refused"] == each["certain"] == 0 for each in by_name.values() if each["honest"])
    assert honest["admitted"] > 10
    assert hammer["refused"] > 10
    assert hammer["good"]
    assert hammer["refused_by"] == {"requests": hammer["refused"]}  # as its refusals told it
    assert children(mark) == set()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for leftovers in /proc")
def test_two_hosts_have_one_budget_in_a_redis_and_leave_nothing_there(server: Server) -> None:
    mark = uuid4().hex
    environment = {**os.environ, "RATELIMIT_TEST_MARK": mark}
    server.client.set("somebody else's", "key")
    command = [sys.executable, "-m", "ratelimit.cli.main", "demo", "--seconds", "8", "--json"]
    command += ["--port", str(unused_port()), "--redis", server.url]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    told = json.loads(done.stdout)
    by_name = {each["name"]: each for each in told["populations"]}
    assert len(told["decided"]) == 2
    assert min(told["decided"]) > 0.4 * sum(told["decided"])
    assert by_name["hammer"]["refused"] > 10
    assert by_name["hammer"]["good"]  # of both hosts together
    assert all(each["refused"] == 0 for each in by_name.values() if each["honest"])
    assert server.client.keys("*") == ["somebody else's"]
    assert children(mark) == set()


def test_redis_that_does_not_answer_is_a_sentence() -> None:
    result = run_command("demo", "--redis", f"redis://:secret@127.0.0.1:{unused_port()}/0", "--seconds", 1)
    assert result.exit_code == 4
    assert "no Redis answers at 127.0.0.1" in result.stderr
    assert "secret" not in result.stderr


def test_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "policy.toml"
    broken.write_text("version = 7\n")
    monkeypatch.setattr("ratelimit.demo.run.policy_path", lambda: broken)
    for patience_s in (6.0, 60.0):  # a busy machine may take longer than that until it says anything
        monkeypatch.setattr("ratelimit.demo.run.START_S", patience_s)
        with pytest.raises(DemoFailed) as failed:
            asyncio.run(run(1, [unused_port()], 1, lambda state: None))
        if "said nothing" not in (said := str(failed.value)):
            break
    assert "version" in said
