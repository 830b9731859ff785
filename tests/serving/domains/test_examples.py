"""The examples of the reference service's documentation, each with what it says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.serving.domains.calling import OK, START_S, serving

MOST = 2**32 - 1


def node(key: str, value: str | None = None, limit: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a descriptor; its limit is written as `5/minute`."""
    found: dict[str, Any] = {"key": key}
    if value is not None:
        found["value"] = value
    if limit is not None:
        requests, unit = limit.split("/")
        extra = {name: more.pop(name) for name in ("name", "replaces") if name in more}
        found["rate_limit"] = {"requests_per_unit": int(requests), "unit": unit, **extra}
    return {**found, **more}


class Example(NamedTuple):
    """A configuration, and calls with what they are answered: times, descriptors, codes."""

    descriptors: list[dict[str, Any]]
    calls: list[tuple[int, tuple[Any, ...], str]]
    series: frozenset[str] | set[str] = frozenset()
    """Names of statistics, without the domain, where the example is about them."""


def at(*pairs: str) -> tuple[tuple[str, str], ...]:
    """Return a descriptor of a call: `key=value` for each entry."""
    return tuple((pair.partition("=")[0], pair.partition("=")[2]) for pair in pairs)


PHONE, OTHER = "2061111111", "2062222222"
EXAMPLES = {
    "1 two values of a key": Example(
        [node("database", "users", "5/second"), node("database", "default", "5/second")],
        [
            (6, (at("database=users"),), ".....x"),
            (6, (at("database=default"),), ".....x"),
            (9, (at("database=other"),), "........."),
        ],
        {"database_users", "database_default"},
    ),
    "2 nested, and each number by itself": Example(
        [
            node("message_type", "marketing", descriptors=[node("to_number", limit="5/day")]),
            node("to_number", limit="7/day"),
        ],
        [
            (6, (at("message_type=marketing", f"to_number={PHONE}"),), ".....x"),
            (6, (at("message_type=marketing", f"to_number={OTHER}"),), ".....x"),
            # Of both descriptors of a call each counts, and one over its limit is enough.
            (3, (at("message_type=marketing", f"to_number={PHONE}"), at(f"to_number={PHONE}")), "xxx"),
            (5, (at(f"to_number={PHONE}"),), "....x"),
            (8, (at("message_type=news", f"to_number={PHONE}"),), "........"),
        ],
        {"message_type_marketing.to_number", "to_number"},
    ),
    "3 the value before the key alone": Example(
        [node("remote_address", limit="3/second"), node("remote_address", "50.0.0.5", "0/second")],
        [
            (4, (at("remote_address=50.0.0.1"),), "...x"),
            (4, (at("remote_address=50.0.0.2"),), "...x"),
            (2, (at("remote_address=50.0.0.5"),), "xx"),
        ],
    ),
    "4 a call of another depth": Example(
        [node("key", "value", "3/second")],
        [
            (9, (at("key=value", "subkey=subvalue"),), "........."),
            (4, (at("key=value"),), "...x"),
        ],
    ),
    "4 a call of the same depth": Example(
        [node("key", "value", descriptors=[node("subkey", limit="3/second")])],
        [
            (4, (at("key=value", "subkey=subvalue"),), "...x"),
            (4, (at("key=value"),), "...."),
        ],
    ),
    "5 unlimited": Example(
        [{"key": "ldap", "rate_limit": {"unlimited": True}}, node("azure", limit="3/minute")],
        [(9, (at("ldap=x"),), "........."), (4, (at("azure=x"),), "...x")],
    ),
    "6 shadow mode of one value": Example(
        [
            node(
                "service",
                descriptors=[
                    node("user", "user-a", "2/second", shadow_mode=True),
                    node("user", "user-b", "3/second"),
                ],
            )
        ],
        [
            (9, (at("service=auth-service", "user=user-a"),), "........."),
            (4, (at("service=auth-service", "user=user-b"),), "...x"),
        ],
    ),
    "7 replaces": Example(
        [
            node("key_1", "value_1", descriptors=[node("user", "b", "2/second", name="specific_limit")]),
            node(
                "key_2",
                "value_2",
                descriptors=[node("user", "b", "4/second", replaces=[{"name": "specific_limit"}])],
            ),
        ],
        [
            (5, (at("key_1=value_1", "user=b"), at("key_2=value_2", "user=b")), "....x"),
            # What was replaced was not counted.
            (3, (at("key_1=value_1", "user=b"),), "..x"),
            (1, (at("key_2=value_2", "user=b"),), "x"),
        ],
    ),
    "8 detailed metrics": Example(
        [node("key1", limit="2/minute", detailed_metric=True), node("key1", "value1", "3/minute")],
        [
            (3, (at("key1=unspecified_value"),), "..x"),
            (3, (at("key1=unspecified_value2"),), "..x"),
            (4, (at("key1=value1"),), "...x"),
        ],
        {"key1_unspecified_value", "key1_unspecified_value2", "key1_value1"},
    ),
    "9 a pattern's end": Example(
        [node("key1", "value*", "2/minute")],
        [
            (3, (at("key1=value1"),), "..x"),
            (3, (at("key1=valueXYZ"),), "..x"),
            (3, (at("key1=value"),), "..x"),
            (3, (at("key1=other"),), "..."),
        ],
    ),
    "9 a pattern's middle": Example(
        [node("path", "/api/*/action", "2/minute")],
        [
            (3, (at("path=/api/123/action"),), "..x"),
            (3, (at("path=/api/user-id/action"),), "..x"),
            (3, (at("path=/api/123/other"),), "..."),
            (3, (at("path=/api/action"),), "..."),
        ],
    ),
    "9 several patterns": Example(
        [node("route", "/api/*/resource/*/action", "2/minute")],
        [
            (3, (at("route=/api/v1/resource/123/action"),), "..x"),
            (3, (at("route=/api/v2/resource/456/action"),), "..x"),
            (3, (at("route=/api/v2/456/resource/action"),), "..."),
        ],
    ),
    "10 values in metrics": Example(
        [
            node(
                "route",
                value_to_metric=True,
                descriptors=[
                    node(
                        "http_method",
                        value_to_metric=True,
                        descriptors=[node("subject_id", limit="2/minute")],
                    )
                ],
            )
        ],
        [
            (3, (at("route=api", "http_method=GET", "subject_id=123"),), "..x"),
            (3, (at("route=web", "http_method=POST", "subject_id=456"),), "..x"),
        ],
        {"route_api.http_method_GET.subject_id", "route_web.http_method_POST.subject_id"},
    ),
    "10 values of patterns in metrics": Example(
        [
            node(
                "user",
                value_to_metric=True,
                descriptors=[
                    node(
                        "action",
                        "read*",
                        value_to_metric=True,
                        descriptors=[node("resource", limit="2/minute")],
                    )
                ],
            )
        ],
        [(3, (at("user=alice", "action=readfile", "resource=documents"),), "..x")],
        {"user_alice.action_readfile.resource"},
    ),
    "11 one threshold of a pattern": Example(
        [
            node("files", "files/*", "4/hour", share_threshold=True),
            node("files_no_share", "files_no_share/*", "4/hour", share_threshold=False),
        ],
        [
            (2, (at("files=files/a.pdf"),), ".."),
            (2, (at("files=files/b.csv"),), ".."),
            (1, (at("files=files/c.txt"),), "x"),
            (5, (at("files_no_share=files_no_share/a.pdf"),), "....x"),
            (5, (at("files_no_share=files_no_share/b.csv"),), "....x"),
        ],
    ),
    "11 one threshold, with metrics": Example(
        [
            node(
                "route",
                "api/*",
                share_threshold=True,
                value_to_metric=True,
                descriptors=[node("method", limit="2/minute")],
            )
        ],
        [
            (1, (at("route=api/v1", "method=GET"),), "."),
            (2, (at("route=api/v2", "method=GET"),), ".x"),
            (3, (at("route=api/v2", "method=POST"),), "..x"),
        ],
        {"route_api/*.method"},
    ),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_example_decides_as_its_text_says(tmp_path: Path, example: Example) -> None:
    with serving(tmp_path, {"domain": "d", "descriptors": example.descriptors}) as service:
        for times, descriptors, codes in example.calls:
            assert service.codes(times, *descriptors) == codes, descriptors
        if example.series:
            assert set(service.series) == {f"d.{name}" for name in example.series}
        # Each window is over in a year: all of them begin anew.
        service.clock.advance(366 * 86_400)
        for _, descriptors, codes in example.calls[:1]:
            assert service.codes(1, *descriptors)[0] == codes[0]


def test_statuses_say_limit_remaining_and_the_whole_seconds_of_the_window(tmp_path: Path) -> None:
    tree = [node("a", limit="3/minute", name="first"), node("b", limit="1/hour"), node("free", limit="1/day")]
    tree[2]["rate_limit"] = {"unlimited": True}
    with serving(tmp_path, {"domain": "d", "descriptors": tree}) as service:
        service.clock.advance(10.5)
        answer = service.call(at("a=1"), at("b=1"), at("free=1"), at("none=1"), hits=2)
        a, b, free, none = answer.statuses
    assert (a.code, a.limit_remaining, a.current_limit.requests_per_unit) == (OK, 1, 3)
    assert (a.current_limit.name, a.current_limit.unit, a.duration_until_reset.seconds) == ("first", 2, 50)
    assert (b.code, b.limit_remaining) == (2, 0)
    assert b.duration_until_reset.seconds == 3_600 - (START_S + 10) % 3_600
    assert (free.code, free.limit_remaining, free.HasField("current_limit")) == (OK, MOST, False)
    assert (none.code, none.limit_remaining, none.HasField("current_limit")) == (OK, 0, False)
    assert not none.HasField("duration_until_reset")
