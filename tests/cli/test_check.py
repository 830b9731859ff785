"""`ratelimit check`: what an operator sees of a good and of a bad policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import run, write_policy

BROKEN = """\
version = 1

[[limit]]
name = "requests"
per = "acount"
rate = "60 per fortnight"

[[limit]]
name = "requests"
per = "ip"
rate = "5/minute"
brust = 3
"""

ODD = """\
version = 1
[identities]
unused = { from = "header:x" }
[[limit]]
name = "a"
per = "ip"
rate = "1/day"
"""


def test_sound_policy_shows_its_limits(tmp_path: Path) -> None:
    result = run("check", write_policy(tmp_path))
    assert result.exit_code == 0, result.output
    assert "60 a minute, 3 at once" in result.stdout
    assert "1,000 output_tokens an hour" in result.stdout
    assert "POST /v1/*" in result.stdout
    assert "shadow" in result.stdout
    assert "can be used" in result.stderr


def test_plan_without_a_limit_is_shown_as_such(tmp_path: Path) -> None:
    policy = """\
version = 1
[identities]
plan = { from = "state:plan", missing = "skip" }
[[limit]]
name = "a"
per = "ip"
rate = "5/minute"
tiers.plan.pro.rate = "50/minute"
tiers.plan.staff = "unlimited"
"""
    lines = run("check", write_policy(tmp_path, policy)).stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["a", "ip"], ["tier", "pro"], ["tier", "staff"]]
    assert lines[-1].split()[-1] == "unlimited"


def test_second_rate_of_a_limit_says_what_it_is_of_too(tmp_path: Path) -> None:
    policy = 'version = 1\n[[limit]]\nname = "a"\nper = "ip"\nrate = "5/minute; 50/day"\n'
    lines = run("check", write_policy(tmp_path, policy)).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["a", "a#2"]
    assert all("everything" in line for line in lines[1:])


def test_what_only_a_server_can_say_is_said_to_be_unchecked(tmp_path: Path) -> None:
    remote = f'{ODD}[store]\nurl = "redis://nowhere.invalid"\n[hashing]\nkey = "env:NOT_SET"\n'
    path = write_policy(tmp_path, remote)
    result = run("check", path)
    assert result.exit_code == 0, result.output
    assert "Not checked: " in result.stderr
    assert f"`ratelimit doctor {path}`" in result.stderr.splitlines()[-1]
    assert "Not checked" not in run("check", write_policy(tmp_path, ODD)).stderr


def test_every_problem_has_a_place_a_code_and_a_hint(tmp_path: Path) -> None:
    path = write_policy(tmp_path, BROKEN)
    result = run("check", path)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"{path}:5: error: limit[0].per" in result.stderr
    assert f"{path}:6: error: limit[0].rate" in result.stderr
    assert f"{path}:12: error: limit[1].brust" in result.stderr
    for code in ("identity-unknown", "rate-syntax", "limit-name-duplicate", "policy-unknown-key"):
        assert f"[{code}]" in result.stderr
    assert "4 errors" in result.stderr


def test_json_says_the_same(tmp_path: Path) -> None:
    result = run("check", "--json", write_policy(tmp_path, BROKEN))
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["good"] is False
    assert {problem["line"] for problem in found["problems"]} >= {5, 6, 12}
    assert all(problem["hint"] and problem["code"] for problem in found["problems"])


def test_json_of_a_sound_policy_lists_its_limits(tmp_path: Path) -> None:
    found = json.loads(run("check", "--json", write_policy(tmp_path)).stdout)
    assert found["good"] is True
    assert [limit["limit"] for limit in found["limits"]] == [
        "requests",
        "address",
        "output tokens",
        "per client",
    ]
    assert found["limits"][0] == {
        "limit": "requests",
        "tier": None,
        "match": ["POST /v1/*"],
        "except": [],
        "per": ["account"],
        "budget": None,
        "notify": [],
        "charged_statuses": None,
        "verdict": None,
        "algorithm": "token-bucket",
        "unit": "requests",
        "quota": 60,
        "window_s": 60,
        "burst": 3,
        "window": None,
        "lease_s": None,
        "cost": 1,
        "estimate": None,
        "debt": 0,
        "exposure": 0,
        "dearest_answer": None,
        "wait_s": None,
        "on_refusal": ["refuse"],
        "adaptive": False,
        "mode": "enforce",
        "enforce": 1.0,
        "on_store_error": "local",
    }


SAYS_ALL = """\
version = 1
[identities]
account = { from = "header:x-api-key" }
[[limit]]
name = "dear"
per = "account"
rate = "60/minute"
cost = 10
except = ["GET /health", "GET /metrics"]
[[limit]]
name = "tokens"
per = "account"
unit = "tokens"
rate = "1000/hour"
burst = 300
cost = 50
on_store_error = "closed"
[[limit]]
name = "connects"
per = "ip"
rate = "5/minute"
unit = "handshakes"
match = "/ws"
[[limit]]
name = "messages"
per = "ip"
rate = "50/minute"
unit = "messages"
match = "/ws"
cost = 0
[[limit]]
name = "at once"
per = "ip"
concurrent = 4
"""


def test_all_that_a_limit_says_is_shown(tmp_path: Path) -> None:
    shown = run("check", write_policy(tmp_path, SAYS_ALL)).stdout
    for phrase in (
        "a request takes 10",
        "everything, except GET /health, GET /metrics",
        "1,000 tokens an hour, 300 at once",
        "50 on arrival; debt up to 300;",
        "store fails",
        "WebSocket handshakes at /ws",
        "a message takes nothing",
        "messages of WebSockets at /ws",
        "lapse after 60 s of silence",
    ):
        assert phrase in shown, phrase


SPEND = """\
version = 1
[[limit]]
name = "spend"
per = "ip"
unit = "usd"
rate = "1200/day"
cost = "declared"
usage = "auto"
on_refusal = ["degrade"]
debt = 300
[[limit]]
name = "at once"
per = "ip"
concurrent = 4
wait = "1500ms"
[[limit]]
name = "paced"
per = "ip"
rate = "1/second"
wait = "250ms"
[[limit]]
name = "step-up"
per = "ip"
rate = "5/hour"
on_refusal = ["challenge"]
[prices.small]
input = 1
output = 5
audio_output = 20
service_tiers = { priority = 2, flex = 0.5 }

