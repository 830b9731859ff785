"""The console's pages: who may look, what they refuse to do, and what others wrote."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ratelimit import Limiter
from ratelimit.console import console_app
from ratelimit.console.observation import Observation
from ratelimit.console.pages import LOOKING
from ratelimit.console.visit import COOKIE
from ratelimit.errors import UsageError
from ratelimit.inspection.access.host_state import HostState
from ratelimit.inspection.hosts.moment import HostMoment, Moment
from tests.cli.running import run, write_policy
from tests.cli.test_actors import key_of
from tests.console.driving import TOKEN, Page, Reader, mounted, reading
from tests.support.acting import BOTS, Actor
from tests.support.campaign import Request

PLAIN = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
match = "/a"
per = "account"
rate = "2/hour"
[[limit]]
name = "trial"
match = "/b"
per = "account"
rate = "2/hour"
mode = "shadow"
[store]
keys = 1000
memory = "{}"
"""


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Path]:
    """Return a policy that correlates nothing; eve was refused by one limit, and would be by another."""
    path = write_policy(tmp_path, PLAIN.format(tmp_path / "table"))
    limiter = Limiter(path)
    for _ in range(5):
        for route in ("/a", "/b"):
            limiter.decide(path=route, headers={"x-api-key": "eve"}, client="192.0.2.1")
    yield path
    limiter.close()


def acts(policy: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("show", "acts", policy, "--json").stdout)["acts"]
    return found


def pages_of(actor: Actor, reader: Reader) -> Iterator[Page]:
    """Open every page there is."""
    (name,) = actor.clusters(BOTS)
    person = reader.find("bot7")
    exempting = reader.send(person.form("Exempt from limits per actor"))
    yield exempting
    reader.send(exempting.form("Do it"))
    more = {
        "/limit": "?name=one%20actor",
        "/actor": f"?id={name:016x}",
        "/person": f"?who=account%3Dhash%3A{key_of(actor, 'bot7'):016x}",
        "/act": "?act=1",
    }
    for path in LOOKING:
        if path != "/members.csv":
            yield reader.get(path + more.get(path, ""))


def test_no_page_has_scripts_or_styles_of_its_own(actor: Actor, reader: Reader) -> None:
    """Hazard: a policy without inline scripts that pages need inline scripts for."""
    seen = 0
    for page in pages_of(actor, reader):
        seen += 1
        assert page.headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'; style"
        )
        assert page.headers["cache-control"] == "no-store"
        assert re.findall(r"<(?:script|style)\b(?![^>]*\bsrc=)", page.html) == []
        assert re.findall(r"<[^>]*\s(?:style|on\w+)=", page.html) == []
        assert re.findall(r"""(?:src|href|action)=["'](?:https?:)?//""", page.html) == []
        assert re.findall(r"<h1>[^<]", page.html), page.url
        assert re.findall(r"<title>[^<–]+–", page.html)
    assert seen == len(LOOKING)


# -- who may look ------------------------------------------------------------------------------


def test_nobody_looks_without_the_token(plain: Path) -> None:
    with TestClient(console_app(plain, token=TOKEN)) as client:
        for path in (*LOOKING, "/stream"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert "requests" not in answer.text
        assert client.post("/find", data={"who": "eve"}).status_code == 401
        assert client.get("/enter", params={"token": "another"}).status_code == 401
        assert client.post("/enter", data={"token": "another token of some"}).status_code == 401
        client.cookies.set(COOKIE, "0" * 32 + "." + "0" * 64)
        assert client.get("/limits").status_code == 401
        client.cookies.clear()
        entered = client.post("/enter", data={"token": TOKEN}, follow_redirects=False)
        assert entered.status_code == 303
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert TOKEN not in cookie
        assert client.get("/limits").status_code == 200


def test_an_application_says_who_may_look(plain: Path) -> None:
    for name, code in (("ann", 200), (None, 403), ("", 403)):
        with mounted(plain, lambda request, name=name: name) as reader:
            page = reader.get("/limits", code)
            assert ("requests" in page.text) is (code == 200)
            assert reader.client.get("/staff/limits/enter").status_code == (404 if code == 200 else code)


def test_acts_are_made_under_the_users_name(plain: Path) -> None:
    with mounted(plain, lambda request: "ann@example.org") as reader:
        page = reader.find("eve")
        assert str(page.url.path) == "/staff/limits/person"
        reader.send(reader.send(page.form("Stop")).form("Do it"))
    (made,) = acts(plain)
    assert made["by"].startswith("ann@example.org, as ")


def test_console_without_any_authentication_is_an_error(plain: Path) -> None:
    for wrong in ({}, {"token": TOKEN, "user": lambda request: "ann"}, {"token": "short"}):
        with pytest.raises(UsageError):
            console_app(plain, **wrong)


# -- forms -------------------------------------------------------------------------------------


def test_a_form_of_another_site_does_nothing(plain: Path) -> None:
    with reading(plain) as reader, reading(plain) as other:
        asking = reader.send(reader.find("eve").form("Stop"))
        form = asking.form("Do it").filled()
        theirs = other.send(other.find("eve").form("Stop")).form("Do it").filled()
        for data, headers in (
            ({**form, "mark": []}, {}),
            ({**form, "mark": ["0" * 64]}, {}),
            ({**form, "mark": theirs["mark"]}, {}),
            (form, {"origin": "http://evil.example"}),
            (form, {"origin": "null"}),
            (form, {"sec-fetch-site": "cross-site"}),
        ):
            answer = reader.client.post("/acts", data=data, headers=headers)
            assert answer.status_code == 403, (data, headers)
            assert "Nothing was done." in answer.text
        assert acts(plain) == []
        own = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}
        assert reader.client.post("/acts", data=form, headers=own).status_code == 200
        assert len(acts(plain)) == 1


