"""Sources of identities: a record for each word that a policy may write before the colon.

Theory of operation. A record says all that any part knows of its source: how it is written and checked,
which reader finds its value, who says that value, and the words about it. The schema, the compiler, the
readers of requests, a replay, `explain`, the commands and the services for proxies go by the records, and
name no source. A `Reading` is a way to a value: `identity.source` has a reader for each, and
`core.request.grammar` its spelling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Reading = Literal["address", "line", "cookie", "segment", "state", "answer", "nothing"]
"""The way to a value: the client's address; one line of a header; a cookie; a parameter of the path; a field
of the application's state; the answer of a resolver; or nothing in the request: the library finds it out."""
Author = Literal["peer", "client", "application", "library"]
"""Who says a value: the peer, whose address it is; the client; the application; or the library itself."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_RESOLVER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}|[A-Za-z_][\w.]{0,127}:[A-Za-z_][\w.]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source of identities, as those know it that read or show it."""

    kind: str
    """Its word in a policy."""
    reading: Reading
    author: Author
    argument: str = ""
    """The word behind the colon, as the reference writes it; empty for a source without an argument."""
    shape: re.Pattern[str] | None = None
    """The spelling of the argument; None for a source without one."""
    implied: str = ""
    """The argument of a source that is written without one: the header that a `line` is read from, say."""
    header: str = ""
    """The header that it is read from, in lower case, where the argument does not name it."""
    rule: str = ""
    """The error for an argument that is spelled otherwise."""
    ignores_case: bool = False
    """Whether the argument means the same in lower case."""
    has_form: bool = False
    """Whether `as` may say how the application reads its values."""
    credentials: frozenset[str] = frozenset()
    """Arguments whose values are credentials where no `as` says otherwise."""
    secrets: tuple[str, ...] = ()
    """The ends of arguments whose values are secrets, so that only their holder writes them."""
    is_invented: bool = False
    """Whether a client can write a value that nobody has, and be let in with it."""
    has_numbers: bool = False
    """Whether a number may come from here: what a proxy or the application says, and no client."""
    what: str = ""
    """Its meaning, for the reference, behind how it is written."""

    @property
    def written(self) -> str:
        """How a policy writes it: `header:NAME`."""
        return f"{self.kind}:{self.argument}" if self.argument else self.kind

    @property
    def has_argument(self) -> bool:
        """Whether it is written with an argument."""
        return self.shape is not None

    @property
    def is_address(self) -> bool:
        """Whether its values are addresses of clients."""
        return self.reading == "address"

    @property
    def is_of_route(self) -> bool:
        """Whether a request has it only where the template that matches names it."""
        return self.reading == "segment"

    @property
    def is_in_head(self) -> bool:
        """Whether the headers and the peer say all of it."""
        return self.reading not in ("segment", "state", "answer")

    @property
    def is_asked(self) -> bool:
        """Whether the application is called for it: it is not known from the head of a request."""
        return self.reading == "answer"

    @property
    def is_given(self) -> bool:
        """Whether `ratelimit explain` and traces can say it by its own name: `header:NAME=VALUE`."""
        return self.reading not in ("address", "segment", "nothing")

    def own_form(self, name: str) -> str:
        """Return the form of its values where no `as` says another."""
        return "credential" if name in self.credentials else "text"

    def is_proven(self, name: str, form: str) -> bool:
        """Return whether no client can have a value in another's name, nor share it with strangers."""
        if self.author == "application":
            return True
        is_credential = bool(self.credentials) and (form or self.own_form(name)) == "credential"
        return is_credential or (bool(self.secrets) and name.endswith(self.secrets))

    def argument_of(self, written: str) -> str:
        """Return the argument that a policy or a request means by what it writes behind the colon."""
        if not self.has_argument:
            return self.implied
        return written.lower() if self.ignores_case else written

    def field(self, name: str) -> str | None:
        """Return the header that it is read from, in lower case; None where it is no header."""
        return name if self.reading == "line" else self.header or None

    def shown(self, name: str) -> str:
        """Return how `explain` names one place of it."""
        return f"path segment {{{name}}}" if self.is_of_route else f"{self.kind} {name}".strip()


