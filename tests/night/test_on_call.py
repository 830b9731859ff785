"""The questions of a person on call: what each screen says of a night on two hosts, and may not hide."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter
from ratelimit.core.memory.host import set_hosts
from ratelimit.events import Event
from ratelimit.inspection.access.host_state import HostState
from ratelimit.inspection.formatting import instant
from ratelimit.inspection.hosts.policies import brief_policy_words, different_policies, policy_words
from ratelimit.inspection.journal.rejections import rejections
from ratelimit.stores.journal import events_of
from ratelimit.stores.redis.acts import ServerActs
from ratelimit.telemetry.collector import RateLimitCollector
from ratelimit.worker.events.host import HostRecord
from ratelimit.worker.events.reporter import Reporter
from ratelimit.worker.events.watch import EventWatch
from tests.cli.running import in_group, run
from tests.night.two_hosts import Host, two_hosts
from tests.support.redis.patience import until
from tests.support.redis.server import Server

NS = 10**9
ADDRESS = "203.0.113.9"
NETWORK = "network=203.0.113.0"


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Return the host that a person asks, and the one whose applications refuse."""
    server.client.flushall()
    with two_hosts(tmp_path, server.url) as (here, there):
        until(lambda: len(told(here, "acts")["hosts"]) == 2, "both hosts")
        yield here, there


def told(host: Host, command: str, *more: str, code: int = 0) -> dict[str, Any]:
    result = run(*in_group(command), host.path, *more, "--json")
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def journal(host: Host, *more: str) -> list[dict[str, Any]]:
    result = run("journal", host.path, *more, "--json")
    return [json.loads(each) for each in result.stdout.splitlines()]


def reports(server: Server, name: str, ago_s: int = 0) -> None:
    """Have a host report that one worker of it runs."""
    at_ms = time.time_ns() // 1_000_000 - ago_s * 1000
    one = json.dumps({"host": name, "digest": "", "workers": 1})
    server.client.hset("{night}:acts:applied", f"{name} 1", f"{at_ms} {one}")


async def ask(host: Host, account: str, times: int, path: str = "/account") -> list[int]:
    headers = [(b"x-api-key", account.encode())]
    return [(await host.client("GET", path, headers, peer=ADDRESS)).status for _ in range(times)]


async def asked(host: Host, account: str, times: int, path: str = "/account") -> list[int]:
    found = await ask(host, account, times, path)
    await host.limiter.aclose_connections()
    return found


# -- which policy is where -----------------------------------------------------------------------------------


def test_a_reload_names_every_host_that_made_it(hosts: tuple[Host, Host]) -> None:
    here, _ = hosts
    place = here.limiter.store.place
    assert place is not None
    at_ns = here.limiter.now_ns()
    for second, host in enumerate(("web-1", "web-2", "web-3")):
        fields = {
            "digest": "0123456789ab",
            "by": "root",
            "changes": "requests lowered",
            "limits": ["requests"],
        }
        event = Event("policy-reloaded", at_ns + second * NS, host, 7, fields)
        events_of(place).append([event.json().encode()])
    (one,) = journal(here, "--of", "requests")
    assert (one["host"], one["hosts"]) == ("web-1", ["web-1", "web-2", "web-3"])
    assert "web-1, web-2, web-3" in run("journal", here.path, "--of", "web-3").stdout


def test_hosts_with_different_policies_are_named_by_every_screen(
    hosts: tuple[Host, Host], server: Server
) -> None:
    """Hazard: a strict policy is pushed to one host, and a person reads the numbers of both as one."""
    here, there = hosts
    there.path.write_text(there.path.read_text().replace("2/year", "1/year", 1))
    assert there.limiter.reload()
    digests = {f"{each.limiter.policy.digest:012x}" for each in hosts}
    until(lambda: {each["policy"] for each in told(here, "acts")["hosts"]} == digests, "both reports")
    assert all(each["policy_since"] for each in told(here, "acts")["hosts"])
    assert {each["policy"] for each in told(here, "top")["hosts"]} == digests
    doctor = run("doctor", here.path)
    (one,) = [each for each in told(here, "doctor")["checks"] if each["check"] == "policies"]
    assert one["status"] == "warn"
    for screen in (
        doctor.output,
        run("top", here.path, "--once").output,
        run("show", "acts", here.path).output,
        run("show", "refused", here.path).output,
        run("who", here.path, "c-5").output,
    ):
        assert all(digest in screen for digest in digests), screen