def test_a_form_as_long_as_none_of_ours_is_not_read(plain: Path) -> None:
    with reading(plain) as reader:
        assert reader.client.post("/find", content=b"who=" + b"x" * 70_000).status_code == 413


def test_two_tabs_do_not_act_twice(plain: Path) -> None:
    """Hazard: an act on a page that has become stale."""
    with reading(plain) as reader:
        one, other = (reader.send(reader.find("eve").form("Stop")) for _ in range(2))
        reader.send(one.form("Do it"))
        again = reader.send(other.form("Do it"), 409)
        assert "Nothing was done: something has changed" in again.text
        assert "act 1 stops account" in again.text
        assert reader.send(one.form("Do it"), 409).status == 409  # sent twice
        assert len(acts(plain)) == 1
        # What is agreed to anew is done.
        reader.send(again.form("Do it all the same"))
        assert len(acts(plain)) == 2


def test_an_act_that_was_taken_back_elsewhere_is_not_undone_again(plain: Path) -> None:
    with reading(plain) as reader:
        reader.send(reader.send(reader.find("eve").form("Stop")).form("Do it"))
        tabs = [reader.send(reader.get("/audit").form("Undo act 1")) for _ in range(2)]
        assert run("act", "undo", plain, "1").exit_code == 0
        for tab in tabs:
            assert "no act 1 is in force" in reader.send(tab.form("Do it"), 404).text
        assert [each["kind"] for each in acts(plain)] == ["stop", "undo"]


def test_an_act_of_the_command_line_shows_at_once(actor: Actor, reader: Reader, policy: Path) -> None:
    (name,) = actor.clusters(BOTS)
    assert "60 accounts" in reader.get(f"/actor?id={name:016x}").text
    assert run("act", "exempt", policy, "bot7").exit_code == 0
    assert "59 accounts" in reader.get(f"/actor?id={name:016x}").text
    assert "act 1" in reader.find("bot7").text


def test_addresses_of_pages_hold_hashes_alone(plain: Path) -> None:
    """Hazard: an account's name in the log of a server, or in a browser's history."""
    with reading(plain) as reader:
        answer = reader.client.post(
            "/find", data=reader.get("/").form("Find").filled(who="eve"), follow_redirects=False
        )
        assert answer.status_code == 303
        assert "eve" not in answer.headers["location"]
        assert re.fullmatch(r"/person\?who=account%3Dhash%3A[0-9a-f]{16}", answer.headers["location"])
        assert "eve" not in reader.get(answer.headers["location"]).html


# -- what is not there --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/limit?name=request", 404, "Did you mean `requests`?"),
        ("/actor?id=0123456789abcdef", 404, "no correlation, so there are no actors"),
        ("/actors", 404, "no correlation"),
        ("/act?act=7", 404, "there is no act 7"),
        ("/person", 400, "nobody is named"),
        ("/person?who=hash:00000000", 404, "nobody known here has the hash"),
        ("/person?who=nothing=7", 400, "no identity"),
    ],
)
def test_what_is_not_there_is_said(plain: Path, path: str, code: int, words: str) -> None:
    with reading(plain) as reader:
        assert words in reader.get(path, code).text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "reboot", "who": "eve"}, "there is no such act"),
        ({"kind": "stop", "who": "eve adam"}, "takes one caller"),
        ({"kind": "merge", "who": "eve"}, "at least 2 accounts"),
        ({"kind": "organisation", "name": "Acme"}, "needs what its members share"),
    ],
)
def test_an_act_that_is_none_is_said(plain: Path, fields: dict[str, str], words: str) -> None:
    with reading(plain) as reader:
        form = reader.find("eve").form("Stop")
        form.fields = [each for each in form.fields if each[0] == "mark"]
        assert words in reader.send(form, 400, **fields).text


