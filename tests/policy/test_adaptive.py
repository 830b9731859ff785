"""`[adaptive]`: what it compiles to, and what is told of each mistake."""

from __future__ import annotations

import pytest

from ratelimit.errors import PolicyError
from ratelimit.load.compile import loads_of
from ratelimit.policy import Policy
from ratelimit.policy.routing.classes import NO_CLASSES, LoadClasses, load_classes
from ratelimit.policy.routing.request_line import read_line

WHOLE = """
version = 1
[adaptive]
first_byte = "1s"
in_flight = [4, 20, 400]

[[class]]
name = "interactive"
match = "POST /v1/chat"
[[class]]
name = "batch"
match = "POST /v1/batch"
"""


def with_lines(*lines: str) -> str:
    """Return a policy with these lines in the table; the first of them is its third."""
    return "\n".join(["version = 1", "[adaptive]", *lines])


def with_limits(*tables: str) -> str:
    """Return a policy with several limits; the first of their lines is its third."""
    return "\n".join(["version = 1", *(f"[[adaptive]]\n{table}" for table in tables)])


CASES = [
    (
        "adaptive-group",
        with_limits("name = 'a'\nmatch = '/a'", "name = 'a'\nmatch = '/b'"),
        6,
        "adaptive[1].name",
    ),
    ("adaptive-group", with_limits("match = '/a'", "match = '/b'"), 4, "adaptive[1].name"),
    ("adaptive-group", with_limits("name = 'a'", "name = 'b'\nmatch = '/b'"), 2, "adaptive[0].match"),
    ("adaptive-group", with_lines("name = 'ä'"), 3, "adaptive.name"),
    (
        "adaptive-bounds",
        with_limits("match = '/a'", "name = 'b'\nin_flight = [4, 500, 400]"),
        6,
        "adaptive[1].in_flight",
    ),
    ("policy-too-many", with_limits(*(f"name = 'a{n}'\nmatch = '/{n}'" for n in range(17))), 2, "adaptive"),
    ("adaptive-bounds", with_lines("in_flight = [4, 500, 400]"), 3, "adaptive.in_flight"),
    ("adaptive-bounds", with_lines("in_flight = [30, 20, 400]"), 3, "adaptive.in_flight"),
    ("adaptive-bounds", with_lines("in_flight = []"), 3, "adaptive.in_flight"),
    ("adaptive-bounds", with_lines("in_flight = [4]"), 3, "adaptive.in_flight"),
    ("adaptive-bounds", with_lines("in_flight = [4, 20]"), 3, "adaptive.in_flight"),
    ("adaptive-bounds", with_lines("in_flight = [4, 20, 400, 500]"), 3, "adaptive.in_flight"),
    ("adaptive-target", with_lines("first_byte = 'soon'"), 3, "adaptive.first_byte"),
    ("adaptive-target", with_lines("first_byte = '1ms'"), 3, "adaptive.first_byte"),
    ("adaptive-target", with_lines("first_byte = -1"), 3, "adaptive.first_byte"),
    (
        "adaptive-class",
        with_lines("[[class]]", "name = 'a'", "match = []"),
        5,
        "class[0].match",
    ),
    (
        "adaptive-class",
        with_lines(*["[[class]]", "name = 'a'", "match = '/'"] * 2),
        7,
        "class[1].name",
    ),
    ("adaptive-reports", with_lines("reports = 'file:///etc/passwd'"), 3, "adaptive.reports"),
    ("adaptive-reports", with_lines("reports = ['http://a/metrics', 'localhost']"), 3, "adaptive.reports"),
    ("adaptive-reports", with_lines("reports = ['http://']"), 3, "adaptive.reports"),
    ("adaptive-floor", with_lines("in_flight = [16, 20, 60]"), 3, "adaptive.in_flight"),
    ("limit-match", with_lines("except = 'health'"), 3, "adaptive.except"),
    (
        "limit-match",
        with_lines("[[class]]", "name = 'a'", "match = 'v1'"),
        5,
        "class[0].match",
    ),
]