def test_one_policy_on_all_hosts_is_no_warning() -> None:
    same = [HostState(name, 2, has_applied=True, policy="0123456789ab") for name in ("web-1", "web-2")]
    assert not different_policies(same)
    assert policy_words(same) == ["0123456789ab on web-1 since its start, on web-2 since its start"]

    gone = HostState("web-3", 2, has_applied=False, silent_s=90, policy="ba9876543210")
    ended = HostState("web-4", 0, has_applied=False, policy="ba9876543210")
    assert not different_policies([*same, gone, ended])
    other = HostState("web-3", 2, has_applied=True, policy="ba9876543210", policy_since_s=1_700_000_000)
    assert "ba9876543210 on web-3 since 2023-11-14 22:13:20 UTC" in different_policies([*same, other])


def test_the_policy_of_many_hosts_is_one_line_of_a_terminal() -> None:
    """Hazard: at 80 columns a dozen hosts push what is wrong off the screen."""
    names = [f"web-{number}.eu-central-1.example.net" for number in range(12)]
    states = [
        HostState(name, 4, has_applied=True, policy="0123456789ab", policy_since_s=1_700_000_000 + 60 * at)
        for at, name in enumerate(names)
    ]
    since = "since 2023-11-14 22:13:20 to 2023-11-14 22:24:20 UTC"
    assert brief_policy_words(states) == [f"0123456789ab on 12 hosts {since}"]
    assert brief_policy_words(states[:1]) == [f"0123456789ab on 1 host {since[:25]} UTC"]
    short = [replace(each, host=f"web-{at}") for at, each in enumerate(states[:2])]
    assert brief_policy_words(short) == [
        "0123456789ab on 2 hosts since 2023-11-14 22:13:20 to 2023-11-14 22:14:20 UTC"
    ]
    alike = [replace(each, policy_since_s=1_700_000_000) for each in short]
    assert brief_policy_words(alike) == ["0123456789ab on web-0, web-1 since 2023-11-14 22:13:20 UTC"]


def test_a_rejected_policy_of_another_host_is_said_as_long_as_it_stands(
    hosts: tuple[Host, Host], server: Server
) -> None:
    """Hazard: an edit that broke a file in the evening is on no screen at night, and ends the next start."""
    here, _ = hosts
    ring, now_ns = events_of(here.limiter.store.place), here.limiter.now_ns()

    def note(name: str, ago_s: int, **fields: Any) -> None:
        ring.append([Event(name, now_ns - ago_s * 10**9, "web-7", 7, fields).json().encode()])

    def screens() -> list[str]:
        commands = (("doctor", here.path), ("top", here.path, "--once"), ("journal", here.path))
        return [" ".join(run(*each).output.split()) for each in commands]

    words = "policy file on web-7 cannot be used since"
    note("policy-rejected", 3 * 86_400, error="line 3 has no end")
    assert not any(words in screen for screen in screens())  # nothing runs there
    reports(server, "web-7")
    for screen in screens():
        assert words in screen
        assert "line 3 has no end" in screen
    note("policy-reloaded", 30, digest="0123456789ab", changes="")
    assert not any(words in screen for screen in screens())