def test_a_span_too_long_does_nothing(plain: Path) -> None:
    with reading(plain) as reader:
        asking = reader.send(reader.find("eve").form("Stop"))
        assert "31d is the longest" in reader.send(asking.form("Do it"), 400, **{"for": "40d"}).text
        assert acts(plain) == []


def test_console_opens_before_any_worker_has_run(tmp_path: Path) -> None:
    path = write_policy(tmp_path, PLAIN.format(tmp_path / "table"))
    with reading(path, code=503) as reader:
        page = reader.get("/", 503)
        assert "no worker of" in page.text
        assert "Start the application" in page.text


def test_a_broken_file_is_said_and_what_is_in_force_is_shown(plain: Path) -> None:
    with reading(plain) as reader:
        assert "requests" in reader.get("/").text
        plain.write_text(plain.read_text("utf-8") + "\n[[limit]]\nname = 7\n", "utf-8")
        page = reader.get("/")
        assert "this goes by the policy in force since" in page.text
        assert "requests" in page.text


def test_first_page_says_what_limits_refused_in_the_last_minute(plain: Path) -> None:
    """Hazard: a first look has no rates yet, and totals alone do not say what refuses now."""
    for path in ("/", "/limits"):
        with reading(plain) as reader:  # a console of its own: the second look at one has rates
            text = reader.get(path).text
            assert "last minute first" in text or "last minute come first" in text
            assert "Totals are of all hosts, since their memory began." in text
            assert re.search(r"requests\s+3\s+–\s+–\s+–\s+3\s+0\s+2\b", text), text
            assert re.search(r"trial\s+shadow\s+would 3\s+–", text), text


def test_page_of_a_limit_says_what_it_refused_in_the_last_minute(plain: Path) -> None:
    """Hazard: its callers come by the last minute, and what it says of itself has totals alone."""
    with reading(plain) as reader:
        limit = reader.get("/limit?name=requests").text
        assert "refused 3, 3 in the last minute" in limit
        assert "Callers, those refused most in the last minute first" in limit
        assert "would have refused 3, 3 in the last minute" in reader.get("/limit?name=trial").text
        assert "those refused most in the last minute first" in reader.get("/limit?name=deny%20list").text


def test_callers_of_a_limit_in_shadow_are_shown(plain: Path) -> None:
    with reading(plain) as reader:
        limit = reader.get("/limit?name=trial")
        assert re.search(r"account [0-9a-f]{8} would refuse 3 3", limit.text)
        person = reader.get(limit.link("/person?who="))
        assert re.search(r"trial 3 would refuse account [0-9a-f]{8}", person.text)
        assert re.search(r"requests 3 refused account [0-9a-f]{8}", person.text)


# -- live ----------------------------------------------------------------------------------------


async def test_a_page_that_stays_open_is_told_what_changes(plain: Path) -> None:
    app = console_app(plain, user=lambda request: "ann")
    sent: list[dict[str, Any]] = []
    heard = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await heard.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message.get("body"):
            heard.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": "GET",
        "path": "/stream",
        "raw_path": b"/stream",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"testserver")],
        "scheme": "http",
        "server": ("testserver", 80),
    }
    async with asyncio.timeout(30):
        await app(scope, receive, send)
    (start, event, *_) = sent
    assert (b"content-type", b"text/event-stream; charset=utf-8") in start["headers"]
    text = event["body"].decode()
    assert text.endswith("\n\n")
    assert all(line.startswith("data: ") for line in text.strip().splitlines())
    assert "requests" in text


# -- names ----------------------------------------------------------------------------------------


def test_hashes_of_a_list_are_those_of_the_export(
    actor: Actor, reader: Reader, policy: Path, tmp_path: Path
) -> None:
    (tmp_path / "accounts.txt").write_text("\n".join([*BOTS, "person1", 'a"b, c']) + "\n", "utf-8")
    result = run("make", "hashes", policy, tmp_path / "accounts.txt", "-o", tmp_path / "names.csv")
    assert result.exit_code == 0, result.output
    names = dict(line.split(",", 1) for line in (tmp_path / "names.csv").read_text("utf-8").splitlines())
    (name,) = actor.clusters(BOTS)
    page = reader.get(f"/members.csv?id={name:016x}")
    assert page.headers["content-type"] == "text/csv; charset=utf-8"
    _, *rows = page.html.splitlines()
    assert {names[row[:16]] for row in rows} == set(BOTS)
    assert "bot" not in page.html
    assert '"a""b, c"' in names.values()


