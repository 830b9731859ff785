"""The automaton against a plain reading of the patterns, and its bounds."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.policy.routing.automaton import TooManyStates
from ratelimit.policy.routing.pattern import Pattern, parse_pattern
from ratelimit.policy.routing.router import LONGEST_KEPT, MOST_KEPT, Entry, Router
from ratelimit.policy.routing.target import MOST_READINGS, Placement, Target, readings

WORDS = ["a", "b", "c"]
METHODS = ["GET", "HEAD", "POST", "PUT", "BREW"]


def fits(pattern: Pattern, method: str, segments: list[str]) -> bool:
    """Compare one pattern with one path, the obvious way."""
    if pattern.methods is not None and method not in pattern.methods:
        return False
    if len(segments) < len(pattern.segments) or (len(segments) > len(pattern.segments) and not pattern.rest):
        return False
    return all(want in (None, have) for want, have in zip(pattern.segments, segments, strict=False))


def plainly(entries: list[Entry], method: str, path: str) -> tuple[int, ...]:
    found = set()
    for segments in readings(path):
        for limit, entry in enumerate(entries):
            if any(fits(pattern, method, segments) for pattern in entry.matches) and not any(
                fits(pattern, method, segments) for pattern in entry.excepts
            ):
                found.add(limit)
    return tuple(sorted(found))


SEGMENTS = st.sampled_from([*WORDS, "*", "{p}", "{q}"])


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    body: list[str] = []
    for segment in draw(st.lists(SEGMENTS, max_size=4)):
        if segment not in body or segment[0] != "{":
            body.append(segment)
    method = draw(st.sampled_from(["", "GET ", "POST|PUT ", "* "]))
    ending = draw(st.sampled_from(["", "/", "/*"]))
    path = "".join(f"/{segment}" for segment in body) + ending
    return parse_pattern(method + (path or "/"))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    some = st.lists(patterns(), min_size=1, max_size=3).map(tuple)
    return Entry(draw(some), draw(some | st.just(())), "request", 0)


PATHS = st.lists(st.sampled_from([*WORDS, "x", "", ".", "..", "\n", "a\n"]), max_size=7).map(
    lambda s: "/" + "/".join(s)
)


@given(st.lists(entries(), max_size=6), st.lists(st.tuples(st.sampled_from(METHODS), PATHS), max_size=12))
def test_router_agrees_with_a_plain_reading(some: list[Entry], requests: list[tuple[str, str]]) -> None:
    router = Router(some)
    for method, path in requests * 2:  # the second time from what was kept
        route = router.match(method, path)
        assert (route.limits if route else ()) == plainly(some, method, path)


@given(st.lists(entries(), max_size=6), st.sampled_from(METHODS), PATHS)
def test_parameters_have_the_value_of_their_segment(some: list[Entry], method: str, path: str) -> None:
    route = Router(some).match(method, path)
    if route is None:
        return
    found = readings(path)
    for name, value in route.params(path).items():
        assert value
        assert any(
            fits(pattern, method, segments) and segments[dict(pattern.parameters)[name]] == value
            for segments in found
            for entry in some
            for pattern in entry.matches
            if name in dict(pattern.parameters)
        )


@given(st.lists(entries(), max_size=5), st.sampled_from(METHODS), PATHS)
def test_every_plain_path_takes_a_route_known_beforehand(some: list[Entry], method: str, path: str) -> None:
    router = Router(some)
    beforehand = {(route.limits, route.template, route.parameters) for route in router.every_route()}
    route = router.match(method, path)
    if route is not None and len(readings(path)) == 1:
        assert (route.limits, route.template, route.parameters) in beforehand


def router_of(*texts: str) -> Router:
    return Router([Entry((parse_pattern(text),)) for text in texts])


def test_head_follows_get_and_method_case_does_not_matter() -> None:
    router = router_of("GET /a", "HEAD /a", "/a")
    matched = {m: router.match(m, "/a") for m in ("GET", "HEAD", "get", "POST", "Brew", "")}
    assert {m: route.limits if route else () for m, route in matched.items()} == {
        "GET": (0, 2),
        "HEAD": (0, 1, 2),
        "get": (0, 2),
        "POST": (2,),
        "Brew": (2,),
        "": (2,),
    }


def test_the_closest_template_is_shown() -> None:
    router = router_of("/*", "/v1/*", "/v1/{tenant}/chat", "/v1/{tenant}/*")
    route = router.match("GET", "/v1/acme/chat")
    assert route is not None
    assert (route.template, route.limits) == ("/v1/{tenant}/chat", (0, 1, 2, 3))
    assert route.params("/v1/acme/chat") == {"tenant": "acme"}
    assert router.match("GET", "/v1/acme/chat/") is route


def test_events_are_told_apart() -> None:
    everything = (parse_pattern("/*"),)
    route = Router([Entry(everything, (), on) for on in ("request", "connect", "message")]).match("GET", "/")
    assert route is not None
    assert (route.on_request, route.on_connect, route.on_message) == ((0,), (0, 1), (2,))


def test_a_policy_without_limits_matches_nothing() -> None:
    assert Router([]).match("GET", "/") is None


def test_flood_of_paths_and_methods_does_not_grow_memory() -> None:
    router = router_of("/*", "/v1/{x}", "POST /v1/*")
    for n in range(5 * MOST_KEPT):
        assert router.match("GET", f"/v1/{n}") is not None
        assert router.match(f"M{n}", f"/{n}") is not None
        assert router.match("POST", f"/v1/./{n}/..\n") is not None
        router.match("GET", "/" + "x" * LONGEST_KEPT + str(n))
    assert router.kept() <= 2 * MOST_KEPT
    assert len(router._routes) <= 16
    assert len(router._answers) <= 64


def test_odd_paths_with_many_readings_do_not_grow_memory() -> None:
    texts = [f"/{'*/' * n}{word}/*" for n in range(5) for word in ("a", "b")]
    router = router_of(*texts)
    for n in range(4000):
        bits = [("a", "b", "c", "..")[(n >> (2 * k)) & 3] for k in range(6)]
        router.match("GET", "/" + "/".join(bits))
    assert len(router._routes) <= len(router._states) * len(router._kept) + MOST_KEPT


def test_a_slow_pattern_is_refused_when_the_policy_is_loaded() -> None:
    with pytest.raises(TooManyStates):
        router_of(*[f"/{'*/' * depth}x/*" for depth in range(20)])


class Segment(str):
    """A segment that counts how often it is hashed or compared."""

    looked_at = 0
    __slots__ = ()

    def __hash__(self) -> int:
        Segment.looked_at += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


@pytest.mark.parametrize("length", [10, 1000, 30_000])
def test_hostile_path_is_looked_at_once_segment_by_segment(length: int) -> None:
    from ratelimit.policy.routing.automaton import walk

    router = router_of("/*", "/{a}/a/{b}/a/*", "/a/{a}/a/{b}/a/a", "/a/a/a/a/a/a/a/b")
    Segment.looked_at = 0
    walk(router._first, [Segment("a")] * length)
    # The deepest pattern has eight segments; nothing after them is looked at.
    assert Segment.looked_at <= 9


@pytest.mark.parametrize(
    "path", ["/" * 65_536, "/a" * 32_768, "//a" * 20_000, "/.." * 20_000, "/a" * 20_000 + "\n"]
)
def test_path_of_any_length_is_matched(path: str) -> None:
    router = router_of("/*", "/a/a", "/a/*")
    route = router.match("GET", path)
    assert route is not None
    assert 0 in route.limits
    assert router.kept() == 0


def test_a_limit_cannot_be_dodged_by_padding_the_path() -> None:
    router = router_of("POST /v1/chat")
    for padding in (1, 100, 10_000):
        for path in ("/" * padding + "v1/chat", "/v1" + "/" * padding + "chat", "/v1/chat" + "/" * padding):
            assert router.match("POST", path) is not None


def test_matching_from_many_threads_agrees() -> None:
    router = router_of("/*", "/v1/{x}", "POST /v1/*")
    wrong: list[str] = []

    def hammer(seed: int) -> None:
        for n in range(3000):
            path = f"/v1/{(n * seed) % 2500}"
            route = router.match("GET", path)
            if route is None or route.limits != (0, 1) or route.params(path) != {"x": path[4:]}:
                wrong.append(path)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in (1, 3, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_readings_that_are_too_much_together_drop_no_limit_and_say_so() -> None:
    literal = [Entry((parse_pattern("/a/*"),), (), "request", 1) for _ in range(10)]
    resolved = [Entry((parse_pattern("/b/*"),), (), "request", 1) for _ in range(10)]
    messages = [Entry((parse_pattern("/b/*"),), (), "message", 1) for _ in range(10)]
    route = Router([*literal, *resolved, *messages]).match("GET", "/a/../b/c")
    assert route is not None
    assert route.limits == tuple(range(30))
    assert route.crowded == {"request", "connect"}


def test_path_of_too_many_readings_falls_under_every_limit_of_its_method() -> None:
    entries = [
        Entry((parse_pattern("GET /a/{x}"),), (parse_pattern("/a/*"),)),
        Entry((parse_pattern("POST /b"),)),
        Entry((parse_pattern("/c"),)),
    ]
    router = Router(entries)
    target = Target("x" + "/../a" * 20_000 + "\n", "y" + "%2f" * 20_000, "/a")
    assert readings(target) is None
    route = router.match("GET", target)
    assert route is not None
    assert route.limits == (0, 2)
    assert route.params(target) == {}


@pytest.mark.parametrize("seed", range(3))
def test_readings_are_bounded_whatever_is_known_of_the_application(seed: int) -> None:
    hand = random.Random(seed)
    parts = ["/api", "/sub", "/", "//", "..", ".", "%2f", "\n", "x:", "A", "a"]
    known = {"roots": ["/api", "/sub", "a"], "mounts": ["/sub", "/{x}/sub"], "loose": ["/sub", "/api"]}
    placement = Placement(**known, resets=True, keeps_empty=True)
    listed = 0
    for _ in range(300):
        path = "".join(hand.choices(parts, k=hand.randint(1, 10)))
        found = readings(Target(path, "".join(hand.choices(parts, k=4)), "/api", placement), ["/a", "/v1"])
        if found is not None:
            listed += 1
            assert len(found) <= MOST_READINGS
            assert found[0] == [part for part in path.split("/") if part]
    assert listed > 20
