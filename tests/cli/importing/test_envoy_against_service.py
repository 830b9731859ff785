"""Imported descriptors decide as the service does, call by call; what they would not is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from envoy.service.ratelimit.v3 import rls_pb2
from hypothesis import event, given
from hypothesis import strategies as st

from ratelimit import Limiter, ManualClock
from ratelimit.cli.importing.draft import PolicyDraft
from ratelimit.cli.importing.envoy import read_envoy
from ratelimit.policy import Policy
from ratelimit.serving.envoy import DirectService
from tests.support.reference_service import Entries, ReferenceService, key_lists

START_S = 1_700_000_000

KEYS = ["remote_address", "user_id", "user", "Org", "path", "generic_key"]
VALUES = ["a", "b", "id", "10.0.0.1", "a*", "/x"]
numbers = st.sampled_from([1, 2, 3, 3, 5, 0])
limits = st.one_of(
    st.fixed_dictionaries(
        {
            "unit": st.sampled_from(["second", "minute", "MINUTE", "hour", "day", "week", "month", "year"]),
            "requests_per_unit": numbers,
        },
        optional={
            "name": st.sampled_from(["n", "m"]),
            "replaces": st.just([{"name": "n"}]) | st.nothing(),
        },
    ),
    st.just({"unlimited": True}),
)
flags = {
    "shadow_mode": st.booleans(),
    "detailed_metric": st.booleans(),
    "quota_mode": st.just(False) | st.booleans(),
}


class Call:
    """A call whose proxy still waits."""

    def is_active(self) -> bool:
        return True


CALL = Call()


def _siblings(children: st.SearchStrategy[Any] | None) -> st.SearchStrategy[Any]:
    optional: dict[str, st.SearchStrategy[Any]] = {"rate_limit": limits, **flags}
    if children is not None:
        optional["descriptors"] = children
    node = st.fixed_dictionaries({"key": st.sampled_from(KEYS)}, optional=optional)
    valued = st.tuples(node, st.sampled_from(VALUES)).map(lambda both: {**both[0], "value": both[1]})
    # Siblings of one key, with and without a value, are the common case.
    family = st.tuples(node, st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True), limits).map(
        lambda all_: [
            all_[0],
            *({"key": all_[0]["key"], "value": value, "rate_limit": all_[2]} for value in all_[1]),
        ]
    )
    return st.one_of(family, st.lists(node | valued, min_size=1, max_size=3))


@st.composite
def _tame(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return what can be carried: one key or two nested, values with their own limits, a limit in shadow."""
    units = st.sampled_from(["second", "minute", "Minute", "hour", "day", "week", "month", "year"])
    counted = st.fixed_dictionaries({"unit": units, "requests_per_unit": st.sampled_from([1, 2, 3, 5])})
    key = draw(st.sampled_from(["remote_address", "user_id", "Org"]))
    values = (
        draw(st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True))
        if key != "remote_address"
        else []
    )
    general = {"key": key, "rate_limit": draw(counted), "detailed_metric": draw(st.booleans())}
    own = counted | st.just({"unlimited": True}) | st.none()
    found = [general, *({"key": key, "value": value, "rate_limit": draw(own)} for value in values)]
    if draw(st.booleans()):
        found = [{"key": "user", "descriptors": found}]
    if draw(st.booleans()):
        found.append({"key": "api", "shadow_mode": True, "rate_limit": draw(counted)})
    return found


trees = _tame() | _siblings(_siblings(None))
configurations = st.fixed_dictionaries({"domain": st.just("api"), "descriptors": trees})
values = st.sampled_from(["a", "b", "c", None])
calls = st.lists(
    st.tuples(
        st.sampled_from(
            [0.0, 0.0, 0.0, 0.3, 1.0, 29.7, 60.0, 3_600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0]
        ),
        st.fixed_dictionaries({"user_id": values, "user": values, "Org": values}),
        st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"]),
    ),
    min_size=8,
    max_size=40,
)


def imported(configuration: dict[str, Any]) -> PolicyDraft:
    draft = PolicyDraft()
    read_envoy([("r.yaml", json.dumps(configuration))], draft)
    return draft


def sent(configuration: dict[str, Any], facts: dict[str, str | None]) -> list[Entries]:
    """Return what Envoy sends: a descriptor for each list of keys, but where a value is missing."""
    found = []
    for keys in key_lists(configuration["descriptors"]):
        entries = [(key, facts.get(key)) for key in keys]
        if all(value is not None for _, value in entries):
            found.append([(key, value) for key, value in entries if value is not None])
    return found