[[prices."large-*"]]
input = 3
output = 15
request = 0.01

[[prices."large-*"]]
above = 200000
input = 6
output = 22.5
"""


def test_dearest_answer_of_a_limit_in_dollars_is_shown(tmp_path: Path) -> None:
    """By kind of output, length of the input and tier: `small` with sounds at `priority`, 40 a million."""
    path = write_policy(tmp_path, SPEND.replace('unit = "usd"', 'unit = "usd"\nmost = 10000'))
    result = run("check", path)
    shown = " ".join((result.stdout + result.stderr).split())
    for phrase in (
        "the dearest answer of 10,000 tokens costs 0.4 usd, by small at the tier priority",
        "a thousand tokens of input 0.01 usd at most",
        "small: input 1, output 5, audio_output 20, priority × 2, flex × 0.5",
        "large-*: input 3, output 15, 0.01 each request, above 200,000 tokens 6 / 22.5",
        "Sounds in the input cost the larger of `input` and `output` where a model has no `audio_input`",
    ):
        assert phrase in shown, (phrase, shown)
    dearest = json.loads(run("check", "--json", path).stdout)["limits"][0]["dearest_answer"]
    assert dearest == {
        "model": "small",
        "service_tier": "priority",
        "output_tokens": 10_000,
        "usd": 0.4,
        "usd_for_1000_input_tokens": 0.01,
    }


def test_money_estimates_by_words_waits_and_actions_are_shown(tmp_path: Path) -> None:
    path = write_policy(tmp_path, SPEND)
    shown = " ".join(run("check", path).stdout.split())
    for phrase in (
        "1,200 usd a day",
        "declared on arrival",
        "debt up to 300 usd",
        "passes",
        "waits up to 1.5 s",
        "waits up to 250 ms",
        "asks for a step-up when used up",
    ):
        assert phrase in shown, phrase
    limits = json.loads(run("check", "--json", path).stdout)["limits"]
    assert [(each["estimate"], each["wait_s"], each["on_refusal"]) for each in limits] == [
        ("declared", None, ["degrade"]),
        (None, 1.5, ["refuse"]),
        (None, 0.25, ["refuse"]),
        (None, None, ["challenge"]),
    ]
    explained = run("explain", path, "-r", "POST / ip=192.0.2.1 usd=250000").stdout
    assert "1,199.75 usd left" in explained


def test_json_has_all_that_a_limit_says(tmp_path: Path) -> None:
    found = json.loads(run("check", "--json", write_policy(tmp_path, SAYS_ALL)).stdout)["limits"]
    keys = ("except", "unit", "cost", "estimate", "debt", "on_store_error", "lease_s")
    assert [[limit[key] for key in keys] for limit in found] == [
        [["GET /health", "GET /metrics"], "requests", 10, None, 0, "local", None],
        [[], "tokens", None, 50, 300, "closed", None],
        [[], "handshakes", 1, None, 0, "local", None],
        [[], "messages", 0, None, 0, "local", None],
        [[], "requests", 1, None, 0, "local", 60],
    ]


def test_json_says_units_algorithms_and_budgets_as_the_policy_does(tmp_path: Path) -> None:
    policy = """
    version = 1
    [identities]
    account = { from = "state:account" }
    payer = { from = "state:payer", missing = "skip" }
    [correlation]
    paid = "state:paid"
    [[limit]]
    name = "days"
    match = "/*"
    per = "account"
    rate = "5/day"
    algorithm = "calendar:Europe/Berlin"
    [[limit]]
    name = "addresses"
    match = "/*"
    per = "account"
    unit = "distinct:ip"
    rate = "5/day"
    [[limit]]
    name = "paid"
    match = "/*"
    per = "payer"
    rate = "5/day"
    budget = { per_usd = 2 }
    [[limit]]
    name = "others"
    match = "/*"
    per = "account"
    rate = "5/day"
    budget = "overflow"
    """
    found = json.loads(run("check", "--json", write_policy(tmp_path, policy)).stdout)["limits"]
    days, addresses, paid, others = found
    assert (days["algorithm"], days["window"], days["unit"]) == ("calendar:Europe/Berlin", "day", "requests")
    assert (addresses["unit"], addresses["window"], addresses["budget"]) == ("distinct:ip", None, None)
    assert (paid["budget"]["per_usd"], others["budget"]) == (2, "overflow")


@pytest.mark.parametrize(("options", "exit_code"), [((), 0), (("--strict",), 1), (("--strict", "--json"), 1)])
def test_warnings_fail_only_when_asked(tmp_path: Path, options: tuple[str, ...], exit_code: int) -> None:
    result = run("check", *options, write_policy(tmp_path, ODD))
    assert result.exit_code == exit_code, result.output
    assert "identity-unused" in result.output


@pytest.mark.parametrize(
    "content",
    [b"version = ", b"\xff\xfe", b"limit = 3", b"x" * 2_000_000],
    ids=["syntax", "bytes", "shape", "size"],
)
def test_no_policy_at_all_is_a_sentence_not_a_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(content)
    result = run("check", path)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "error" in result.stderr


def test_missing_file_names_itself(tmp_path: Path) -> None:
    result = run("check", tmp_path / "nothing.toml")
    assert result.exit_code == 1
    assert "nothing.toml" in result.stderr


def test_output_without_a_terminal_has_no_escapes(tmp_path: Path) -> None:
    assert "\x1b" not in run("check", write_policy(tmp_path, BROKEN)).output


def test_markup_in_a_policy_is_text(tmp_path: Path) -> None:
    policy = 'version = 1\n[[limit]]\nname = "[red]a[/]"\nper = "ip"\nrate = "[bold]1/day"\n'
    result = run("check", write_policy(tmp_path, policy))
    assert result.exit_code == 1
    assert "[bold]1/day" in result.stderr


def test_schema_is_a_schema() -> None:
    result = run("make", "schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"].startswith("https://json-schema.org/")


ADAPTIVE = """\
version = 1
[store]
url = "redis://127.0.0.1:7/0"
[hashing]
key = "env:RATELIMIT_HASH_KEY"
[identities]
account = { from = "state:account" }
plan = { from = "state:plan" }
tenant = { from = "path:tenant" }
[[adaptive]]
name = "chat"
match = "POST /v1/chat"
first_byte = "2s"
work = "body"
[[adaptive]]
name = "rest"
in_flight = [2, 8, 50]
mode = "shadow"
[[class]]
name = "paid"
when = { plan = ["pro", "team"] }
[[class]]
name = "tenants"
when = { tenant = "t" }
weight = 10
[[class]]
name = "free"
match = "/*"
"""


def test_what_adaptive_limits_do_is_shown(tmp_path: Path) -> None:
    shown = " ".join(run("check", write_policy(tmp_path, ADAPTIVE)).output.split())
    for words in (
        "[adaptive] chat",
        "as much as its body is long",
        "within 2 s",
        "4 always; 20 at first; 400 at most",
        "paid (plan pro or team; first); tenants (tenant t; weight 10); free (/*; weight 5)",
        "held for 1 s, then shed",
        "all hosts that use redis://127.0.0.1:7/0",
        "[adaptive] rest",
        "each request is one",
        "learned from ten first bytes",
        "2 always; 8 at first; 50 at most",
        "shadow: requests are only counted",
        "`tenants` goes by `tenant`, not known on routes that no limit matches",
    ):
        assert words in shown


def test_what_adaptive_limits_do_is_there_for_machines(tmp_path: Path) -> None:
    found = json.loads(run("check", "--json", write_policy(tmp_path, ADAPTIVE)).stdout)["features"]
    chat, rest = found["adaptive"]
    assert chat["name"] == ["chat"]
    assert chat["work"] == ["a request is as much as its body is long"]
    assert "mode" not in chat
    assert rest["mode"] == ["shadow: requests are only counted"]
    assert [each.split(" ")[0] for each in rest["classes"]] == ["paid", "tenants", "free"]
    assert chat["fair by"][-2:] == ["account", "else all as one"]
    assert json.loads(run("check", "--json", write_policy(tmp_path)).stdout)["features"] == {}