def test_table_compiles_as_it_is_written():
    (spec,) = loads_of(Policy.from_toml(WHOLE).compiled)
    assert (spec.first_byte_ns, spec.floor, spec.start, spec.ceiling) == (10**9, 4, 20, 400)
    assert not spec.shadow
    assert [one.name for one in spec.classes] == ["interactive", "batch"]
    assert [pattern.template for one in spec.classes for pattern in one.patterns] == [
        "/v1/chat",
        "/v1/batch",
    ]


def test_without_the_table_there_is_no_limit_and_without_a_target_it_is_learned():
    assert loads_of(Policy.from_toml("version = 1").compiled) == ()
    (spec,) = loads_of(Policy.from_toml(with_lines("mode = 'shadow'")).compiled)
    assert spec.first_byte_ns is None
    assert spec.shadow


def test_several_limits_stand_in_the_order_of_the_file_each_with_its_own_classes():
    policy = Policy.from_toml(
        with_limits(
            "name = 'chat'\nmatch = 'POST /v1/chat'\nfirst_byte = '1s'\n"
            "[[class]]\nname = 'paid'\nmatch = '/v1/*'",
            "name = 'rest'\nmatch = '/rest'\nmode = 'shed'",
        )
    )
    chat, rest = loads_of(policy.compiled)
    assert (chat.name, chat.first_byte_ns, [one.name for one in chat.classes]) == ("chat", 10**9, ["paid"])
    assert (rest.name, rest.first_byte_ns, rest.classes, rest.holds) == ("rest", None, (), False)


def test_request_falls_under_the_first_limit_that_is_on_it():
    specs = loads_of(
        Policy.from_toml(
            with_limits(
                "name = 'chat'\nmatch = 'POST /v1/*'\n[[class]]\nname = 'a'\nmatch = '/v1/chat'\n"
                "[[class]]\nname = 'b'\nmatch = '/v1/batch'",
                "name = 'search'\nmatch = '/v1/search'",
            )
        ).compiled
    )
    classes = load_classes(specs)
    assert classes("POST", "/v1/batch") == LoadClasses(0, (1,))
    assert classes("POST", "/v1/search") == LoadClasses(0, (1,))
    assert classes("GET", "/v1/search") == LoadClasses(1, (0,))
    assert classes("GET", "/v1/chat") is NO_CLASSES


def test_spelling_of_a_path_is_under_its_limit_and_in_no_higher_class():
    specs = loads_of(
        Policy.from_toml(
            with_limits(
                "name = 'chat'\nmatch = 'POST /v1/*'\nexcept = '/v1/health'\n[[class]]\nname = 'a'\n"
                "match = '/v1/chat'\n[[class]]\nname = 'b'\nmatch = '/v1/batch'",
            )
        ).compiled
    )
    classes = load_classes(specs)
    assert classes("POST", "/v1/chat") == LoadClasses(0, (0,))
    for path in ("/x/../v1/batch", "/v1/chat/../batch", "/v1/health/../batch", "//v1/batch", "/v1//batch/"):
        assert classes("POST", path) == LoadClasses(0, (1,)), path
    for target in (r"/v1\batch", "/v1/batch;a", "/v1/batch.json", "/v1/%2562atch", "/" * 9_000 + "v1/batch"):
        assert classes(*read_line("post", target)) == LoadClasses(0, (1,)), target
    assert classes("POST", "/v1" + "/a" * 40_000) == LoadClasses(0, (1,))
    assert classes("POST", "/v2/../v3") is NO_CLASSES
    assert classes(*read_line("GET", "/v1/batch;a")) is NO_CLASSES


@pytest.mark.parametrize(("code", "text", "line", "key"), CASES)
def test_each_mistake_is_told_with_its_place(code: str, text: str, line: int, key: str):
    """A floor that may be above what the back end can do is said among them, as it is never cut."""
    try:
        problems = Policy.from_toml(text).warnings
    except PolicyError as error:
        problems = error.problems
    assert [(one.code, one.line, one.key) for one in problems if one.code != "policy-empty"] == [
        (code, line, key)
    ]
