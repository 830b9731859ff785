"""Tables of usage in a policy: what they mean, and what is no place in an answer."""

from __future__ import annotations

import json

import pytest

from ratelimit import Policy, PolicyError
from ratelimit.usage.report import Usage, UsageReading
from ratelimit.usage.tables import LONGEST_KEY
from tests.usage.tables import read_by

HEAD = """
version = 1
[[limit]]
name = "t"
per = "ip"
rate = "9000/hour"
unit = "total_tokens"
usage = "acme"
"""
ACME = """
[usage.acme]
input_tokens = "meta.in"
cache_read_tokens = "meta.cached"
output_tokens = ["meta.out", "meta.thoughts"]
"""

CASES = (
    ("limit-usage", '[usage.acmf]\noutput_tokens = "a"', "limit[0].usage", "acmf"),
    ("usage-table", '[usage.acme]\ntext = "a"', "usage.acme", "output_tokens"),
    ("usage-table", '[usage.acme]\noutput_tokens = "a..b"', "usage.acme.output_tokens", "usage.tokens.out"),
    ("usage-table", '[usage.acme]\noutput_tokens = "a b"', "usage.acme.output_tokens", "usage.tokens.out"),
    ("usage-table", '[usage.acme]\noutput_tokens = "-1 * a"', "usage.acme.output_tokens", "usage.tokens.out"),
    (
        "usage-table",
        f'[usage.acme]\noutput_tokens = "{"k" * (LONGEST_KEY + 1)}"',
        "usage.acme.output_tokens",
        "",
    ),
    ("usage-table", '[usage.acme]\noutput_tokens = "header:"', "usage.acme.output_tokens", "header:x-tokens"),
    ("usage-table", '[usage.acme]\noutput_tokens = ["a", "2 * a"]', "usage.acme.output_tokens", ""),
    ("usage-table", '[usage.acme]\ncost = "1001 * a"', "usage.acme.cost", ""),
    ("usage-table", '[usage.acme]\noutput_tokens = "a"\ntext = "2 * b"', "usage.acme.text", ""),
    (
        "usage-table",
        '[usage.acme]\ninput_tokens = ["a", "b"]\ncache_read_tokens = "b"\ncache_write_tokens = "c"',
        "usage.acme.input_tokens",
        "all of them",
    ),
    ("policy-unknown-key", '[usage.acme]\noutput_token = "a"', "usage.acme.output_token", "output_tokens"),
)


@pytest.mark.parametrize(("code", "table", "key", "hint"), CASES)
def test_what_is_no_place_is_an_error(code: str, table: str, key: str, hint: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(HEAD + table)
    assert (code, key) in {(problem.code, problem.key) for problem in caught.value.problems}
    assert any(hint in problem.hint for problem in caught.value.problems if problem.code == code)


def test_form_that_is_built_in_keeps_its_name() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(HEAD.replace("acme", "auto") + '[usage.auto]\noutput_tokens = "a"')
    assert [problem.code for problem in caught.value.problems] == ["usage-table"]


def test_five_lines_read_a_provider_that_none_knew() -> None:
    answer = json.dumps({"reply": "four", "meta": {"in": 90, "cached": 40, "out": 12, "thoughts": 8}})
    assert read_by(HEAD + ACME, answer.encode()) == UsageReading("exact", Usage(50, 0, 40, 20), True)


def test_numbers_have_factors_and_are_rounded_up() -> None:
    table = """
    [usage.acme]
    output_tokens = ["0.25 * meta.characters", "50 * meta.seconds"]
    input_tokens = "n[].in"
    """
    answer = b'{"meta":{"characters":9,"seconds":1.5},"n":[{"in":3},{"in":4}]}'
    assert read_by(HEAD + table, answer) == UsageReading("exact", Usage(7, 0, 0, 3 + 75), True)


def test_units_of_auto_are_not_read_beside_a_table() -> None:
    """Else a number that stands there by two names would count twice, or by the wrong one."""
    answer = b'{"meta":{"out":20,"in":7},"usage":{"prompt_tokens":1000,"completion_tokens":5000}}'
    assert read_by(HEAD + ACME, answer) == UsageReading("exact", Usage(7, 0, 0, 20), True)


def test_text_of_a_stream_counts_until_its_usage_comes() -> None:
    table = ACME + 'text = "piece"'
    chunk = b'data: {"piece":"' + b"w" * 70 + b'"}\n\n'
    assert read_by(HEAD + table, chunk, b"text/event-stream", is_complete=False).usage.output == 20
    ended = chunk + b'data: {"meta":{"in":7,"out":18}}\n\n'
    assert read_by(HEAD + table, ended, b"text/event-stream") == UsageReading(
        "exact", Usage(7, 0, 0, 18), True
    )
