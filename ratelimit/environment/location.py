"""The location of a server: the URLs by which a policy may name its Redis or Valkey.

    redis://HOST:PORT/DB                          one server; rediss:// with TLS
    unix:///PATH?db=DB                            one server of this host
    redis+sentinel://HOST:PORT,…/MASTER/DB        the master that Sentinels name; rediss+sentinel://
    redis+cluster://HOST:PORT,…                   any nodes of a cluster; rediss+cluster://

`USER:PASSWORD@` may stand before the first host, percent-encoded. A URL may
hold a password, so no message ever repeats one: only parts that were told apart
from it are quoted. Pure, and below both the policy, which checks URLs, and the
stores, which read them from variables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from typing import Literal
from urllib.parse import unquote

Topology = Literal["server", "sentinel", "cluster"]
Node = tuple[str, int]

PORT = 6379
SENTINEL_PORT = 26379
MOST_NODES = 64
LONGEST_PART = 256
"""Characters of a host, a name or a secret."""

_SCHEMES: dict[str, tuple[Topology, bool]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "unix": ("server", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?\.?")
_DATABASE = re.compile(r"[0-9]{1,5}")
_MASTER = re.compile(r"[A-Za-z0-9._-]{1,128}")
_HINTS = {
    "valkey": "Valkey is spoken to as Redis is: write `redis://`.",
    "valkeys": "Valkey is spoken to as Redis is: write `rediss://`.",
    "redis+unix": "Write `unix:///path?db=0`.",
    "redis+socket": "Write `unix:///path?db=0`.",
    "redis-sentinel": "Write `redis+sentinel://`.",
    "sentinel": "Write `redis+sentinel://`.",
    "redis-cluster": "Write `redis+cluster://`.",
    "cluster": "Write `redis+cluster://`.",
}


class LocationError(ValueError):
    """A text that is no location; `hint` says what to write, if that can be told."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Location:
    """A URL taken apart."""

    url: str
    """As written, without user name and password: a user name alone may be a token."""
    topology: Topology
    nodes: tuple[Node, ...]
    """Hosts and ports: the server, Sentinels, or some of a cluster; none for a socket file."""
    path: str | None
    """The socket file."""
    master: str | None
    """What the Sentinels call the server that is meant."""
    database: int
    is_encrypted: bool
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)


def parse_location(text: str) -> Location:
    """Return the parts of a URL.

    Raises:
        LocationError: it is none, or one of another kind; the message holds nothing secret.
    """
    if not text.isprintable() or " " in text:
        raise LocationError("the URL has spaces or control characters", "Percent-encode them.")
    scheme, has_scheme, rest = text.partition("://")
    if not has_scheme:
        raise LocationError("this is not a URL", "Write `redis://host:port/db`.")
    known = _SCHEMES.get(scheme.lower())
    if known is None:
        shown = f"`{scheme}`" if _SCHEME.fullmatch(scheme) else "the scheme"
        raise LocationError(f"{shown} is not a kind of store known here", _HINTS.get(scheme.lower(), ""))
    topology, is_encrypted = known
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "@" in path or "@" in query or "#" in text:
        # Whatever stands before that sign may be part of a password: nothing of it is shown.
        raise LocationError(
            "the URL is ambiguous",
            "Percent-encode `/`, `?`, `#` and `@` in user name and password: `%2F`, `%3F`, `%23`, `%40`.",
        )
    credentials, _, hosts = authority.rpartition("@")
    username, password = _credentials(credentials)
    tail = f"{slash}{path}" + (f"?{query}" if query else "")
    is_socket = scheme.lower() == "unix"
    database = _queried(query) if is_socket or topology == "server" else _queried(query, allowed=False)
    master = None
    if is_socket:
        if hosts or not path:
            raise LocationError("a socket file needs an absolute path", "Write `unix:///path?db=0`.")
        socket_path: str | None = f"/{unquote(path)}"
        nodes: tuple[Node, ...] = ()
    else:
        socket_path = None
        nodes = _nodes(hosts, SENTINEL_PORT if topology == "sentinel" else PORT)
        if topology == "server" and len(nodes) > 1:
            raise LocationError(
                f"{len(nodes)} hosts where one is meant",
                f"Write `{scheme}+cluster://` or `{scheme}+sentinel://`.",
            )
        master, database = _below(topology, path, database)
    return Location(
        f"{scheme}://{hosts}{tail}",
        topology,
        nodes,
        socket_path,
        master,
        database or 0,
        is_encrypted,
        username,
        password,
    )


