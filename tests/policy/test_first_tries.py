"""A word of another limiter, or of a first try, is answered with the word that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.errors import PolicyError
from ratelimit.policy import Policy
from tests.policy.test_problems import problems_of

LIMIT = """version = 1
[identities]
ip = { from = "client" }
[[limit]]
name = "l"
per = "ip"
rate = "10/minute"
"""


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (f'{LIMIT}key = "ip"', "Did you mean `per`?"),
        (f'{LIMIT}methods = ["GET"]', "Did you mean `match`?"),
        (f'{LIMIT}limit = "1/second"', "Did you mean `rate`?"),
        (f'{LIMIT}age = "new"', "Did you mean `budget`?"),
        (f'{LIMIT}payer = "none"', "Did you mean `budget`?"),
        (f'{LIMIT}[correlation]\nprincipal = "ip"\nnetwork = "ip"\nsponsor = "ip"', "Did you mean `extra`?"),
        (f'{LIMIT}exclude = ["/health"]', "Did you mean `except`?"),
        (f'{LIMIT}missing = "skip"', "It belongs to the identity, under `[identities]`."),
        (f'{LIMIT}mode = "dry-run"', "Did you mean `shadow`?"),
        (f'{LIMIT}action = "challenge"', 'Write `on_refusal = ["challenge"]`.'),
        (f'{LIMIT}action = "refuse"', 'Write `on_refusal = ["refuse"]`.'),
        (f'{LIMIT}action = "block"', 'Write `on_refusal = ["refuse"]`.'),
        (
            f'{LIMIT}action = "delay"\ndelay = "250ms"',
            'Write `wait = "250ms"`: how long a request may wait for room.',
        ),
        (f"{LIMIT}delay = 2", "Write `wait = 2`: how long a request may wait for room."),
        (f"{LIMIT}delay = 2026-01-01", 'Write `wait = "2026-01-01"`: how long a request may wait for room.'),
        (f'{LIMIT}ladder = ["observe", "delay"]', 'Write `on_refusal = ["refuse", "observe", "wait"]`.'),
        (
            f'{LIMIT}action = "degrade"\nladder = ["refuse"]',
            'Write `on_refusal = ["degrade", "refuse"]`.',
        ),
        (f"{LIMIT}ladder = 3", 'Write `on_refusal = ["refuse"]`.'),
        (f'{LIMIT}on_refusal = "degrade"', 'Write `on_refusal = ["degrade"]`.'),
        (f'{LIMIT}on_refusal = ["delay"]', "Did you mean `wait`?"),
        (f'{LIMIT}on_refusal = ["block"]', "Did you mean `refuse`?"),
        (f'{LIMIT}on_refusal = ["observe"]', 'Use `mode = "shadow"`, or write ["refuse", "observe"].'),
        (f'{LIMIT}on_refusal = ["wait"]', 'Use `wait = "1s"`, or write ["refuse", "wait"].'),
        (f'{LIMIT}[class]\nname = "x"', "Write `[[class]]`, with two brackets."),
        (f'{LIMIT}algorithm = "moving-window"', "Did you mean `sliding-log`?"),
        (f'{LIMIT}burst = "20"', "Write it without quotes: `burst = 20`."),
        (LIMIT.replace('"10/minute"', "10"), 'Say of which time: `rate = "10/minute"`.'),
        (f'{LIMIT}match = "GET /a, POST /b"', 'Write a list: `["GET /a", "POST /b"]`.'),
        (
            LIMIT.replace('per = "ip"\n', ""),
            'Add it: `per = "ip"` or another identity, or `per = []` for one budget of all callers.',
        ),
        (
            LIMIT.replace('per = "ip"', 'per = "header:x-key"'),
            'Write `NAME = { from = "header:x-key" }` into `[identities]`, and `per = "NAME"`.',
        ),
        (LIMIT.replace('per = "ip"', 'per = "client"'), "Did you mean `ip`?"),
        (LIMIT.replace('{ from = "client" }', '"client"'), 'Write `ip = { from = "client" }`.'),
        (
            LIMIT.replace('{ from = "client" }', '"header:x-api-key"'),
            'Write `ip = { from = "header:x-api-key" }`.',
        ),
        (LIMIT.replace('{ from = "client" }', '"x"'), "Write the type named in the message."),
        (
            LIMIT.replace('per = "ip"', 'per = "account"'),
            'Declare it in `[identities]`, like `account = { from = "header:x-api-key" }`.',
        ),
        (LIMIT.replace("version = 1\n", ""), "Add `version = 1`."),
        (f"{LIMIT}shadow = true", 'Write `mode = "shadow"`.'),
        (f"{LIMIT}shadow = false", 'Write `mode = "enforce"`.'),
        (f"{LIMIT}[adaptive]\nshadow = true", 'Write `mode = "shadow"`.'),
        (f'{LIMIT}algorithm = "calendar:utc"', "Did you mean `UTC`?"),
        (f'{LIMIT}algorithm = "calendar:berlin"', "Did you mean `Europe/Berlin`?"),
        (f'{LIMIT}algorithm = "calendar:america/new york"', "Did you mean `America/New_York`?"),
        (
            f'{LIMIT}unit = "usd"\nalgorithm = "sliding-log"',
            "Use `sliding-window`, or remove `algorithm`.",
        ),
        (
            f'{LIMIT}tiers.plan.pro = "9/minute"',
            'Declare it in `[identities]`, like `plan = { from = "state:plan" }`.',
        ),
        (
            f'{LIMIT}[[class]]\nname = "a"\nwhen = {{ tariff = "pro" }}',
            'Declare it in `[identities]`, like `tariff = { from = "state:tariff" }`.',
        ),
    ],
)
def test_word_of_another_limiter_is_answered_with_ours(text: str, hint: str) -> None:
    assert hint in [problem.hint for problem in problems_of(text)]


@pytest.mark.parametrize("rate", ["$100_000/month", "100_000$ per month", "100_000 USD/month"])
def test_rate_with_a_dollar_sign_is_told_without_it(rate: str) -> None:
    (problem,) = problems_of(LIMIT.replace("10/minute", rate))
    written = "100_000 per month" if " per " in rate else "100_000/month"
    assert problem.message.endswith(f'write `{written}`, with `unit = "usd"` for dollars')


@pytest.mark.parametrize("burst", [5, 20])
@pytest.mark.parametrize("algorithm", ["sliding-window", "sliding-log"])
def test_burst_that_means_nothing_is_one_error(algorithm: str, burst: int) -> None:
    (problem,) = problems_of(f'{LIMIT}algorithm = "{algorithm}"\nburst = {burst}')
    assert (problem.code, problem.hint) == ("limit-burst", "Remove it.")


WHOLE = {
    "version": "1",
    "strict": "true",
    "headers": '["ratelimit"]',
    "events": '["log"]',
    "tuning": '"tuning.toml"',
    "fair_by": '"account"',
    "ramp": '"600/hour"',
    "proxies": '["10.0.0.0/8"]',
    "root_paths": '["/api"]',
    "spellings": '["case"]',
}
BELOW = (
    "identities",
    "allow",
    "deny",
    "prices",
    "usage",
    "limit.tiers",
    "limit.tiers.ip",
    "store",
    "class.when",
)


@pytest.mark.parametrize("key", WHOLE)
@pytest.mark.parametrize("table", BELOW)
def test_key_of_the_whole_file_below_a_table_is_sent_above_the_first(table: str, key: str) -> None:
    if (table, key) == ("limit.tiers.ip", "ramp"):
        return  # which is the rate of a plan of this name
    head = LIMIT.replace('[identities]\nip = { from = "client" }\n', "")
    between = '[[class]]\nname = "c"\n' if table == "class.when" else ""
    (problem,) = problems_of(f"{head}{between}[{table}]\n{key} = {WHOLE[key]}")
    assert problem.hint == "It is a key of the whole file: write it above the first table."


@pytest.mark.parametrize(
    "number", ["payers = 1000", "waiting_each = 9", "block_bytes = 1048576", "home_s = 9"]
)
@pytest.mark.parametrize("table", ["", "[store]", "[correlation]", "[adaptive]", "[[limit]]"])
def test_number_of_tuning_in_the_policy_is_sent_to_its_file(table: str, number: str) -> None:
    found = problems_of(f"version = 1\n{table}\n{number}")
    (problem,) = [each for each in found if each.code == "policy-unknown-key"]
    assert problem.hint == "It is a number of tuning: write it in the file of `tuning`."


def test_identity_that_is_called_like_a_key_of_the_file_is_an_identity() -> None:
    (problem,) = problems_of(LIMIT.replace("ip =", 'headers = { from = "header" }\nip ='))
    assert problem.hint != "It is a key of the whole file: write it above the first table."


@pytest.mark.parametrize(
    ("table", "hint"),
    [
        (
            "[headers]\nlegacy = true",
            'Write `headers = ["ratelimit", "x-ratelimit", "retry-after"]` above the first table.',
        ),
        (
            '[events]\nto = "log"',
            'Write `events = ["file:/var/log/ratelimit/events.ndjson", "env:RATELIMIT_WEBHOOK"]` above '
            "the first table.",
        ),
        (
            '[proxies]\nranges = ["10.0.0.0/8"]',
            'Write `proxies = ["10.0.0.0/8", "unix", "nat64:2001:db8:64::/96"]` above the first table.',
        ),
        (
            "[[headers]]\nname = 'ratelimit'",
            'Write `headers = ["ratelimit", "x-ratelimit", "retry-after"]` above the first table.',
        ),
        ('[fair_by]\nidentity = "ip"', 'Write `fair_by = "organisation"` above the first table.'),
        ("[root_paths]\napi = true", 'Write `root_paths = ["/api"]` above the first table.'),
        (
            '[trust]\nheader = "forwarded"',
            'Write `proxies = ["10.0.0.0/8"]` above the first table; with `"forwarded"` as another entry the '
            "header `Forwarded` is read.",
        ),
    ],
)
def test_table_that_is_a_list_is_answered_with_the_list_and_its_place(table: str, hint: str) -> None:
    assert [problem.hint for problem in problems_of(LIMIT + table)] == [hint]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("message", "messages"),
        ("request", "requests"),
        ("Requests", "requests"),
        ("handshake", "handshakes"),
        ("output_token", "output_tokens"),
        ("output-tokens", "output_tokens"),
        ("USD", "usd"),
    ],
)
def test_unit_that_is_almost_a_built_in_one_is_remarked_on(written: str, meant: str) -> None:
    (problem,) = problems_of(f'{LIMIT}unit = "{written}"')
    assert (problem.code, problem.key, problem.hint) == (
        "limit-unit",
        "limit[0].unit",
        f"Did you mean `{meant}`?",
    )


@pytest.mark.parametrize("unit", ["images", "tokens", "credits", "bytes", "seconds", "output_tokens", "usd"])
def test_unit_that_is_a_word_of_its_own_is_not(unit: str) -> None:
    assert "limit-unit" not in {problem.code for problem in problems_of(f'{LIMIT}unit = "{unit}"')}


def test_address_that_all_without_share_is_answered_with_what_an_address_can_have() -> None:
    source = 'from = "client/32/128", missing = '
    (problem,) = problems_of(LIMIT.replace('from = "client"', f'{source}"shared"'))
    assert (problem.code, problem.hint) == ("identity-shared", 'Write `missing = "refuse"`, or `"skip"`.')
    for instead in ("refuse", "skip"):
        assert problems_of(LIMIT.replace('from = "client"', f'{source}"{instead}"')) == ()


def test_file_that_is_not_there_was_looked_for_somewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError) as raised:
        Policy.load("policy.toml")
    (problem,) = raised.value.problems
    assert problem.hint == f"It was looked for in {Path.cwd()}, where this process was started."
    with pytest.raises(PolicyError) as raised:
        Policy.load(tmp_path / "policy.toml")
    assert raised.value.problems[0].hint == "Check the path and its permissions."


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        ("5/minu", "`minu` is not a period; write `minute`"),
        ("5/M", "`M` is not a period; write `minute` or `month`"),
        ("5/hou", "`hou` is not a period; write `hour`"),
        ("1.5/minute", "`1.5/minute` has a fraction, and only dollars have one"),
        ("5/secnd", "`secnd` is not a period; write `second`"),
        ("5/moon", "`moon` is not a period; write `month`"),
        (
            "5/blue",
            "`blue` is not a period; write `second` or `minute` or `hour` or `day` or `week` or `month` "
            "or `year`",
        ),
    ],
)
def test_period_that_is_none_is_answered_with_the_word_that_is_meant(rate: str, words: str) -> None:
    (problem,) = problems_of(LIMIT.replace("10/minute", rate))
    assert (problem.code, problem.message) == ("rate-syntax", words)
