"""Estimates and usage of a limit, compiled; in step with what readers can read."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import pytest

from ratelimit.errors import PolicyError
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.policy.schema.model import UsageShape
from ratelimit.usage.compile import USAGE_UNITS, EstimateSpec, MeteringSpec
from ratelimit.usage.report import UNITS
from ratelimit.usage.shapes import SHAPES


def rule_of(*lines: str) -> LimitRule:
    unit = [] if any(line.startswith("unit") for line in lines) else ['unit = "output_tokens"']
    text = "\n".join(['[[limit]]\nname = "t"\nper = "ip"\nrate = "9/hour"', *unit, *lines])
    return Policy.from_toml(f"version = 1\n{text}").compiled.rules[0]


def test_words_are_those_that_readers_know() -> None:
    assert set(USAGE_UNITS) == set(UNITS)
    assert get_args(UsageShape) == SHAPES


@pytest.mark.parametrize(
    ("lines", "spec"),
    [
        ([], None),
        (["cost = 5"], None),
        (['usage = "auto"'], MeteringSpec("auto", None, False, exposure=4, unit="output_tokens")),
        (
            ['usage = "gemini"', 'on_refusal = ["cut"]'],
            MeteringSpec("gemini", None, True, exposure=4, unit="output_tokens"),
        ),
        (
            ['cost = "declared"'],
            MeteringSpec(None, EstimateSpec("declared"), False, exposure=4, unit="output_tokens"),
        ),
        (
            ['cost = "learned"'],
            MeteringSpec(None, EstimateSpec("learned"), False, exposure=4, unit="output_tokens"),
        ),
        (
            ['cost = "learned"', "exposure = 1.5", "most = 8192"],
            MeteringSpec(None, EstimateSpec("learned"), False, exposure=1.5, most=8192, unit="output_tokens"),
        ),
        (['usage = "auto"', 'unit = "input_tokens"'], MeteringSpec("auto", None, False)),
        (['model = "a-*"'], MeteringSpec(None, None, False, models=("a-*",))),
        (
            ['cost = "header:X-Cost"'],
            MeteringSpec(None, EstimateSpec("header", "x-cost"), False, exposure=4, unit="output_tokens"),
        ),
        (
            ['cost = "state:Cost"'],
            MeteringSpec(None, EstimateSpec("state", "Cost"), False, exposure=4, unit="output_tokens"),
        ),
    ],
)
def test_compiled(lines: list[str], spec: MeteringSpec | None) -> None:
    assert rule_of(*lines).metering == spec


def test_counters_carry_over_when_the_words_change() -> None:
    plain, metered = rule_of("cost = 5"), rule_of('cost = "learned"', 'usage = "auto"')
    assert plain.salt_parts == metered.salt_parts


CASES = (
    ("limit-conflict", ['model = "a"', 'unit = "handshakes"'], "model", "count requests"),
    ("policy-value", ['model = [""]'], "model", ""),
    ("limit-estimate", ['unit = "t"', 'cost = "lerned"'], "cost", "Did you mean `learned`?"),
    ("limit-estimate", ['unit = "t"', 'cost = "header:"'], "cost", "header:NAME"),
    ("limit-estimate", ['unit = "t"', 'cost = "state:a b"'], "cost", "state:NAME"),
    ("limit-usage-unit", ['unit = "output_token"', 'usage = "auto"'], "unit", "`output_tokens`"),
    ("limit-usage", ['unit = "output_tokens"', 'usage = "openia"'], "usage", "`openai`"),
    ("limit-prices", ['unit = "usd"', 'usage = "auto"'], "unit", "ratelimit make prices import"),
    ("limit-conflict", ['usage = "auto"'], "usage", "`unit`"),
    ("limit-cost-unit", ['cost = "learned"'], "cost", "`unit`"),
    ("limit-conflict", ['unit = "t"', 'on_refusal = ["cut"]'], "on_refusal", "usage"),
    ("limit-conflict", ["exposure = 2"], "exposure", "usage"),
    ("limit-conflict", ['unit = "output_tokens"', "cost = 5", "most = 9"], "most", "usage"),
    ("policy-value", ['unit = "output_tokens"', 'usage = "auto"', "exposure = 0.5"], "exposure", ""),
)


@pytest.mark.parametrize(("code", "lines", "key", "hint"), CASES)
def test_what_cannot_mean_anything_is_an_error(code: str, lines: list[str], key: str, hint: str) -> None:
    text = "\n".join(['[[limit]]\nname = "t"\nper = "ip"\nrate = "9/hour"', *lines])
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(f"version = 1\n{text}")
    (problem,) = caught.value.problems
    assert (problem.code, problem.key) == (code, f"limit[0].{key}")
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("rate", "quota"),
    [("0.50/day", 500_000), ("5/day", 5_000_000), ("1.25/month", 1_250_000), ("0.000001/day", 1)],
)
def test_budget_below_a_dollar_is_a_budget(rate: str, quota: int) -> None:
    prices = "[prices]\nm = { input = 3.0, output = 15.0 }\n"
    text = f'version = 1\n{prices}[[limit]]\nname = "t"\nper = "ip"\nunit = "usd"\nrate = "{rate}"'
    assert Policy.from_toml(text).compiled.rules[0].quota == quota


@pytest.mark.parametrize(("burst", "units"), [("0.25", 250_000), ("2", 2_000_000), ("0.000001", 1)])
def test_burst_of_dollars_may_have_a_fraction(burst: str, units: int) -> None:
    prices = "[prices]\nm = { input = 3.0, output = 15.0 }\n"
    limit = f'[[limit]]\nname = "t"\nper = "ip"\nunit = "usd"\nrate = "5/day"\nburst = {burst}'
    text = f"version = 1\n{prices}{limit}"
    assert Policy.from_toml(text).compiled.rules[0].burst == units


@pytest.mark.parametrize(
    ("lines", "key", "message", "hint"),
    [
        (
            "burst = 1.0000005",
            "burst",
            "`burst = 1.0000005` is finer than a millionth of a dollar",
            "Write 1.",
        ),
        ("burst = 1e-7", "burst", "`burst = 1e-07` is finer than a millionth of a dollar", "Write 0.000001."),
        (
            "burst = 5000000.5",
            "burst",
            "a burst of 5000000.5; at this rate 8339.999309 are the most",
            "Lower it.",
        ),
        (
            'burst = 0.5\nalgorithm = "fixed-window"',
            "burst",
            "a burst of 0.5 leaves a window without a part of its 5",
            "Write more than the rate: what was left of one window is there in the next, up to it.",
        ),
        (
            "burst = 0.5\ndebt = 1000000",
            "debt",
            "a debt of 1000000; at this rate 16679.498619 are the most",
            "Lower it.",
        ),
    ],
)
def test_problem_with_dollars_is_told_in_dollars(lines: str, key: str, message: str, hint: str) -> None:
    prices = "[prices]\nm = { input = 3.0, output = 15.0 }\n"
    limit = f'[[limit]]\nname = "t"\nper = "ip"\nunit = "usd"\nrate = "5/day"\n{lines}'
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(f"version = 1\n{prices}{limit}")
    (problem,) = caught.value.problems
    assert (problem.key, problem.message, problem.hint) == (f"limit[0].{key}", message, hint)


@pytest.mark.parametrize("burst", ["4.35", "1.1", "123.456789", "0.07", "2345.678901"])
def test_burst_of_dollars_is_the_one_that_is_written(burst: str) -> None:
    prices = "[prices]\nm = { input = 3.0, output = 15.0 }\n"
    limit = f'[[limit]]\nname = "t"\nper = "ip"\nunit = "usd"\nrate = "5/day"\nburst = {burst}'
    rule = Policy.from_toml(f"version = 1\n{prices}{limit}").compiled.rules[0]
    assert rule.burst == int(Decimal(burst) * 1_000_000)


def test_burst_of_requests_has_no_fraction() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml('version = 1\n[[limit]]\nname = "t"\nper = "ip"\nrate = "5/minute"\nburst = 2.5')
    (problem,) = caught.value.problems
    assert (problem.code, problem.key, problem.hint) == ("limit-burst", "limit[0].burst", "Write 2.")


def test_part_of_a_request_is_told_as_whole_ones() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml('version = 1\n[[limit]]\nname = "t"\nper = "ip"\nrate = "1.5/minute"')
    (problem,) = caught.value.problems
    assert (problem.code, problem.hint) == ("rate-syntax", "Write `3 per 2 minutes`.")