CLIENT = Source(
    kind="client",
    reading="address",
    author="peer",
    what=" (the client's address; IPv6 by /64. `client/24/48`: so many bits of IPv4 and of IPv6)",
)
HEADER = Source(
    kind="header",
    reading="line",
    author="client",
    argument="NAME",
    shape=_TOKEN,
    rule="a header name has letters, digits and `-`",
    ignores_case=True,
    has_form=True,
    credentials=frozenset(("authorization", "proxy-authorization")),
    secrets=("authorization", "api-key", "apikey", "-token"),
    is_invented=True,
    has_numbers=True,
)
COOKIE = Source(
    kind="cookie",
    reading="cookie",
    author="client",
    header="cookie",
    argument="NAME",
    shape=_TOKEN,
    rule="a cookie name has letters, digits and `-`, `_` or `.`",
    has_form=True,
    is_invented=True,
)
PATH = Source(
    kind="path",
    reading="segment",
    author="client",
    argument="PARAMETER",
    shape=_WORD,
    rule="a path parameter is a name as in `/v1/{name}`",
    has_form=True,
    what=" (of the matched template)",
)
STATE = Source(
    kind="state",
    reading="state",
    author="application",
    argument="NAME",
    shape=_WORD,
    rule="a state attribute is a Python name",
    has_numbers=True,
    what=' (`scope["state"]`)',
)
RESOLVER = Source(
    kind="resolver",
    reading="answer",
    author="application",
    argument="NAME",
    shape=_RESOLVER,
    rule="a resolver is a name, or `package.module:attribute`",
    has_numbers=True,
    what=" or `resolver:package.module:attribute`",
)
CLUSTER = Source(kind="cluster", reading="nothing", author="library")
"""The places of an actor: correlation fills them."""
ORIGIN = Source(kind="origin", reading="nothing", author="library")
"""The declared network that an address lies in."""
NEVER = Source(kind="never", reading="nothing", author="library")
"""The source of an identity that no request has."""

WRITTEN: tuple[Source, ...] = (CLIENT, HEADER, COOKIE, PATH, STATE, RESOLVER)
"""All that a policy may write, in the order of the reference."""
BY_KIND: Mapping[str, Source] = {source.kind: source for source in (*WRITTEN, CLUSTER, ORIGIN, NEVER)}


def declared_kinds() -> list[str]:
    """Return the words that stand before a colon."""
    return [source.kind for source in WRITTEN if source.has_argument]


def written_kinds() -> list[str]:
    """Return the words that a source may begin with."""
    return [source.kind for source in WRITTEN]


def source_of(text: str) -> tuple[Source, str] | None:
    """Return the record of a source as it is written without a form, and what stands behind its colon.

    None for what is no source, and for one that lacks its argument or has one too many.
    """
    kind, colon, argument = text.partition(":")
    source = BY_KIND.get(kind)
    if source is None or source not in WRITTEN or source.has_argument != bool(colon):
        return None
    return source, argument


def invented_words() -> str:
    """Return the sources whose values a client can invent, for a warning."""
    *others, last = [f"a {source.kind}" for source in WRITTEN if source.is_invented]
    return f"{', '.join(others)} or {last}" if others else last


def reference_words() -> str:
    """Return how each source is written, for the reference of the policy."""
    written = [
        f"`{source.kind}:{source.argument}`{source.what}"
        if source.has_argument
        else f"`{source.kind}`{source.what}"
        for source in WRITTEN
    ]
    return ", ".join(written)


def given_words() -> str:
    """Return how a request for `explain` says the sources, in one line."""
    *others, last = [source.written for source in WRITTEN if source.is_given]
    return f"{', '.join(others)} or {last}"


def hint_words() -> str:
    """Return what may be written for a source that is unknown."""
    plain = [f"`{source.kind}`" for source in WRITTEN if not source.has_argument]
    *others, last = [f"`{kind}:`" for kind in declared_kinds()]
    return f"Write {', '.join(plain)}, or {', '.join(others)} or {last} and a name."


def number_words(*, of_proxies: str = "{}") -> str:
    """Return the sources that a number may have; `of_proxies` is said of one that a client could write."""
    *others, last = [
        (of_proxies if source.author == "client" else "{}").format(f"`{source.written}`")
        for source in WRITTEN
        if source.has_numbers
    ]
    return f"{', '.join(others)} or {last}"


def number_hint() -> str:
    """Return what to write for a number whose source a client would write itself."""
    return f"Use {number_words(of_proxies='a {} that your proxy sets')}."
