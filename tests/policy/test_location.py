"""URLs of servers: what each form means, and that no message repeats a secret."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.environment.location import Location, LocationError, Topology, parse_location

SECRET = "hunter2"

MEANT: list[tuple[str, Topology, tuple[tuple[str, int], ...], str | None, int]] = [
    ("redis://localhost", "server", (("localhost", 6379),), None, 0),
    ("redis://localhost/", "server", (("localhost", 6379),), None, 0),
    ("REDIS://localhost:7000/3", "server", (("localhost", 7000),), None, 3),
    ("rediss://cache.example.:6380/15", "server", (("cache.example.", 6380),), None, 15),
    ("redis://redis_1:6379?db=2", "server", (("redis_1", 6379),), None, 2),
    ("redis://[::1]:6379/0", "server", (("::1", 6379),), None, 0),
    ("redis://[2001:db8::7]", "server", (("2001:db8::7", 6379),), None, 0),
    ("redis+sentinel://a,b:1/main", "sentinel", (("a", 26379), ("b", 1)), "main", 0),
    ("rediss+sentinel://a/my.main-1/4", "sentinel", (("a", 26379),), "my.main-1", 4),
    ("redis+cluster://a,b:7001,[::1]:7002", "cluster", (("a", 6379), ("b", 7001), ("::1", 7002)), None, 0),
    ("rediss+cluster://a/", "cluster", (("a", 6379),), None, 0),
]


@pytest.mark.parametrize(("url", "topology", "nodes", "master", "database"), MEANT)
def test_each_form_means_what_it_says(
    url: str, topology: Topology, nodes: tuple[tuple[str, int], ...], master: str | None, database: int
) -> None:
    found = parse_location(url)
    assert (found.topology, found.nodes, found.master, found.database) == (topology, nodes, master, database)
    assert found.is_encrypted == url.lower().startswith("rediss")
    assert (found.url, found.username, found.password, found.path) == (url, None, None, None)


@pytest.mark.parametrize(
    ("url", "path", "database"),
    [("unix:///run/redis.sock", "/run/redis.sock", 0), ("unix:///a%20b?db=3", "/a b", 3)],
)
def test_socket_files(url: str, path: str, database: int) -> None:
    found = parse_location(url)
    assert (found.topology, found.nodes, found.path, found.database) == ("server", (), path, database)


@pytest.mark.parametrize(
    ("url", "shown", "username"),
    [
        (f"redis://:{SECRET}@h:1/2", "redis://h:1/2", None),
        (f"redis://me:{SECRET}@h/2", "redis://h/2", "me"),
        (f"unix://me:{SECRET}@/s?db=1", "unix:///s?db=1", "me"),
        (f"redis+sentinel://me:{SECRET}@a,b/m", "redis+sentinel://a,b/m", "me"),
        (f"rediss+cluster://m%40x:{SECRET}@a,b", "rediss+cluster://a,b", "m@x"),
    ],
)
def test_password_is_told_apart_and_not_shown(url: str, shown: str, username: str | None) -> None:
    found = parse_location(url)
    assert (found.url, found.username, found.password) == (shown, username, SECRET)
    assert SECRET not in repr(found)


def test_credentials_are_percent_decoded() -> None:
    found = parse_location("redis://a%3Ab:p%2F%40%3F%23%20x@h")
    assert (found.username, found.password) == ("a:b", "p/@?# x")


WRONG = [
    ("", "not a URL"),
    ("localhost:6379", "not a URL"),
    ("valkey://h", "not a kind of store"),
    ("http://h", "not a kind of store"),
    ("redis://", "host is missing"),
    ("redis://h:0", "not a port"),
    ("redis://h:65536", "not a port"),
    ("redis://h:٣", "not a port"),
    ("redis://h:", "not a port"),
    ("redis://::1:6379", "host is missing"),
    ("redis://fe80::1", "two colons"),
    ("redis://[::zz]:1", "not an IPv6 address"),
    ("redis://[::1]x", "not a port"),
    ("redis://h h", "spaces"),
    ("redis://h\n", "control characters"),
    ("redis://a,b", "2 hosts"),
    ("redis://-h", "not a host"),
    ("redis://h/x", "not the number of a database"),
    ("redis://h/-1", "not the number of a database"),
    ("redis://h/0/1", "not the number of a database"),
    ("redis://h/0?db=1", "named twice"),
    ("redis://h?ssl_cert_reqs=none", "not known here"),
    ("redis+cluster://a?db=1", "not known here"),
    ("redis+cluster://a/0", "no databases"),
    ("redis+cluster://a,a", "there twice"),
    ("redis+cluster://" + ",".join(f"h{n}" for n in range(65)), "65 hosts"),
    ("redis+sentinel://a", "Sentinels' master"),
    ("redis+sentinel://a/", "Sentinels' master"),
    ("redis+sentinel://a/m/x", "not the number of a database"),
    ("unix://h/s", "absolute path"),
    ("unix://", "absolute path"),
    ("redis://me:@h", "empty password"),
]


@pytest.mark.parametrize(("url", "part"), WRONG)
def test_each_mistake_is_told(url: str, part: str) -> None:
    with pytest.raises(LocationError, match=part):
        parse_location(url)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://me:{SECRET}/x@h",
        f"redis://me:x/{SECRET}@h",
        f"redis://me:x?{SECRET}@h",
        f"redis://me:x#{SECRET}@h",
        f"redis://me:{SECRET}#@h",
        f"redis://me:{SECRET}",
        f"redis://me:{SECRET}/0",
        f"redis://me:{SECRET}@h:x",
        f"redis://me:{SECRET} @h",
        f"me:{SECRET}@h",
        f"redis://h?password={SECRET}",
        f"redis+cluster://me:{SECRET}@a/0",
        f"redis+sentinel://me:{SECRET}@a",
        f"nosql://me:{SECRET}@a",
    ],
)
def test_no_message_repeats_a_password(url: str) -> None:
    with pytest.raises(LocationError) as caught:
        parse_location(url)
    assert SECRET not in str(caught.value) + caught.value.hint


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40), st.sampled_from(MEANT))
def test_any_password_survives_its_encoding(
    password: str, form: tuple[str, object, object, object, int]
) -> None:
    plain = parse_location(form[0])
    scheme, _, rest = form[0].partition("://")
    found = parse_location(f"{scheme}://:{quote(password, safe='')}@{rest}")
    assert found.password == password
    assert _without_password(found) == _without_password(plain)


def _without_password(location: Location) -> tuple[object, ...]:
    return (location.url, location.topology, location.nodes, location.master, location.database)


@given(st.text(max_size=60).map("redis://".__add__) | st.text(max_size=60))
def test_any_text_is_a_location_or_a_location_error(text: str) -> None:
    with contextlib.suppress(LocationError):
        assert parse_location(text).topology in ("server", "sentinel", "cluster")