def decisions(configuration: dict[str, Any], draft: PolicyDraft, asked: Any) -> tuple[list[bool], list[bool]]:
    """Return what the service and the policy decide, call by call."""
    clock = ManualClock(START_S * 10**9)
    limiter = Limiter(Policy.from_toml(draft.text([])), clock=clock)
    ours, theirs = DirectService(limiter), ReferenceService(configuration)
    now_s = float(START_S)
    said: tuple[list[bool], list[bool]] = ([], [])
    for step_s, facts, address in asked:
        now_s += step_s
        clock.advance(step_s)
        descriptors = sent(configuration, {**facts, "remote_address": address})
        if not descriptors:
            continue  # Envoy does not call then
        request = rls_pb2.RateLimitRequest(domain="api")
        for entries in descriptors:
            made = request.descriptors.add()
            for key, value in entries:
                made.entries.add(key=key, value=value)
        answered = ours.ShouldRateLimit(request.SerializeToString(), CALL)  # type: ignore[arg-type]
        code = rls_pb2.RateLimitResponse.FromString(answered).overall_code
        said[0].append(theirs.is_over(descriptors, now_s))
        said[1].append(code == rls_pb2.RateLimitResponse.OVER_LIMIT)
    limiter.close()
    return said


@given(configurations, calls)
def test_import_never_says_the_opposite_of_its_source(configuration: dict[str, Any], asked: Any) -> None:
    draft = imported(configuration)
    if draft.losses or not draft.limits:
        event("refused")
        return
    event("carried")
    theirs, ours = decisions(configuration, draft, asked)
    assert ours == theirs


MINUTE = {"unit": "minute", "requests_per_unit": 3}
CARRIED = {
    "address": [{"key": "remote_address", "rate_limit": MINUTE}],
    "key": [{"key": "user_id", "rate_limit": MINUTE}],
    "key in capitals": [{"key": "Org", "rate_limit": MINUTE}],
    "nested keys": [{"key": "user_id", "descriptors": [{"key": "Org", "rate_limit": MINUTE}]}],
    "value with a limit of its own": [
        {"key": "user_id", "rate_limit": MINUTE},
        {"key": "user_id", "value": "a", "rate_limit": {"unit": "day", "requests_per_unit": 9}},
    ],
    "value without a limit": [
        {"key": "user_id", "rate_limit": MINUTE},
        {"key": "user_id", "value": "a", "rate_limit": {"unlimited": True}},
    ],
    "value with no rate_limit at all": [
        {"key": "user_id", "rate_limit": MINUTE},
        {"key": "user_id", "value": "a"},
    ],
    "shadow beside a limit": [
        {"key": "user_id", "rate_limit": MINUTE, "shadow_mode": True},
        {"key": "remote_address", "rate_limit": {"unit": "hour", "requests_per_unit": 7}},
    ],
    "year of 365 days": [{"key": "user_id", "rate_limit": {"unit": "year", "requests_per_unit": 2}}],
    "week": [{"key": "user_id", "rate_limit": {"unit": "WEEK", "requests_per_unit": 2}}],
    "metrics": [{"key": "user_id", "detailed_metric": True, "rate_limit": {**MINUTE, "name": "by user"}}],
}


@pytest.mark.parametrize("descriptors", CARRIED.values(), ids=CARRIED)
def test_is_carried_and_decides_as_the_service(descriptors: list[dict[str, Any]]) -> None:
    configuration = {"domain": "api", "descriptors": descriptors}
    draft = imported(configuration)
    assert draft.losses == []
    asked = [
        (step_s, {"user_id": user, "user": None, "Org": "o"}, address)
        for step_s in (0.0, 1.0, 20.0, 60.0, 86_400.0, 330 * 86_400.0, 29.0 * 86_400.0, 6 * 86_400.0)
        for user in ("a", "b", "a", "a", "a")
        for address in ("10.0.0.1", "2001:db8::1", "2001:db8::2")
    ]
    theirs, ours = decisions(configuration, draft, asked)
    assert ours == theirs
    assert any(theirs)
    assert not all(theirs)


