"""`ratelimit explain`: one request taken apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit.limiter import Limiter
from tests.cli.running import NOW_S, run, write_policy
from tests.cli.test_replay import CROWDED


def explain(folder: Path, request: str, *options: object) -> dict[str, Any]:
    result = run("explain", write_policy(folder), "--json", "-r", request, *options)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def by(key: str, entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {entry[key]: entry for entry in entries}


def test_verdict_of_each_limit_is_there(tmp_path: Path) -> None:
    found = explain(tmp_path, "POST /v1/chat ip=203.0.113.9 header:x-api-key=abc output_tokens=400")
    limits = by("limit", found["limits"])
    assert found["action"] == "allow"
    assert limits["requests"]["remaining"] == 2
    assert limits["output tokens"]["remaining"] == 600
    assert limits["address"]["remaining"] == 99
    assert limits["per client"] == {
        "limit": "per client",
        "applies": False,
        "why_not": "skipped: client absent",
    }


def test_last_of_several_in_a_row(tmp_path: Path) -> None:
    found = explain(tmp_path, "POST /v1/chat ip=203.0.113.9 account=abc", "--repeat", 4)
    assert (found["action"], found["limit"], found["retry_after"]) == ("refuse", "requests", 1.0)


def test_where_each_identity_came_from(tmp_path: Path) -> None:
    found = explain(tmp_path, "POST /v1/chat ip=203.0.113.9 user_agent=curl", "--reveal")
    identities = by("name", found["identities"])
    assert identities["ip"]["given"] == "203.0.113.9"
    assert "address" in identities["ip"]["source"]
    assert "stands in" in identities["account"]["source"]
    assert identities["client"]["given"] == "curl"
    assert identities["client"]["source"] == "header user-agent"


def test_limits_that_do_not_match_say_why(tmp_path: Path) -> None:
    found = by("limit", explain(tmp_path, "GET /v1/chat ip=203.0.113.9")["limits"])
    assert found["requests"]["why_not"] == "only for POST"
    found = by("limit", explain(tmp_path, "POST /health ip=203.0.113.9")["limits"])
    assert found["requests"]["why_not"] == "only for POST /v1/*"


def test_cost_no_wait_can_help(tmp_path: Path) -> None:
    found = explain(tmp_path, "POST /v1/chat ip=203.0.113.9 account=a output_tokens=1001")
    assert (found["action"], found["limit"], found["retry_after"]) == ("refuse", "output tokens", None)
    assert by("limit", found["limits"])["output tokens"]["never"] is True


def test_missing_identity_is_named(tmp_path: Path) -> None:
    found = explain(tmp_path, "POST /v1/chat account=a")
    assert (found["action"], found["reason"], found["missing"]) == ("refuse", "identity", ["ip"])


def test_missing_identity_comes_with_what_to_add(tmp_path: Path) -> None:
    policy = write_policy(
        tmp_path,
        "version = 1\n[identities]\n"
        'block = { from = "client/24/64" }\n'
        'account = { from = "header:x-api-key", missing = "refuse" }\n'
        '[[limit]]\nname = "a"\nper = ["block", "account"]\nrate = "1/day"\n',
    )
    result = run("explain", policy, "-r", "GET /")
    assert "is missing: block, account" in result.stdout
    assert "add `ip=…` `account=…` to -r" in result.stderr
    assert "to -r" not in run("explain", policy, "-r", "GET / ip=::1 account=a").stderr


def test_raw_values_are_not_shown_unless_asked(tmp_path: Path) -> None:
    policy = write_policy(tmp_path)
    request = "POST /v1/chat ip=203.0.113.9 header:x-api-key=my-secret-key"
    for options in ((), ("--json",)):
        hidden = run("explain", policy, "-r", request, *options).output
        assert "my-secret-key" not in hidden
        assert "203.0.113.9" not in hidden
        assert "my-secret-key" in run("explain", policy, "-r", request, "--reveal", *options).output


def test_json_request_is_a_line_of_a_trace(tmp_path: Path) -> None:
    line = {"time": NOW_S, "method": "POST", "path": "/v1/chat?x=1", "ip": "203.0.113.9", "account": "a"}
    found = explain(tmp_path, json.dumps(line))
    assert (found["path"], found["time"]) == ("/v1/chat", "2023-11-14T22:13:20Z")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ("", "METHOD /path"),
        ("POST", "METHOD /path"),
        ("POST /v1/chat acount=1", "Did you mean `account`?"),
        ("POST /v1/chat x-api-key=me", "Did you mean `header:x-api-key=`?"),
        ("POST /v1/chat X-Api-Kye=me", "Did you mean `header:x-api-key=`?"),
        ("POST /v1/chat user-agent=curl", "Did you mean `header:user-agent=`?"),
        ("POST /v1/chat zzzzzzzz=1", "header:NAME"),
        ("POST /v1/chat zzzzzzzz=1", "It can be ip, user_agent, time, account, client, output_"),
        ("POST /v1/chat ip", "NAME=VALUE"),
        ('POST /v1/chat account="x', "quote"),
        ("POST /v1/chat output_tokens=many", "number of units"),
        ("POST /v1/chat output_tokens=²", "number of units"),
        ("POST /v1/chat state:user=1", "no identity of this policy"),
        ("{", "JSON"),
        ("{} x", "JSON"),
        ('{"path": 1}', "path"),
        ("/ time=yesterday", "RFC 3339"),
        ("/ time=-5", "1970"),
    ],
)
def test_unreadable_request_says_what_is_wrong(tmp_path: Path, request_: str, says: str) -> None:
    result = run("explain", write_policy(tmp_path), "-r", request_)
    assert result.exit_code == 3, result.output
    assert isinstance(result.exception, SystemExit)
    assert says in result.stderr


def test_words_for_people(tmp_path: Path) -> None:
    result = run(
        "explain", write_policy(tmp_path), "-r", "POST /v1/chat ip=203.0.113.9 account=a", "--repeat", 4
    )
    assert "refused by “requests”, retry in 1 s" in result.stdout
    assert "✘" in result.stdout


def test_live_without_a_deployment_says_so(tmp_path: Path) -> None:
    result = run("explain", write_policy(tmp_path), "-r", "GET /", "--live")
    assert result.exit_code == 4
    assert "no worker" in result.stderr


def test_live_looks_at_the_running_counters_and_charges_nothing(tmp_path: Path) -> None:
    limit = 'version = 1\n[[limit]]\nname = "a"\nper = "ip"\nrate = "5/hour"\n'
    text = f'{limit}[store]\nmemory = "{tmp_path}/table"\n'
    policy = write_policy(tmp_path, text)
    limiter = Limiter(policy)
    try:
        for _ in range(3):
            limiter.decide(client="203.0.113.9")
        for _ in range(2):
            result = run("explain", policy, "-r", "GET / ip=203.0.113.9", "--live", "--json")
            (limit,) = json.loads(result.stdout)["limits"]
            assert limit["remaining"] == 2
        assert limiter.decide(client="203.0.113.9").verdicts[0].remaining == 1
    finally:
        limiter.close()


UNTOLD = """
version = 1
[identities]
user = {{ from = "{source}"{settings} }}
[store]
memory = "{path}/table"
[[limit]]
name = "per user"
match = "/v1/*"
per = "user"
rate = "2/year"
algorithm = "fixed-window"
[[limit]]
name = "per address"
per = "ip"
rate = "3/year"
algorithm = "fixed-window"
"""


@pytest.mark.parametrize("source", ["resolver:ratelimit.cli.request:who", "state:user"])
@pytest.mark.parametrize("settings", ["", ', missing = "skip"', ', missing = "refuse"'])
def test_live_does_not_guess_what_only_the_application_knows(
    tmp_path: Path, source: str, settings: str
) -> None:
    """Hazard: "allowed", it said of a caller that was being refused."""
    policy = write_policy(tmp_path, UNTOLD.format(source=source, settings=settings, path=tmp_path))
    limiter = Limiter(policy, resolvers={"ratelimit.cli.request:who": lambda request: "bob"})
    try:
        for _ in range(2):
            assert limiter.decide(path="/v1/x", identities={"user": "bob"}, client="192.0.2.9").allowed
        asked = ("explain", policy, "--live", "-r")
        said = run(*asked, "GET /v1/x ip=192.0.2.1").stdout
        assert "cannot be known here: user comes from the application; add user=VALUE" in said
        assert "allowed" not in said
        found = json.loads(run(*asked, "GET /v1/x ip=192.0.2.1", "--json").stdout)
        assert (found["action"], found["untold"]) == ("unknown", ["user"])
        # It is known where it is given, where no limit asks for it, and where another limit refuses.
        for request, action in (
            ("GET /v1/x ip=192.0.2.1 user=bob", "refuse"),
            ("GET /v1/x ip=192.0.2.1 user=ann", "allow"),
            ("GET / ip=192.0.2.1", "allow"),
        ):
            found = json.loads(run(*asked, request, "--json").stdout)
            assert (found["action"], found["untold"]) == (action, []), request
        limiter.decide(path="/", client="192.0.2.9")
        if "refuse" not in settings:
            found = json.loads(run(*asked, "GET /v1/x ip=192.0.2.9", "--json").stdout)
            assert (found["action"], found["untold"], found["limit"]) == ("refuse", [], "per address")
    finally:
        limiter.close()


def test_blank_in_a_value_is_shown_in_quotes(tmp_path: Path) -> None:
    policy = write_policy(tmp_path)
    result = run("explain", policy, "-r", "GET / header:user-agent=Mozilla 5.0 (X11) ip=192.0.2.1")
    assert result.exit_code == 3
    assert "'5.0' is not NAME=VALUE" in result.stderr
    assert "'header:user-agent=Mozilla 5.0 (X11)'" in result.stderr
    quoted = "GET / 'header:user-agent=Mozilla 5.0 (X11)' ip=192.0.2.1"
    assert run("explain", policy, "-r", quoted).exit_code == 0
    assert "quotes" not in run("explain", policy, "-r", "GET / stray").stderr


@pytest.mark.parametrize(
    ("event", "applying"),
    [("request", ["all"]), ("connect", ["all", "handshakes"]), ("message", ["messages"])],
)
def test_websocket_is_explained_like_a_request(tmp_path: Path, event: str, applying: list[str]) -> None:
    policy = """\
