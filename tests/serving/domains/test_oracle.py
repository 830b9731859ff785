"""Calls are answered as a plain reading of the reference service's documentation answers them."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from ratelimit.serving.domains.model import UNITS
from tests.serving.domains.calling import OVER, serving
from tests.support.reference_service import Descriptor, ReferenceService

UNIT_NAMES = [name.lower() for name in UNITS]
KEYS = ["user", "user_id", "path", "Org"]
VALUES = ["a", "b", "id", "ab", "a*", "*", "/x/*", "/x/*/z", "a*a"]
SENT = ["a", "b", "ab", "aa", "aba", "id", "id_a", "/x/y", "/x/y/z", "/x/z", "", "a*"]

limits = st.one_of(
    st.fixed_dictionaries(
        {
            "unit": st.sampled_from([*UNIT_NAMES, "MINUTE"]),
            "requests_per_unit": st.sampled_from([0, 1, 2, 3]),
        },
        optional={"name": st.sampled_from(["n", "m"])},
    ),
    st.fixed_dictionaries(
        {
            "unit": st.just("minute"),
            "requests_per_unit": st.sampled_from([1, 2]),
            "replaces": st.sampled_from([[{"name": "n"}], [{"name": "n"}, {"name": "m"}]]),
        }
    ),
    st.just({"unlimited": True}),
)


def _nodes(children: st.SearchStrategy[Any] | None) -> st.SearchStrategy[Any]:
    optional: dict[str, st.SearchStrategy[Any]] = {
        "value": st.sampled_from(VALUES),
        "rate_limit": limits,
        "shadow_mode": st.booleans(),
        "quota_mode": st.booleans(),
        "detailed_metric": st.booleans(),
        "value_to_metric": st.booleans(),
        "share_threshold": st.booleans(),
    }
    if children is not None:
        optional["descriptors"] = children
    node = st.fixed_dictionaries({"key": st.sampled_from(KEYS)}, optional=optional).map(_tame)
    return st.lists(node, min_size=1, max_size=3, unique_by=_name)


def _name(node: dict[str, Any]) -> str:
    return f"{node['key']}_{node['value']}" if node.get("value") else str(node["key"])


def _tame(node: dict[str, Any]) -> dict[str, Any]:
    """Return what a file may say: only a pattern shares its threshold."""
    if "*" not in node.get("value", ""):
        node.pop("share_threshold", None)
    return node


trees = _nodes(_nodes(_nodes(None)))
entries = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(SENT)), min_size=0, max_size=3)


@st.composite
def calls(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    tree = draw(trees)
    ways = [tuple(each) for each in _ways(tree)]
    likely = st.sampled_from(ways).flatmap(lambda way: st.tuples(*(_sent(node) for node in way))).map(list)
    one = st.builds(
        Descriptor,
        likely | likely | entries,
        st.none() | st.none() | st.sampled_from([0, 1, 2, 5]),
        st.none() | st.none() | st.none() | st.tuples(st.integers(0, 3), st.sampled_from(UNIT_NAMES)),
    )
    steps = st.sampled_from([0.0, 0.0, 0.0, 0.4, 1.0, 29.7, 60.0, 3_600.0, 86_400.0, 7 * 86_400.0])
    domain = st.sampled_from(["", "", "", "", "other"])
    asked = st.tuples(steps, domain, st.lists(one, min_size=1, max_size=3), st.sampled_from([0, 0, 0, 1, 3]))
    return tree, draw(st.lists(asked, min_size=4, max_size=12))


def _ways(tree: list[dict[str, Any]], above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = []
    for node in tree:
        here = (*above, node)
        found += [here, *_ways(node.get("descriptors", []), here)]
    return found


def _sent(node: dict[str, Any]) -> st.SearchStrategy[tuple[str, str]]:
    """Return an entry that is likely to find a node."""
    value = node.get("value")
    if value is None:
        return st.tuples(st.just(node["key"]), st.sampled_from(SENT))
    fits = [value.replace("*", filling) for filling in ("", "y", "b")]
    return st.tuples(st.just(node["key"]), st.sampled_from(fits))


@given(drawn=calls())
def test_every_call_is_answered_as_the_reference_service_answers_it(drawn: Any) -> None:
    tree, asked = drawn
    configuration = {"domain": "api", "descriptors": tree}
    theirs = ReferenceService(configuration)
    with TemporaryDirectory() as folder, serving(Path(folder), json.dumps(configuration)) as ours:
        for step_s, domain, descriptors, hits in asked:
            ours.clock.advance(step_s)
            now_s = ours.clock.now_ns() / 10**9
            asked_of = domain or "api"
            answer = ours.call(
                *(tuple(each.entries) for each in descriptors),
                hits=hits,
                own={at: each.hits for at, each in enumerate(descriptors) if each.hits is not None},
                limits={
                    at: (each.limit[0], UNITS[each.limit[1].upper()])
                    for at, each in enumerate(descriptors)
                    if each.limit is not None
                },
                domain=asked_of,
            )
            expected = theirs.call(asked_of, descriptors, now_s, hits)
            event("over" if expected.is_over else "allowed")
            assert (answer.overall_code == OVER) == expected.is_over
            assert [
                (
                    each.code == OVER,
                    each.current_limit.requests_per_unit if each.HasField("current_limit") else None,
                    each.current_limit.unit,
                    each.current_limit.name,
                    each.limit_remaining,
                    each.duration_until_reset.seconds,
                    each.duration_until_reset.nanos,
                )
                for each in answer.statuses
            ] == [
                (
                    each.is_over,
                    each.requests,
                    UNITS.get(each.unit.upper(), 0),
                    each.name,
                    each.remaining,
                    each.reset_s,
                    0,
                )
                for each in expected.statuses
            ]