def test_a_mistake_that_is_taken_back_ends_its_rejection(hosts: tuple[Host, Host]) -> None:
    _, there = hosts
    before = there.path.read_text()
    there.path.write_text("no policy")
    there.limiter.reload()
    until(lambda: rejections(there.limiter.store.place), "the rejection")
    there.path.write_text(before)
    there.limiter.reload()
    until(lambda: not rejections(there.limiter.store.place), "the end of the rejection")


def test_a_file_that_was_mended_while_no_worker_ran_is_rejected_no_more(hosts: tuple[Host, Host]) -> None:
    """Hazard: a rejection whose end nobody told stands for good."""
    _, there = hosts
    place = there.limiter.store.place
    at_ns = there.limiter.now_ns() - 3600 * NS
    event = Event("policy-rejected", at_ns, socket.gethostname(), 7, {"error": "no end"})
    events_of(place).append([event.json().encode()])
    assert rejections(place)
    starting = EventWatch(Reporter(place, there.limiter.policy.file.events))
    starting.look(there.limiter, [], there.epoch)
    assert not rejections(place)
    (end,) = [each for each in journal(there) if each["kind"] == "policy-reloaded"]
    assert "can be used again" in end["text"]


# -- the journal of a limit, an account, an address ----------------------------------------------------------


def test_the_journal_of_a_limit_has_the_changes_of_the_policy_that_name_it(hosts: tuple[Host, Host]) -> None:
    _, there = hosts
    there.path.write_text(there.path.read_text().replace("2/year", "1/year", 1))
    there.limiter.reload()
    until(lambda: journal(there, "--of", "requests"), "the change")
    (one,) = journal(there, "--of", "requests")
    assert one["kind"] == "policy-reloaded"
    assert one["fields"]["limits"] == ["requests"]
    assert not [each for each in journal(there, "--of", "card") if each["kind"] == "policy-reloaded"]


def test_acts_are_in_the_journal_of_all_that_they_concern(hosts: tuple[Host, Host]) -> None:
    here, there = hosts
    stop = told(here, "stop", NETWORK, "--yes", "--for", "1h", "--reason", "flood")
    run("act", "budget", "set", here.path, "c-7", "requests=9", "--yes", "--for", "2h")
    until(lambda: len([each for each in journal(there) if each["kind"] == "act-made"]) == 2, "both acts")
    (of_address,) = journal(here, "--of", ADDRESS)
    assert of_address["subject"] == stop["act"]
    shown = f"(flood): network {stop['accounts'][0][:8]} stopped, until "
    assert of_address["text"].startswith(f"act {stop['act']} made by "), of_address["text"]
    assert shown in of_address["text"]
    for name in ("requests", "c-7"):
        (budget,) = journal(here, "--of", name)
        assert "2 requests" not in budget["text"]
        assert "requests: 9" in budget["text"]
        assert ", until " in budget["text"]
    assert not journal(here, "--of", "c-9")
    # What an address is refused by is an answer to who asks about the address.
    assert [each["kind"] for each in told(here, "who", ADDRESS)["acts"]] == ["stop"]


@pytest.mark.parametrize(
    "command",
    [
        ("top", "--once"),
        ("top", "--json"),
        ("top",),
        ("who", "c-5"),
        ("journal",),
        ("show", "acts"),
        ("show", "acts", "--json"),
        ("show", "refused"),
        ("show", "took"),
    ],
    ids=" ".join,
)
def test_who_looks_at_all_hosts_fails_if_one_is_silent(
    hosts: tuple[Host, Host], server: Server, command: tuple[str, ...]
) -> None:
    """Hazard: a script takes what `top` counts for the whole, as its exit code is 0."""
    here, _ = hosts
    assert asyncio.run(asked(here, "c-5", 3)) == [200, 200, 429]
    at = 2 if command[0] == "show" else 1
    words = (*command[:at], here.path, *command[at:])
    assert run(*words).exit_code == 0
    reports(server, "web-9", ago_s=60)
    shown = run(*words)
    assert shown.exit_code == 4, shown.output
    assert "web-9" in shown.stderr
    # A host that was killed long ago ends no script.
    reports(server, "web-9", ago_s=3600)
    assert run(*words).exit_code == 0