TIER = {"key": "user_id", "rate_limit": MINUTE}
REFUSED = {
    "ban": (
        [TIER, {"key": "user_id", "value": "a", "rate_limit": {**MINUTE, "requests_per_unit": 0}}],
        "[deny]",
    ),
    "ban by leaving the number out": ([{"key": "user_id", "rate_limit": {"unit": "minute"}}], "[deny]"),
    "shadow of one value": (
        [TIER, {"key": "user_id", "value": "a", "shadow_mode": True, "rate_limit": MINUTE}],
        "shadow mode",
    ),
    "shadow of a key, and a value enforced": (
        [{**TIER, "shadow_mode": True}, {"key": "user_id", "value": "a", "rate_limit": MINUTE}],
        "enforced",
    ),
    "value without its key": ([TIER, {"key": "Org", "value": "a", "rate_limit": MINUTE}], "`match`"),
    "wildcard": ([TIER, {"key": "user_id", "value": "a*", "rate_limit": MINUTE}], "any text"),
    "shared threshold": (
        [TIER, {"key": "user_id", "value": "a*", "share_threshold": True, "rate_limit": MINUTE}],
        "values of a pattern",
    ),
    "replaces": (
        [{"key": "user_id", "rate_limit": {**MINUTE, "replaces": [{"name": "n"}]}}],
        "where both apply",
    ),
    "quota": ([{**TIER, "quota_mode": True}], "all quotas"),
    "metadata": ([{**TIER, "metadata": {"x": 1}}], "no metadata"),
    "nested under a value": (
        [{"key": "user_id", "value": "a", "descriptors": [{"key": "Org", "rate_limit": MINUTE}]}],
        "nested under user_id=a",
    ),
    "nested under a key, beside a value": (
        [
            {"key": "user_id", "descriptors": [{"key": "Org", "rate_limit": MINUTE}]},
            {"key": "user_id", "value": "a"},
        ],
        "do not fall under",
    ),
    "path": ([{"key": "path", "value": "/login", "rate_limit": MINUTE}], "spellings"),
    "each path": ([{"key": "path", "rate_limit": MINUTE}], "each value"),
    "address range": ([{"key": "masked_remote_address", "rate_limit": MINUTE}], "--from"),
    "one address": (
        [
            {"key": "remote_address", "rate_limit": MINUTE},
            {"key": "remote_address", "value": "10.0.0.1", "rate_limit": {**MINUTE, "requests_per_unit": 9}},
        ],
        "tier for an address",
    ),
    "two limits on one call": (
        [TIER, {"key": "remote_address", "rate_limit": MINUTE}],
        "for all limits or for none",
    ),
    "two limits, one nested": (
        [{**TIER, "descriptors": [{"key": "Org", "rate_limit": MINUTE}]}],
        "for all limits or for none",
    ),
    "key that another key joins": ([TIER, {"key": "user", "rate_limit": MINUTE}], "joins both by"),
    "twice": ([TIER, TIER], "takes it for the descriptor of"),
    "key of a call": ([{"key": "unit", "rate_limit": MINUTE}], "no identity"),
    "unknown unit": (
        [{"key": "user_id", "rate_limit": {"unit": "fortnight", "requests_per_unit": 1}}],
        "no such unit",
    ),
    "unknown setting": ([{**TIER, "colour": "blue"}], "no such setting"),
    "setting in the wrong place": (
        [{"key": "user_id", "rate_limit": {**MINUTE, "shadow_mode": True}}],
        "no such setting",
    ),
    "unlimited with a unit": (
        [{"key": "user_id", "rate_limit": {"unlimited": True, "unit": "day"}}],
        "with a unit",
    ),
    "no key": ([{"rate_limit": MINUTE}], "without a key"),
    "number as a text": (
        [{"key": "user_id", "rate_limit": {**MINUTE, "requests_per_unit": "3"}}],
        "no whole number",
    ),
    "more than the service counts": (
        [{"key": "user_id", "rate_limit": {**MINUTE, "requests_per_unit": 2**32}}],
        "at most",
    ),
}


@pytest.mark.parametrize(("descriptors", "why"), REFUSED.values(), ids=REFUSED)
def test_is_refused_with_its_line(descriptors: list[dict[str, Any]], why: str) -> None:
    draft = imported({"domain": "api", "descriptors": descriptors})
    said = [loss for loss in draft.losses if why in f"{loss.why} {loss.instead}"]
    assert said, draft.losses
    assert all(loss.place.file == "r.yaml" for loss in said)
    assert all(loss.place.line >= 1 for loss in said)