def test_hashes_of_an_identity_and_wrong_lines(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("eve\n192.0.2.1\n", "utf-8")
    result = run("make", "hashes", plain, tmp_path / "list.txt", "--identity", "ip")
    assert result.exit_code == 3
    assert result.stdout.endswith(",192.0.2.1\n")
    assert run("make", "hashes", plain, tmp_path / "list.txt", "--identity", "nothing").exit_code == 2


def test_one_campaign_more_is_found_after_a_while(actor: Actor, reader: Reader) -> None:
    """Hazard: pages that go on showing evidence that was read once."""
    assert "not known here" in reader.find("newcomer").text
    actor.decide(Request(9 * 3600, "newcomer", "own card", "", "198.51.100.7"))
    assert actor.limiter.clustering is not None
    actor.tick()
    actor.limiter.clustering.resign(actor.clock.now_ns())
    assert "not known here" not in reader.find("newcomer").text


def test_units_of_a_bucket_are_given_back_from_a_page(tmp_path: Path) -> None:
    """Hazard: a page has words for the acts of windows alone, and fails for those of buckets."""
    path = write_policy(tmp_path, PLAIN.format(tmp_path / "table").replace("2/hour", "2/year"))
    limiter = Limiter(path)
    try:
        for _ in range(2):
            limiter.decide(path="/a", headers={"x-api-key": "eve"}, client="192.0.2.1")
        with reading(path) as reader:
            page = reader.find("eve")
            changing = next(each for each in page.forms if ("kind", "budget set") in each.fields)
            for kind, numbers in (("budget add", "requests=1"), ("budget reset", "requests")):
                asked = reader.send(changing, kind=kind, numbers=numbers)
                assert "Give units back" in asked.text
                reader.send(asked.form("Do it"))
        assert [each["kind"] for each in acts(path)] == ["budget-back"] * 2
    finally:
        limiter.close()


def test_a_customers_budget_is_changed_from_its_page(tmp_path: Path) -> None:
    text = PLAIN.format(tmp_path / "table").replace(
        'rate = "2/hour"', 'rate = "2/year"\nalgorithm = "fixed-window"', 1
    )
    path = write_policy(tmp_path, text)
    limiter = Limiter(path)
    try:
        limiter.decide(path="/a", headers={"x-api-key": "eve"}, client="192.0.2.1")
        with reading(path) as reader:
            page = reader.find("eve")
            changing = next(each for each in page.forms if ("kind", "budget set") in each.fields)
            asked = reader.send(changing, numbers="requests=9")
            assert "requests: account" in asked.text
            reader.send(asked.form("Do it"), reason="a trial")
            assert "8 of 9" in reader.find("eve").text
            adding = reader.send(changing, kind="budget add", numbers="requests=5")
            assert "For how long" not in adding.text  # it ends with the window
            reader.send(adding.form("Do it"))
            assert "13 of 14" in reader.find("eve").text
            assert "names no limit" in reader.send(changing, 400, numbers="9").text
        assert [each["kind"] for each in acts(path)] == ["budget", "budget-more"]
    finally:
        limiter.close()


def test_pages_of_limits_say_whose_counts_they_lack(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: "totals are of all hosts" while one is silent and one has ended."""
    with reading(plain) as reader:
        usual = Observation.moments
        hosts = [
            HostMoment("web-7", None, HostState("web-7", 2, False, silent_s=75, late_s=75)),
            HostMoment("web-8", None, HostState("web-8", 0, False, late_s=31, is_gone=True)),
            HostMoment("web-9", None, HostState("web-9", 2, False, silent_s=900, late_s=900, is_gone=True)),
        ]
        paths = ("/limits", "/limit?name=requests", "/limit?name=deny%20list")
        for path in paths:
            assert "No answer" not in reader.get(path).text

        def moments(self: Observation) -> tuple[Moment, Moment | None]:
            found, before = usual(self)
            return replace(found, hosts=[*found.hosts, *hosts], trouble=["The server is slow."]), before

        monkeypatch.setattr(Observation, "moments", moments)
        for path in paths:
            text = reader.get(path).text
            assert "The server is slow." in text, path
            assert re.search(r"No answer from web-7, silent since \d\d:\d\d UTC \(75 s\)", text), path
            assert re.search(r"Not in these counts: web-8, ended at .*; web-9, silent since", text), path
        assert "Not known while the refusals of a host are not." in reader.get(paths[1]).text
        now = reader.get("/").text
        assert re.search(r"web-7 no answer .*web-8 ended .*web-9 gone ", now), now


@pytest.mark.parametrize("options", [(), ("--host", "0.0.0.0")])
def test_console_listens_on_loopback_unless_it_is_told_otherwise(
    plain: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: a console that a whole network reaches, and nobody decided that it does."""
    bound: list[str] = []
    monkeypatch.setattr(
        "uvicorn.Server.run", lambda self, sockets: bound.extend(each.getsockname()[0] for each in sockets)
    )
    said = run("console", plain, "--port", 0, *options)
    assert said.exit_code == 0, said.output
    assert bound == [options[1] if options else "127.0.0.1"]
    assert ("Others can reach this address" in said.stderr) == bool(options)