# -- what an act refuses -------------------------------------------------------------------------------------


def test_what_a_stop_refuses_is_counted_and_shown_with_the_act(hosts: tuple[Host, Host]) -> None:
    """Hazard: refusals that are in no list: a customer is stopped by mistake, and no screen says so."""
    here, there = hosts
    act = told(here, "stop", "c-8", "--yes", "--for", "1h")["act"]
    assert asyncio.run(asked(there, "c-8", 4)) == [403] * 4
    assert asyncio.run(asked(there, "c-9", 1)) == [200]
    refused = told(there, "refused")["refused"]
    assert [(each["limit"], each["act"], each["per"], each["refused"]) for each in refused] == [
        ("deny list", act, "account", 4)
    ]
    assert f"deny list, act {act}" in run("show", "refused", there.path).stdout
    assert told(there, "refused", "--limit", "deny list")["callers"] == 1
    person = told(here, "who", "c-8")
    assert [(each["limit"], each["act"], each["refused"]) for each in person["refused"]] == [
        ("deny list", act, 4)
    ]
    assert told(here, "who", "c-9", code=0)["refused"] == []
    top = told(here, "top")
    assert {each["limit"]: each["refused"] for each in top["limits"] if each["refused"]} == {"deny list": 4}
    assert [(each["limit"], each["act"]) for each in top["callers"]] == [("deny list", act)]
    # It is known what refused it after the act has ended, too.
    undo = run("act", "undo", here.path, act, "--dry-run")
    assert "is no longer refused by act" in undo.output
    told(here, "undo", act)
    assert [each["act"] for each in told(here, "who", "c-8")["refused"]] == [act]
    assert asyncio.run(asked(there, "c-8", 1)) == [200]


def test_who_is_refused_most_is_one_list_of_all_hosts(
    hosts: tuple[Host, Host], server: Server, tmp_path: Path
) -> None:
    """Hazard: a caller that another host refuses is not in the list, and one of both has half its number."""
    here, there = hosts
    assert asyncio.run(asked(here, "c-5", 4)) == [200, 200, 429, 429]
    assert asyncio.run(asked(there, "c-5", 3)) == [429] * 3
    assert asyncio.run(asked(there, "c-6", 3)) == [200, 200, 429]
    key = f"{here.limiter.current.extractor.value_hash('account', 'c-5'):016x}"
    for host in hosts:
        (first, second) = told(host, "refused")["refused"]
        assert (first["limit"], first["key"], first["refused"], second["refused"]) == ("requests", key, 5, 1)
    table = run("show", "refused", here.path).stdout
    assert table.count(key[:8]) == 1
    assert "last (UTC)  on" in table
    assert run("who", here.path, "c-5").stdout.count(f"account {key[:8]}") == 2  # its name, and one line
    assert asyncio.run(asked(here, "c-7", 1)) == [200]
    # Until the correlator has saved once, nobody knows what is counted for the caller's actor.
    until(lambda: "No limit refused it" in run("who", here.path, "c-7").stdout, "the correlator's save")
    reports(server, "web-9")
    (first, _) = told(here, "refused", code=4)["refused"]
    assert first["refused"] == 5
    assert "no answer from web-9" in run("show", "refused", here.path).stderr
    # A host that is not heard may have refused it.
    assert "As far as is known, no limit refused it" in run("who", here.path, "c-7").stdout


