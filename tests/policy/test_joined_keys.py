"""Keys of a limit that are values of another key: what they mean, and what to write for the older word."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit import Limiter, Policy, PolicyError
from ratelimit.policy.schema import json_schema
from ratelimit.policy.schema.model import Limit
from tests.support.policy_lines import at_top

HEAD = 'version = 1\n[identities]\nplan = { from = "state:plan" }\n'
LIMIT = f'{HEAD}[[limit]]\nname = "a"\nper = "ip"\nrate = "60/minute"\n'
CORRELATED = f"{LIMIT.replace(chr(34) + 'ip' + chr(34), chr(34) + 'cluster' + chr(34))}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (LIMIT + 'unit = "t"\nestimate = 5', "Write `cost = 5`."),
        (LIMIT + 'zone = "Asia/Tokyo"', 'Write `algorithm = "calendar:Asia/Tokyo"`.'),
        (LIMIT + "calendar = true", 'Write `algorithm = "calendar"`.'),
        (LIMIT + 'on = "message"', 'Write `unit = "messages"`.'),
        (LIMIT + "lease = 9", "It stands in the file that `tuning` names, as `slot_kept_s`."),
        (
            LIMIT + "[queue]\ntotal = 5",
            "Write `[[class]]` and `fair_by`. The lengths of lines stand in the file of `tuning`.",
        ),
        (LIMIT + "enforce = 0.1", "Write `mode = 0.1`."),
        (LIMIT + 'distinct = "plan"', 'Write `unit = "distinct:plan"`.'),
        (LIMIT + 'tier = "plan"', "Write the plans as `tiers.plan.PLAN`."),
        (
            LIMIT + 'tiers.pro.rate = "9/minute"',
            "Write `tiers.IDENTITY.pro`, with the identity that holds the plan.",
        ),
        (LIMIT + 'on_exhausted = "cut"', 'Write `on_refusal = ["cut"]`.'),
        (LIMIT + 'on_exhausted = "finish"', "Remove it: streams end by themselves."),
        (LIMIT + 'grant = "body:max_tokens"', 'Write `exposure = "grant:max_tokens"`.'),
        (LIMIT + "overflow = true", 'Write `budget = "overflow"`.'),
        (CORRELATED + 'verdict = "likely"', 'Write `per = "cluster:likely"`.'),
        (LIMIT.replace('"ip"', '"cluster:likley"'), "Write `cluster`, `cluster:likely` or `cluster:young`."),
    ],
)
def test_an_older_key_is_an_error_with_the_line_to_write(text: str, hint: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(text)
    assert hint in [problem.hint for problem in caught.value.problems]


def test_a_plan_is_a_rate_unlimited_or_a_table() -> None:
    plans = (
        'tiers.plan = { pro = "600/minute", team = { rate = "6000/minute", burst = 7 }, staff = "unlimited" }'
    )
    (limit,) = Policy.from_toml(LIMIT + plans).compiled.limits
    rules = Policy.from_toml(LIMIT + plans).compiled.rules
    found = {plan: [(rules[at].quota, rules[at].burst) for at in each] for plan, each in limit.tiers.items()}
    assert found == {"pro": [(600, 600)], "team": [(6000, 7)], "staff": []}


def test_a_limit_that_cuts_streams_refuses_requests() -> None:
    text = LIMIT + 'unit = "output_tokens"\nusage = "auto"\non_refusal = ["cut"]'
    (rule, *_) = Policy.from_toml(text).compiled.rules
    assert rule.metering is not None
    assert rule.metering.cuts
    assert rule.on_refusal == ("refuse",)


def test_a_share_as_mode_enforces_for_so_many_keys() -> None:
    for written, shadow, share in (
        ("0.25", False, 250_000),
        ("1", False, 1_000_000),
        ('"shadow"', True, 1_000_000),
    ):
        (limit,) = Policy.from_toml(LIMIT + f"mode = {written}").compiled.limits
        assert (limit.shadow, limit.enforced_ppm) == (shadow, share)


def test_the_correlators_numbers_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    text = at_top(LIMIT, 'tuning = "tuning.toml"')
    path.write_text(text, "utf-8")
    (tmp_path / "tuning.toml").write_text("principals = 500\n", "utf-8")
    first = Policy.load(path)
    assert first.file.tuning.principals == 500
    (tmp_path / "tuning.toml").write_text("principals = 600\n", "utf-8")
    assert Policy.load(path).digest != first.digest  # so that workers take it up


@pytest.mark.parametrize(
    ("written", "code", "file", "line"),
    [
        (None, "tuning-file", "policy.toml", 2),
        ("\nprincipals = ", "policy-syntax", "tuning.toml", 2),
        ("\nprincipals = 1\n", "policy-value", "tuning.toml", 2),
        ("\n\nprincipal = 100\n", "policy-unknown-key", "tuning.toml", 3),
    ],
)
def test_numbers_that_cannot_be_used_are_an_error_of_their_own_line(
    tmp_path: Path, written: str | None, code: str, file: str, line: int
) -> None:
    path = tmp_path / "policy.toml"
    text = at_top(LIMIT, 'tuning = "tuning.toml"')
    path.write_text(text, "utf-8")
    if written is not None:
        (tmp_path / "tuning.toml").write_text(written, "utf-8")
    with pytest.raises(PolicyError) as caught:
        Policy.load(path)
    (problem,) = caught.value.problems
    assert (problem.code, problem.file, problem.line) == (code, str(tmp_path / file), line)


def test_numbers_in_the_policy_itself_are_an_error() -> None:
    with pytest.raises(PolicyError, match="must be the path of a file"):
        Policy.from_toml(LIMIT + "[tuning]\nprincipals = 500\n")


def test_a_changed_file_of_tuning_is_in_force_like_a_changed_policy(tmp_path: Path) -> None:
    """Hazard: the policy file is as it was, so nobody looks; or a mended file is never read."""
    path, numbers = tmp_path / "policy.toml", tmp_path / "tuning.toml"
    path.write_text(at_top(LIMIT, 'tuning = "tuning.toml"'), "utf-8")
    numbers.write_text("waiting = 500\n", "utf-8")
    limiter = Limiter(path)
    assert limiter.reload_if_changed() is None
    for written, result, waiting in (
        ("waiting = 9", "applied", 9),
        ("waiting = x", "rejected", 9),
        ("waiting = 77\n", "applied", 77),
    ):
        numbers.write_text(written, "utf-8")
        outcome = limiter.reload_if_changed()
        assert outcome is not None
        assert outcome.result == result
        assert limiter.policy.file.tuning.waiting == waiting
    limiter.close()


def test_keys_are_no_more_than_they_were() -> None:
    """A policy is read by people: a new key has to be worth its place. Numbers only go down."""
    tables = json_schema.schema()["$defs"]
    assert len(Limit.__struct_fields__) <= 24
    assert sum(len(table["properties"]) for table in tables.values()) <= 120