def _credentials(text: str) -> tuple[str | None, str | None]:
    user, colon, password = text.partition(":")
    if len(text) > 2 * LONGEST_PART:
        raise LocationError(f"user name or password has more than {LONGEST_PART} characters")
    if colon and not password:
        raise LocationError("the URL names an empty password")
    return unquote(user) or None, unquote(password) or None


def _nodes(hosts: str, port: int) -> tuple[Node, ...]:
    parts = hosts.split(",")
    if len(parts) > MOST_NODES:
        raise LocationError(f"{len(parts)} hosts; {MOST_NODES} are the most")
    nodes = tuple(_node(part, port) for part in parts)
    for node in nodes:
        if nodes.count(node) > 1:
            raise LocationError(f"`{node[0]}:{node[1]}` is there twice")
    return nodes


def _node(text: str, port: int) -> Node:
    bracketed, bracket, after = text[1:].partition("]") if text.startswith("[") else ("", "", "")
    host, colon, digits = text.partition(":")
    if bracket:
        host = bracketed
        colon, digits = after[:1], after[1:]
        try:
            IPv6Address(host)
        except AddressValueError:
            raise LocationError(f"`[{host[:64]}]` is not an IPv6 address") from None
        if colon not in ("", ":"):
            raise LocationError(f"what follows `[{host}]` is not a port")
    elif not host:
        raise LocationError("a host is missing", "Write `host:port`.")
    elif not _HOST.fullmatch(host):
        raise LocationError(f"`{host[:64]}` is not a host")
    if not colon:
        return host, port
    if ":" in digits:
        raise LocationError("a host has two colons", "Write an IPv6 address in brackets: `[::1]:6379`.")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= 65_535):
        # Where `@HOST` was forgotten, this is a password.
        raise LocationError(f"what follows `{host[:64]}:` is not a port from 1 to 65535")
    return host, int(digits)


def _queried(query: str, *, allowed: bool = True) -> int | None:
    """Return the database that a query names: the one thing it may say."""
    if not query:
        return None
    name, equals, value = query.partition("=")
    if name != "db" or not equals or not allowed:
        hint = "TLS, user name, password and time-out have keys of their own in `[store]`."
        # Settings of other clients, as `password=`, may stand here.
        raise LocationError("the URL has parameters after `?` that are not known here", hint)
    return _database(value)


def _below(topology: Topology, path: str, queried: int | None) -> tuple[str | None, int | None]:
    """Return what the path says: the master's name, and the database."""
    first, slash, rest = path.partition("/")
    if topology == "cluster":
        if path:
            raise LocationError("a cluster has no databases to choose from", "End the URL after the hosts.")
        return None, None
    if topology == "sentinel":
        if not _MASTER.fullmatch(first):
            raise LocationError(
                "it does not name the Sentinels' master",
                "Write it after the hosts, as in `redis+sentinel://host:26379/MASTER/0`.",
            )
        return first, _database(rest) if rest else None
    if slash:
        raise LocationError("the path is not the number of a database", "Write `redis://host:port/0`.")
    if path and queried is not None:
        raise LocationError("the database is named twice")
    return None, _database(path) if path else queried


def _database(text: str) -> int:
    if not _DATABASE.fullmatch(text):
        raise LocationError(f"`{text[:32]}` is not the number of a database")
    return int(text)