def test_refusals_of_two_stops_each_belong_to_the_act_that_refused(hosts: tuple[Host, Host]) -> None:
    """Hazard: a second stop of a caller takes the first one's refusals over; undoing it seems to free it."""
    here, there = hosts

    def by_act() -> dict[str, int]:
        return {each["act"]: each["refused"] for each in told(here, "who", "c-8")["refused"]}

    first = told(here, "stop", "c-8", "--yes", "--for", "1h")["act"]
    assert asyncio.run(asked(there, "c-8", 4)) == [403] * 4
    second = told(here, "stop", "c-8", "--yes", "--for", "2h")["act"]
    assert asyncio.run(asked(there, "c-8", 3)) == [403] * 3
    assert by_act() == {first: 7}  # which refuses it with or without the second
    told(here, "undo", first)
    assert asyncio.run(asked(there, "c-8", 2)) == [403] * 2
    assert by_act() == {first: 7, second: 2}
    undo = run("act", "undo", here.path, second, "--dry-run").output
    assert "is no longer refused by act" in undo
    # An address that is stopped, too, has its own: the caller is refused by the older act.
    of_network = told(here, "stop", NETWORK, "--yes", "--for", "1h")["act"]
    assert asyncio.run(asked(there, "c-8", 1)) == [403]
    assert asyncio.run(asked(there, "c-9", 5)) == [403] * 5
    assert by_act() == {first: 7, second: 3}
    callers = told(here, "top")["callers"]
    assert {(each["per"], each["act"], each["refused"]) for each in callers} == {
        ("account", first, 7),
        ("account", second, 3),
        ("network", of_network, 5),
    }
    shown = told(there, "refused")["refused"]
    assert {(each["act"], each["refused"]) for each in shown} == {(first, 7), (second, 3), (of_network, 5)}


DENYING = """\
version = 1
events = []
[identities]
account = {{ from = "header:x-api-key" }}
ip = {{ from = "client" }}
[[limit]]
name = "requests"
per = "account"
rate = "2/year"
{more}
[deny]
ip = ["203.0.113.0/24"]
account = ["bad"]
[store]
keys = 1000
memory = "{table}"
"""


