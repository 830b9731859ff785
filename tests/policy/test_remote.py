"""`[store]` with a server: what it compiles to, and what is told of each mistake."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.environment.server import KeySpec, RemoteSpec, TlsSpec
from ratelimit.errors import PolicyError
from ratelimit.policy import Policy, Problem
from ratelimit.policy.schema.storing import Store

SECRET = "hunter2"
HASHING = "[hashing]\nkey = 'env:RATELIMIT_HASH_KEY'"


def store(*lines: str, hashing: str = HASHING) -> str:
    """Return a policy with these lines in its store; the first of them is its third."""
    return "\n".join(["version = 1", "[store]", *lines, hashing])


SERVER = "url = 'redis://h'"
CASES = [
    ("store-url", store("url = 'valkey://h'"), 3, "store.url"),
    ("store-url", store("url = 'redis://h:99999'"), 3, "store.url"),
    ("store-url", store("url = 'redis+cluster://h/1'"), 3, "store.url"),
    ("store-url", store("url = 'redis+sentinel://h'"), 3, "store.url"),
    ("store-url", store("url = 'env:9'"), 3, "store.url"),
    ("store-url", store("url = 'env:'"), 3, "store.url"),
    ("store-url", store("url = ''"), 3, "store.url"),
    ("store-setting-remote", store("mode = 'leased'"), 3, "store.mode"),
    ("store-setting-remote", store("url = 'embedded'", "prefix = 'x'"), 4, "store.prefix"),
    ("store-setting-remote", store("timeout = '25ms'"), 3, "store.timeout"),
    ("store-setting-remote", store("password = 'env:X'"), 3, "store.password"),
    ("store-setting-remote", store("ca = 'x'"), 3, "store.ca"),
    ("store-hash-key", store("keys = 64", SERVER, hashing=""), 4, "store.url"),
    ("store-hash-key", store("url = 'env:REDIS'", hashing=""), 3, "store.url"),
    ("store-prefix", store(SERVER, "prefix = 'a{b}'"), 4, "store.prefix"),
    ("store-prefix", store(SERVER, "prefix = 'a b'"), 4, "store.prefix"),
    ("store-prefix", store(SERVER, 'prefix = "a\\u0001"'), 4, "store.prefix"),
    ("policy-value", store(SERVER, "prefix = ''"), 4, "store.prefix"),
    ("policy-value", store(SERVER, f"prefix = '{'x' * 33}'"), 4, "store.prefix"),
    ("policy-value", store(SERVER, "mode = 'lease'"), 4, "store.mode"),
    ("store-timeout", store(SERVER, "timeout = '0ms'"), 4, "store.timeout"),
    ("store-timeout", store(SERVER, "timeout = '5001ms'"), 4, "store.timeout"),
    ("store-timeout", store(SERVER, "timeout = 6"), 4, "store.timeout"),
    ("store-timeout", store(SERVER, "timeout = 'soon'"), 4, "store.timeout"),
    ("store-credentials", store(SERVER, "password = ''"), 4, "store.password"),
    ("store-credentials", store(SERVER, "password = 'env:9'"), 4, "store.password"),
    ("store-credentials", store(SERVER, "password = 'file:'"), 4, "store.password"),
    ("store-credentials", store("url = 'redis://:b@h'", "password = 'env:X'"), 4, "store.password"),
    ("policy-unknown-key", store(SERVER, "username = 'a'"), 4, "store.username"),
    ("store-credentials", store("url = 'redis://a@h'"), 3, "store.url"),
    ("store-password-inline", store(SERVER, f"password = '{SECRET}'"), 4, "store.password"),
    ("store-password-inline", store(f"url = 'redis://:{SECRET}@h'"), 3, "store.url"),
    ("store-tls", store(SERVER, "ca = 'x'"), 4, "store.ca"),
    ("store-tls", store("url = 'unix:///s'", "check_hostname = false"), 4, "store.check_hostname"),
    ("store-tls", store("url = 'rediss://h'", "certificate = ['a', 'b', 'c']"), 4, "store.certificate"),
    ("store-tls", store("url = 'rediss://h'", "ca = ''"), 4, "store.ca"),
    ("store-tls", store("url = 'rediss://h'", "certificate = ['c', ' ']"), 4, "store.certificate"),
    ("store-credentials", store(SERVER, "password = 'file: '"), 4, "store.password"),
    ("hashing-key", store("keys = 64", hashing="[hashing]\nkey = 'file: '"), 5, "hashing.key"),
    ("policy-value", store("memory = ''"), 3, "store.memory"),
    ("policy-value", store("memory = 'shred'"), 3, "store.memory"),
]


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        return Policy.from_toml(text).warnings
    except PolicyError as error:
        return error.problems


@pytest.mark.parametrize(("code", "text", "line", "key"), CASES)
def test_each_mistake_is_told_with_code_line_and_key(code: str, text: str, line: int, key: str) -> None:
    problems = [problem for problem in problems_of(text) if problem.code != "policy-empty"]
    assert [(problem.code, problem.line, problem.key) for problem in problems] == [(code, line, key)]
    assert problems[0].hint


def remote(**given: Any) -> RemoteSpec:
    tree = {"version": 1, "store": given, "hashing": {"key": "env:RATELIMIT_HASH_KEY"}}
    found = Policy.from_mapping(tree).compiled.remote
    assert found is not None
    return found


def test_an_embedded_store_has_no_server() -> None:
    for table in ({}, {"url": "embedded"}, {"keys": 64}):
        assert Policy.from_mapping({"version": 1, "store": table}).compiled.remote is None


def test_defaults() -> None:
    assert remote(url="redis://h") == RemoteSpec(
        url="redis://h",
        topology="server",
        nodes=(("h", 6379),),
        master=None,
        database=0,
        path=None,
        tls=None,
        username=None,
        password=None,
        prefix="ratelimit",
        mode="exact",
        timeout_ns=25_000_000,
    )


def test_everything_that_can_be_said() -> None:
    spec = remote(
        url="rediss+sentinel://me@a,b:1/main/2",
        mode="leased",
        prefix="shop:v1",
        timeout="5s",
        password="file:/run/secrets/redis",
        ca="ca.pem",
        certificate=["c.pem", "k.pem"],
        check_hostname=False,
    )
    assert spec == RemoteSpec(
        url="rediss+sentinel://a,b:1/main/2",
        topology="sentinel",
        nodes=(("a", 26379), ("b", 1)),
        master="main",
        database=2,
        path=None,
        tls=TlsSpec("ca.pem", "c.pem", "k.pem", check_hostname=False),
        username="me",
        password=KeySpec("file", "/run/secrets/redis"),
        prefix="shop:v1",
        mode="leased",
        timeout_ns=5_000_000_000,
    )


def test_a_url_in_a_variable_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "nonsense")
    spec = remote(url="env:REDIS_URL", ca="ca.pem")
    assert (spec.url, spec.topology, spec.nodes) == ("env:REDIS_URL", None, ())
    assert spec.tls == TlsSpec("ca.pem")


def test_tls_follows_the_url() -> None:
    assert remote(url="rediss://h").tls == TlsSpec()
    assert remote(url="rediss+cluster://h").tls == TlsSpec()
    assert remote(url="redis://h").tls is None
    assert remote(url="unix:///s").tls is None


@pytest.mark.parametrize("timeout", ["1ms", "25 ms", "5s", 1, "1 second"])
def test_timeouts_within_bounds(timeout: str | int) -> None:
    assert 10**6 <= remote(url="redis://h", timeout=timeout).timeout_ns <= 5 * 10**9


@pytest.mark.parametrize(
    "given", [{"url": f"redis://me:{SECRET}@h/0"}, {"url": "redis://me@h/0", "password": SECRET}]
)
def test_a_password_in_the_file_works_and_is_never_shown(given: dict[str, str]) -> None:
    spec = remote(**given)
    assert spec.password is not None
    assert (spec.username, spec.password.kind, spec.password.value) == ("me", "inline", SECRET)
    assert spec.url == "redis://h/0"
    assert SECRET not in repr(spec)


@pytest.mark.parametrize(
    "lines",
    [
        (f"url = 'redis://me:{SECRET}@h'",),
        (f"url = 'redis://me:{SECRET}'",),
        (f"url = 'redis://me:{SECRET}/@h'",),
        (f"url = 'redis://me:{SECRET}@h'", "password = 'env:X'", "ca = 'x'"),
        (SERVER, f"password = '{SECRET}'"),
        (f"password = '{SECRET}'",),
        (SERVER, f"password = ['{SECRET}']"),
        (f"url = ['redis://me:{SECRET}@h']",),
        (f"url = 'redis+cluster://me:{SECRET}@h/1'",),
        (f"url = 'env:{SECRET}!'",),
        (f"url = '{SECRET}'",),
        (SERVER, f"password = 'file:{SECRET}'", "ca = ''"),
    ],
)
def test_no_problem_repeats_a_password(lines: tuple[str, ...]) -> None:
    problems = problems_of(store(*lines))
    assert problems
    assert SECRET not in "".join(map(str, problems))


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["redis://h", "env:X", "rediss://a:b@c/0", "exact", "25ms", "embedded"])
    | st.lists(st.text(max_size=3), max_size=3)
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(Store.__struct_encode_fields__), VALUES))
def test_any_table_is_a_server_or_a_policy_error(table: dict[str, Any]) -> None:
    tree = {"version": 1, "store": table, "hashing": {"key": "env:X"}}
    try:
        compiled = Policy.from_mapping(tree).compiled
    except PolicyError as error:
        errors = [problem for problem in error.problems if problem.severity == "error"]
        assert errors
    else:
        assert (compiled.remote is None) == (table.get("url", "embedded") == "embedded")