version = 1
[[limit]]
name = "all"
per = "ip"
rate = "1/minute"
[[limit]]
name = "handshakes"
per = "ip"
rate = "1/minute"
unit = "handshakes"
[[limit]]
name = "messages"
per = "ip"
rate = "1/minute"
unit = "messages"
"""
    asked = ("explain", write_policy(tmp_path, policy), "-r", "GET /live ip=::1", "--event", event)
    found = json.loads(run(*asked, "--json", "--repeat", 2).stdout)
    assert [limit["limit"] for limit in found["limits"] if limit["applies"]] == applying
    assert found["action"] == "refuse"
    counted = {"all": "requests and handshakes", "handshakes": "handshakes", "messages": "messages"}
    for limit in found["limits"]:
        if not limit["applies"]:
            assert f"{counted[limit['limit']]} only" in limit["why_not"]


FORMS = """
version = 1
[identities]
account = { from = "header:authorization" }
session = { from = "cookie:sid", missing = "skip" }
order = { from = "path:id as int" }
[[limit]]
name = "orders"
match = "/orders/{id}"
per = ["account", "session", "order"]
rate = "5/minute"
[deny]
session = ["bad"]
"""


@pytest.mark.parametrize(
    ("request_line", "identity", "source"),
    [
        ("/orders/5 'header:authorization=Bearer a b'", "account", "malformed in header authorization"),
        ("/orders/5 'header:authorization=bearer  KEY'", "account", "header authorization"),
        ("/orders/+5", "order", "malformed in path id"),
        ("/orders/05", "order", "path segment {id}"),
        ("/orders/5 cookie:sid=a cookie:sid=b", "session", "malformed in cookie sid: refused"),
    ],
)
def test_malformed_value_is_called_so(tmp_path: Path, request_line: str, identity: str, source: str) -> None:
    policy = write_policy(tmp_path, FORMS)
    result = run("explain", policy, "--json", "-r", f"GET {request_line} ip=203.0.113.9")
    found = json.loads(result.stdout)
    assert by("name", found["identities"])[identity]["source"].startswith(source)
    assert (found["action"] == "refuse") == (identity == "session")


def test_path_of_too_many_rules_is_explained(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, CROWDED)
    found = json.loads(run("explain", policy, "--json", "-r", "GET /a/../b ip=203.0.113.9").stdout)
    assert (found["action"], found["limit"]) == ("refuse", None)
    assert by("limit", found["limits"])["l0"]["why_not"] == "too many at once"
    assert "too many rules" in run("explain", policy, "-r", "GET /a/../b ip=203.0.113.9").stdout


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('per = "plan"\nrate = "1/day"', "limits per plan do not apply"),
        (
            'per = "ip"\nrate = "1/day"\ntiers.plan.pro.rate = "9/day"',
            "limits with tiers allow their own rate",
        ),
        (
            'per = "plan"\nrate = "1/day"\ntiers.plan.pro.rate = "9/day"',
            "limits per plan do not apply and limits with tiers allow their own rate",
        ),
    ],
)
def test_missing_identity_says_what_becomes_of_limits_that_use_it(
    tmp_path: Path, lines: str, says: str
) -> None:
    head = (
        'version = 1\n[identities]\nplan = { from = "header:p", missing = "skip" }\n[[limit]]\nname = "a"\n'
    )
    result = run(
        "explain", write_policy(tmp_path, f"{head}{lines}\n"), "--json", "-r", "GET / ip=203.0.113.9"
    )
    (found,) = [one for one in json.loads(result.stdout)["identities"] if one["name"] == "plan"]
    assert found["source"] == f"missing from header p: {says}"


LEARNED = """version = 1
[identities]
account = { from = "header:x-api-key" }
[[limit]]
name = "tokens"
match = "POST /v1/*"
per = "account"
unit = "output_tokens"
rate = "4000/hour"
cost = "learned"
usage = "auto"
"""


def test_estimate_that_only_workers_know_is_no_room(tmp_path: Path) -> None:
    """With nothing learned a request takes a sixteenth: it was said to take nothing, and have room."""
    asked = ("explain", write_policy(tmp_path, LEARNED), "-r", "POST /v1/chat account=a")
    found = json.loads(run(*asked, "--repeat", 17, "--json").stdout)
    assert (found["action"], found["limits"][0]["cost"]) == ("refuse", 250)
    assert found["limits"][0]["estimated"] == "first"
    said = run(*asked).output
    assert "takes 250 output_tokens, as before anything is learned" in said
    assert "`output_tokens=…` says what this request takes" in said
    known = (*asked[:-1], f"{asked[-1]} output_tokens=900")
    found = json.loads(run(*known, "--repeat", 4, "--json").stdout)
    assert (found["action"], found["limits"][0]["estimated"]) == ("allow", None)


def test_live_estimate_is_what_requests_took_on_average(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, f'{LEARNED}[store]\nmemory = "{tmp_path / "store"}"\n')
    limiter = Limiter(policy)
    try:
        for account, tokens in (("a", 1500), ("a", 1700), ("b", 2500)):
            limiter.decide(
                method="POST",
                path="/v1/chat",
                identities={"account": account},
                costs={"output_tokens": tokens},
            )
        asked = ("explain", policy, "--live", "--json", "-r")
        for account, action in (("a", "refuse"), ("b", "refuse"), ("c", "allow")):
            found = json.loads(run(*asked, f"POST /v1/chat account={account}").stdout)
            limit = found["limits"][0]
            assert (found["action"], limit["cost"], limit["estimated"]) == (action, 1900, "average")
    finally:
        limiter.close()


ASKED = """\
version = 1
[identities]
account = { from = "state:account" }
[[limit]]
name = "uploads"
match = []
per = "account"
rate = "3/hour"
[[limit]]
name = "address"
match = "* /v1/*"
per = "ip"
rate = "100/hour"
"""


def test_limits_that_a_route_asks_for_are_explained_with_those_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(ASKED)
    policy = tmp_path / "policy.toml"
    request = ("-r", "POST /v1/films account=ann ip=203.0.113.9")
    result = run("explain", policy, *request)
    assert "--ask uploads" in result.stderr
    result = run("explain", policy, *request, "--ask", "uploads", "--repeat", 4, "--json")
    found = json.loads(result.stdout)
    limits = by("limit", found["limits"])
    assert (found["action"], found["limit"]) == ("refuse", "uploads")
    assert limits["address"]["remaining"] == 97
    result = run("explain", policy, *request, "--ask", "upload")
    assert result.exit_code == 2
    assert "Did you mean `uploads`?" in result.stderr


def test_route_that_no_limit_matches_has_those_that_it_asks_for(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(ASKED)
    result = run(
        "explain", tmp_path / "policy.toml", "-r", "GET /x account=ann", "--ask", "uploads", "--json"
    )
    limits = by("limit", json.loads(result.stdout)["limits"])
    assert limits["uploads"]["remaining"] == 2
    assert not limits["address"]["applies"]


STAGED = """
version = 1
[identities]
account = { from = "header:x-api-key" }
[deny]
account = ["thief"]
[[limit]]
name = "requests"
match = "/*"
per = "account"
rate = "1/minute"
wait = "2s"
"""


def test_stages_are_recorded_and_which_one_decided(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(STAGED)

    def way(request: str, *options: object) -> list[tuple[str, bool, bool]]:
        result = run("explain", policy, "--json", "-r", request, *options)
        stages = json.loads(result.stdout)["stages"]
        return [(one["stage"], one["answered"], one["allowed"]) for one in stages]

    core = ["limits", "actor", "required identities"]
    passed = [(name, False, True) for name in ("lists", *core, "waiting")]
    assert way("GET / account=a") == passed
    assert way("GET / account=a", "--repeat", 2) == [(name, False, False) for name, _, _ in passed]
    assert way("GET / account=thief") == [("lists", True, False)]
    said = " ".join(run("explain", policy, "-r", "GET / account=thief").stdout.split())
    assert "stages lists, which decided" in said