@pytest.mark.parametrize("more", ["", 'wait = "1s"'], ids=["compiled", "by stages"])
def test_what_the_policys_deny_list_refuses_is_shown_by_its_entry(tmp_path: Path, more: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(DENYING.format(more=more, table=tmp_path / "table"))
    limiter = Limiter(path)
    try:
        for account, address in (("bad", "192.0.2.1"), ("good", ADDRESS), ("bad", ADDRESS)):
            assert not limiter.decide(identities={"account": account}, client=address).allowed
        assert limiter.decide(identities={"account": "good"}, client="192.0.2.1").allowed
        result = run("show", "refused", path, "--reveal", "bad", "--reveal", ADDRESS, "--json")
        found = json.loads(result.stdout)["refused"]
        assert {(each["per"], each["given"], each["refused"], each["act"]) for each in found} == {
            ("account", "bad", 2, None),
            ("ip", ADDRESS, 1, None),
        }
        who = json.loads(run("who", path, "good", "--json").stdout)
        assert who["refused"] == []
    finally:
        limiter.close()


# -- the server ----------------------------------------------------------------------------------------------


def test_a_server_that_comes_back_empty_is_told_with_what_may_pass_again(
    hosts: tuple[Host, Host], server: Server
) -> None:
    here, there = hosts
    assert asyncio.run(asked(there, "c-5", 3)) == [200, 200, 429]
    assert not [each for each in journal(there) if each["kind"] == "store-emptied"]
    until(lambda: there.epoch and here.epoch, "both hosts know what the server remembers")
    server.client.flushall()

    def emptied() -> list[dict[str, Any]]:
        return [each for each in journal(there) if each["kind"] == "store-emptied"]

    # Each host tells what it let through, as it notices.
    lost = {"requests": 2, "limits": {"requests": 2}}
    until(lambda: lost in [each["fields"] for each in emptied()], "what may pass again")
    assert any("up to 2 requests" in each["text"] for each in emptied())
    assert "came back empty" in run("top", there.path, "--once").output
    assert "came back empty" in run("doctor", there.path).output
    found = {
        sample.name: sample.value
        for family in RateLimitCollector(there.limiter).collect()
        for sample in family.samples
        if sample.name == "ratelimit_store_requests_forgotten_total"
    }
    assert found == {"ratelimit_store_requests_forgotten_total": 2}
    assert asyncio.run(asked(there, "c-5", 3)) == [200, 200, 429]


def test_who_answers_from_this_hosts_memory_while_the_server_is_away(
    server: Server, tmp_path: Path, brief_commands: None
) -> None:
    """Hazard: blind in an outage, even for the host that a person is on."""
    server.client.flushall()
    with two_hosts(tmp_path, server.url) as (here, _):
        until(lambda: len(told(here, "acts")["hosts"]) == 2, "both hosts")
        statuses, found, shown = asyncio.run(in_an_outage(here, server))
        assert statuses == [200, 429, 429]  # half of two, of a host that was not alone
        own = {each["limit"]: each for each in found["limits"]}["requests"]
        assert (own["remaining"], own["of"], own["refuses"]) == (0, 1, True)
        assert (found["limits_of"], found["share"]) == ("this host", 0.5)
        assert found["hosts"]["answered"] != []
        assert found["hosts"]["missing"] == ["other hosts: the server does not answer"]
        assert {each["limit"]: each["refused"] for each in found["refused"]}["requests"] == 3
        assert "each host lets 50 % of each limit through by itself." in shown
        assert "Only for that, on this host, " in shown
        assert (
            "1 request was refused since then, 1 in the last minute, of 1 caller, by `requests` (1)" in shown
        )
        assert "what callers had used of the limits elsewhere." in shown


async def in_an_outage(host: Host, server: Server) -> tuple[list[int], dict[str, Any], str]:
    """Return the statuses of a customer while the server is away, and what a person reads of it then."""
    await ask(host, "c-5", 3)
    set_hosts(host.limiter.table, 2)
    server.kill()
    try:
        others = count()  # one alone would be refused for the share, too, where it takes long to notice
        while not host.limiter.remote["is_away"]:
            await ask(host, f"d-{next(others)}", 1)
        host.limiter.runtime.heartbeat(host.limiter.now_ns())
        statuses = await ask(host, "c-5", 3)
        found = await asyncio.to_thread(told, host, "who", "c-5", code=4)
        shown = await asyncio.to_thread(run, "who", host.path, "c-5")
        await host.limiter.aclose_connections()
        return statuses, found, shown.output
    finally:
        server.start()


def test_an_outage_is_said_with_its_beginning_and_the_hosts_that_are_not_known(
    hosts: tuple[Host, Host], server: Server
) -> None:
    """Hazard: a screen of one host in an outage, that names neither the others nor since when."""
    here, _ = hosts
    record = HostRecord(here.limiter.store.place)
    reports(server, "web-7")
    until(lambda: "web-7" in record.read().hosts, "the hosts that share the server")
    server.kill()
    try:
        record.leave(here.limiter.now_ns(), {})  # as a worker does whose requests find no server
        since = f"since {instant(record.away_since_ns)} UTC"
        for command in (("top", here.path, "--once"), ("journal", here.path), ("show", "acts", here.path)):
            shown = " ".join(run(*command).output.split())
            assert since in shown, command
            assert "web-7" in shown, command
        made = run("act", "stop", here.path, "c-5", "--yes", "--for", "1h")
        label = made.stdout.split()[0]
        assert "-" in label
        assert f"have not confirmed act {label}" in " ".join(made.stderr.split())
        number = label.partition("-")[0]
        undone = run("act", "undo", here.path, f"act {number}", "--json")
        assert json.loads(undone.stdout)["undoes"] == label  # one form of its name
    finally:
        server.start()


# -- whatever a screen shows ---------------------------------------------------------------------------------


def test_a_hash_of_any_screen_is_understood_on_every_host(hosts: tuple[Host, Host]) -> None:
    """Hazard: a hash from a list of all hosts, of a log or of an act that ended fits nobody here."""
    here, there = hosts
    act = told(here, "stop", "c-8", "--yes", "--for", "1h", "--by", "Ann")["act"]
    assert asyncio.run(asked(there, "c-8", 2)) == [403] * 2
    told(here, "undo", act)
    assert asyncio.run(asked(there, "c-5", 4)) == [200, 200, 429, 429]
    assert asyncio.run(asked(there, "c-7", 1)) == [200]
    for name in ("c-8", "c-5", "c-7"):
        written = told(here, "who", name)
        (own,) = {each["hash"] for each in written["callers"]}
        for form in (own[:8], f"hash:{own[:8]}", own, f"account {own[:8]}".split()):
            by_hash = told(here, "who", *([form] if isinstance(form, str) else form))
            assert {each["hash"] for each in by_hash["callers"]} == {own}, (name, form)
            assert by_hash["refused"] == written["refused"], (name, form)
    shown = run("who", here.path, "c-8").stdout
    assert "by Ann" in shown  # who made what refused it, though it has ended
    assert [each["kind"] for each in journal(here, "--of", act)] == ["act-made", "act-undone"]
    live = run("explain", here.path, "-r", "GET /account account=c-8", "--live")
    assert "Ann" not in live.output
    told(here, "stop", "c-8", "--yes", "--for", "1h", "--by", "Bob")
    live = run("explain", here.path, "-r", "GET /account account=c-8", "--live")
    assert "made by Bob" in " ".join(live.output.split())


def test_who_took_most_is_a_question_of_the_command_line(hosts: tuple[Host, Host]) -> None:
    here, there = hosts
    assert asyncio.run(asked(there, "c-5", 2)) == [200, 200]
    assert asyncio.run(asked(there, "c-7", 1)) == [200]
    result = run("show", "took", here.path, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["limits"]["requests"]
    hashes = {name: told(here, "who", name)["callers"][0]["hash"] for name in ("c-5", "c-7")}
    assert [(each["caller"], each["took_at_least"]) for each in found] == [
        (hashes["c-5"], 2),
        (hashes["c-7"], 1),
    ]
    shown = run("show", "took", here.path, "--of", "c-7").stdout
    assert hashes["c-7"][:8] in shown
    assert hashes["c-5"][:8] not in shown
    one = run("show", "took", here.path, "--limit", "requests", "--most", "1").stdout
    assert f"account {hashes['c-5'][:8]}" in one
    assert hashes["c-7"][:8] not in one
    wrong = run("show", "took", here.path, "--limit", "request")
    assert (wrong.exit_code, "Did you mean `requests`?" in wrong.output) == (2, True)


# -- what an act would leave ---------------------------------------------------------------------------------


def test_a_budget_says_which_other_limit_still_binds(hosts: tuple[Host, Host]) -> None:
    here, there = hosts
    assert asyncio.run(asked(there, "c-5", 3, "/tier")) == [200, 200, 429]
    shown = run("act", "budget", "set", here.path, "c-5", "requests=900", "--dry-run").output
    assert "`plans` still refuses it" in shown
    assert "as account" in shown
    freed = run("act", "budget", "set", here.path, "c-5", "plans=900", "--dry-run").output
    assert "still refuses" not in freed
    told(here, "stop", "c-5", "--for", "1h")
    shown = run("act", "budget", "set", here.path, "c-5", "plans=900", "--dry-run").output
    assert "stops it all the same" in shown


def test_reports_of_hosts_have_their_policies(server: Server, hosts: tuple[Host, Host]) -> None:
    here, _ = hosts
    remote = here.limiter.policy.compiled.remote
    assert remote is not None
    reader = ServerActs(remote)
    try:
        policies = {each.policy for each in reader.hosts().values()}
        assert policies == {f"{each.limiter.policy.digest:012x}" for each in hosts}
    finally:
        reader.close()
