"""Huge and hostile policy files: refused with a word, in time, by nothing but a PolicyError."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.errors import PolicyError
from ratelimit.policy import Policy
from ratelimit.policy.schema.model import Identity, Limit, PolicyFile, Store, Tier, Trust

# Far above what is needed: these tell a square from a line and not a fast machine from a slow one.
PATIENCE_S = 20.0


@pytest.mark.parametrize(
    "text",
    [
        "a." * 500_000 + "a = 1",
        "[" + "a." * 500_000 + "a]",
        "x = {" + '"a" . ' * 150_000 + "a = 1}",
        "version = 1\nx = " + "[" * 500_000,
        "version = 1\nx = " + "[" * 50_000 + "]" * 50_000,
        "version = 1\nx = " + "{a=" * 300_000,
        "version = 1\n" + "[[limit]]\n" * 100_000,
        "version = 1\n[allow]\nip = [" + '"192.0.2.1",' * 80_000 + "]",
        "version = 1\n" + "\n".join(f"k{n} = {n}" for n in range(80_000)),
        "version = 1\n[identities]\n" + "\n".join(f'i{n} = {{ from = "client" }}' for n in range(30_000)),
        'version = 1\nx = """' + '\\"' * 500_000,
        "version = 1\nx = '" + "y" * 1_000_000 + "'",
    ],
    ids=lambda text: text[:24].replace("\n", " "),
)
def test_a_file_made_to_be_slow_is_refused_in_time(text: str) -> None:
    started = time.process_time()
    with pytest.raises(PolicyError):
        Policy.from_toml(text)
    assert time.process_time() - started < PATIENCE_S


def test_full_lists_are_compared_in_time() -> None:
    addresses = [f"10.{n >> 8 & 255}.{n & 255}.0/25" for n in range(10_000)]
    tree = {
        "version": 1,
        "allow": {"ip": addresses},
        "deny": {"ip": [one.replace("/25", "/26") for one in addresses]},
    }
    started = time.process_time()
    warnings = Policy.from_mapping(tree).warnings
    assert time.process_time() - started < PATIENCE_S
    assert [warning.code for warning in warnings].count("list-contradiction") == 10_000


def test_the_largest_policy_there_may_be_loads_in_time() -> None:
    limits = [
        {
            "name": f"l{n}",
            "per": "ip",
            "rate": f"{n + 1}/minute",
            "match": [f"GET /v{n}/{{x}}/a", f"/w{n % 40}/{n}/*"],
        }
        for n in range(256)
    ]
    started = time.process_time()
    policy = Policy.from_mapping({"version": 1, "limit": limits})
    assert time.process_time() - started < PATIENCE_S
    assert len(policy.compiled.rules) == 256


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        (
            {
                "limit": [
                    {"name": f"l{n}", "per": [], "rate": "1/second", "match": f"/{n}"} for n in range(257)
                ]
            },
            "limit",
        ),
        (
            {
                "limit": [
                    {"name": f"l{n}", "per": [], "rate": "1/second;2/day", "match": f"/{n}"}
                    for n in range(129)
                ]
            },
            "limit",
        ),
        ({"identities": {f"i{n}": {"from": "client"} for n in range(65)}}, "identities"),
        ({"identities": {"i": {"from": ["client"] * 9}}}, "identities.i.from"),
        ({"limit": [{"name": "l", "per": ["ip"] * 9, "rate": "1/second"}]}, "limit[0].per"),
        (
            {"limit": [{"name": "l", "per": [], "rate": "1/second", "match": [f"/{n}" for n in range(65)]}]},
            "limit[0].match",
        ),
        (
            {
                "limit": [
                    {
                        "name": "l",
                        "per": [],
                        "rate": "1/second",
                        "tiers": {"ip": {f"t{n}": {"burst": 1} for n in range(65)}},
                    }
                ]
            },
            "limit[0].tiers.ip",
        ),
        ({"allow": {"ip": ["192.0.2.1"] * 10_001}}, "allow.ip"),
    ],
)
def test_too_many_of_a_kind_is_one_error(tree: dict[str, Any], key: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_mapping({"version": 1, **tree})
    assert ("policy-too-many", key) in [(problem.code, problem.key) for problem in caught.value.problems]


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["client", "header:x", "path:p", "/a/{p}", "GET /*", "1/second", "5/day;6/hour", "ip", "60s", "UTC"]
    )
)
KEYS = st.sampled_from(
    [
        *(
            field
            for kind in (PolicyFile, Limit, Identity, Tier, Trust, Store)
            for field in kind.__struct_encode_fields__
        ),
        "frob",
    ]
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
LIMITS = st.fixed_dictionaries(
    {"name": st.text(max_size=3), "per": st.sampled_from(["ip", "x", []])},
    optional={key: SCALARS | TREES for key in Limit.__struct_encode_fields__ if key not in ("name", "per")},
)


@given(st.dictionaries(KEYS, TREES, max_size=6), st.lists(LIMITS, max_size=3))
def test_any_tree_is_a_policy_or_a_policy_error(tree: dict[str, Any], limits: list[dict[str, Any]]) -> None:
    for candidate in (tree, {"version": 1, "limit": limits}, {"version": 1, **tree, "limit": limits}):
        try:
            policy = Policy.from_mapping(candidate)
        except PolicyError as refused:
            error, found = True, refused.problems
        else:
            error, found = False, policy.warnings
        assert any(problem.severity == "error" for problem in found) is error


@given(st.text(alphabet="version = 1\n[]\"#{}.,'\\", max_size=60))
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    try:
        Policy.from_toml(text)
    except PolicyError as refused:
        found = refused.problems
    else:
        found = ()
    assert all(1 <= (problem.line or 0) <= text.count("\n") + 1 for problem in found)
