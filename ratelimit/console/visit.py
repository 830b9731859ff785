"""One request of somebody who may look: who may, what pages see of it, and parts that several pages have."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ratelimit.clock import SystemClock
from ratelimit.console.observation import Observation
from ratelimit.console.rendering import rendered
from ratelimit.correlation.overview import Overview
from ratelimit.decision import VERDICTS
from ratelimit.environment.console_token import LEAST_TOKEN
from ratelimit.errors import StoreError, UsageError
from ratelimit.inspection import formatting
from ratelimit.inspection.access.deployment import Deployment
from ratelimit.inspection.access.host_state import HostState
from ratelimit.inspection.actors.evidence import Source
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.naming import resolve
from ratelimit.inspection.callers.takings import Takings, bounds_of, takings_within
from ratelimit.inspection.failure import Cause, InspectionFailure
from ratelimit.inspection.journal.outage import outage_words
from ratelimit.policy.compile.compiled import LimitRule

COOKIE = "kinlimit-console"

UserOf = Callable[[Request], str | None]
"""Returns the name of the user that an application has authenticated; None for nobody."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who may look."""

    name: str
    """The user's name for acts; empty for one with the token."""
    session: str
    """The random part of the browser's cookie."""
    is_fresh: bool
    """Whether the cookie is still to be set."""


class Access:
    """Says who may look.

    Args:
        user: the application's own authentication.
        token: what opens the console where there is none.
        secret: returns what marks are made with, the same in all workers.
    """

    def __init__(self, user: UserOf | None, token: str | None, secret: Callable[[], bytes]) -> None:
        if (user is None) == (token is None):
            raise UsageError(
                "the console needs `user`, the application's own authentication, or else a `token`",
                code="console-access",
            )
        if token is not None and len(token) < LEAST_TOKEN:
            raise UsageError(
                f"the console's token has {LEAST_TOKEN} characters or more", code="console-access"
            )
        self._user, self._token, self._secret = user, token, secret

    @property
    def has_token(self) -> bool:
        """Whether a token opens it."""
        return self._token is not None

    def opens(self, token: str) -> bool:
        """Return whether a token is the console's."""
        return self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())

    def visitor(self, request: Request) -> Visitor | None:
        """Return who asks, None if they may not look."""
        session, is_signed = self._session(request)
        if self._user is None:
            return Visitor("", session, is_fresh=False) if is_signed else None
        name = self._user(request)
        if not name:
            return None
        return Visitor(str(name)[:64], session if is_signed else _fresh(), is_fresh=not is_signed)

    def mark(self, visitor: Visitor) -> str:
        """Return what a form of this browser has to bring along."""
        return self._sign("form", f"{visitor.session} {visitor.name}")

    def is_own(self, request: Request, visitor: Visitor, mark: str) -> bool:
        """Return whether a form was made by a page of this console, for this browser."""
        if not self.is_from_here(request, needs_origin=False):
            return False
        return not visitor.is_fresh and hmac.compare_digest(mark.encode(), self.mark(visitor).encode())

    @staticmethod
    def is_from_here(request: Request, *, needs_origin: bool = True) -> bool:
        """Return whether the browser says that a form comes from a page of this server.

        Args:
            request: the form.
            needs_origin: whether a browser that says nothing is believed.
        """
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            return False
        if site not in (None, "same-origin"):
            return False
        return not needs_origin or site is not None

    def remember(self, request: Request, response: Response, visitor: Visitor | None = None) -> None:
        """Have the browser keep a visitor's session, or a new one."""
        session = _fresh() if visitor is None else visitor.session
        response.set_cookie(
            COOKIE,
            f"{session}.{self._sign('session', session)}",
            path=request.scope.get("root_path", "") or "/",
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )

    def _session(self, request: Request) -> tuple[str, bool]:
        session, _, signature = request.cookies.get(COOKIE, "").partition(".")
        is_signed = hmac.compare_digest(signature.encode(), self._sign("session", session).encode())
        return session, bool(session) and is_signed

    def _sign(self, purpose: str, text: str) -> str:
        key = self._secret() if self._token is None else self._token.encode()
        said = f"{purpose} {text}".encode()
        return hmac.new(key, said, hashlib.sha256).hexdigest()


def _fresh() -> str:
    return secrets.token_hex(16)


STATUS: Mapping[Cause, int] = {"call": 400, "input": 404, "deployment": 503}
"""By what is at fault, the status of a page that says so."""
_HEADINGS: Mapping[int, str] = {404: "Not found", 503: "Not to be known now"}
"""By the status, the heading of a page that has nothing else to show."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a visitor, as pages see it."""

    observation: Observation
    visitor: Visitor
    base: str
    """Where the console is mounted."""
    query: Mapping[str, Sequence[str]]
    form: Mapping[str, Sequence[str]]
    mark: str

    def one(self, name: str, default: str = "") -> str:
        """Return a value of the form, or else of the address."""
        found = self.form.get(name) or self.query.get(name)
        return found[0] if found else default

    def all(self, name: str) -> list[str]:
        """Return all values of a name."""
        return list(self.form.get(name) or self.query.get(name) or ())

    def words(self, name: str) -> list[str]:
        """Return the words of all values of a name."""
        return [one for each in self.all(name) for one in each.split()]

    def page(self, name: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page."""
        return HTMLResponse(self.text(name, **values), status)

    def failure(self, status: int, said: str, hint: str = "", way: tuple[str, str] | None = None) -> Response:
        """Return a page that says why there is nothing else, and a way on: an address and its words."""
        heading = _HEADINGS.get(status, "That did not work")
        return self.page("failure", status=status, heading=heading, said=said, hint=hint, way=way)

    def text(self, name: str, **values: Any) -> str:
        """Return a template filled in."""
        trouble = values.pop("trouble", ())
        return rendered(
            name,
            base=self.base,
            mark=self.mark,
            user=self.visitor.name,
            trouble=trouble,
            verdict_words=self._verdict_words,
            **values,
        )

    def _verdict_words(self, verdict: int | str | None) -> str:
        """Return an account's or an actor's verdict as every screen says it."""
        word = VERDICTS[verdict] if isinstance(verdict, int) else verdict
        _, policy, _ = self.observation.policy()
        return formatting.verdict_words(word, policy.compiled.rules) or "none"

    def to(self, path: str, **query: str | Sequence[str]) -> Response:
        """Return the way to another page of the console."""
        return RedirectResponse(self.path(path, **query), 303)

    def path(self, path: str, **query: str | Sequence[str]) -> str:
        """Return the address of another page of the console."""
        said = "&".join(
            f"{name}={quote(one, safe='')}"
            for name, value in query.items()
            for one in ([value] if isinstance(value, str) else value)
        )
        return f"{self.base}{path}{'?' if said else ''}{said}"


DEFAULT_SPAN = "7d"


def source_of(known: Knowledge) -> Source:
    """Return the evidence.

    Raises:
        InspectionFailure: there is none.
    """
    if known.source is None:
        if known.compiled.correlation is None:
            raise InspectionFailure("the policy has no correlation, so there are no actors", "input")
        raise InspectionFailure(known.trouble or "nothing is known of actors", "deployment")
    return known.source


def actor_named(known: Knowledge, written: str) -> Overview:
    """Return an actor by its id.

    Raises:
        InspectionFailure: there is none.
    """
    source_of(known)
    caller = resolve(known, f"actor={written}")
    found = known.actor(caller.hash)
    if found is None:
        raise InspectionFailure(f"actor {written} is gone", "input")
    return found


def principal_of(known: Knowledge) -> str:
    """Return the name of what accounts are of, to name one by its hash; empty for several."""
    spec = known.compiled.correlation
    return "" if spec is not None and len(spec.principal) > 1 else known.account or ""


def hosts_of(there: Deployment) -> dict[str, Any]:
    """Return which hosts apply all acts, and what is wrong."""
    states: Sequence[HostState]
    try:
        states, trouble = there.hosts(), []
    except StoreError:
        states = there.this_host()
        trouble = [outage_words(there.policy)]
    return {"hosts": states, "trouble": trouble}


def taken(visit: Visit) -> tuple[str, Takings]:
    """Return the time that a visitor chose, and what callers took in it.

    Raises:
        InspectionFailure: it is no time that can be chosen.
    """
    since = visit.one("since", DEFAULT_SPAN)
    begin_ns, end_ns = bounds_of(since, SystemClock().now_ns())
    noted, now = visit.observation.takings(begin_ns), visit.observation.present()
    _, whole, _ = visit.observation.policy()
    return since, takings_within(whole.compiled, noted, now, begin_ns, end_ns)


def rules_of(visit: Visit) -> Mapping[str, LimitRule]:
    """Return the limits by name, also those in the application's code."""
    _, whole, _ = visit.observation.policy()
    return {rule.name: rule for rule in reversed(whole.compiled.rules)}


def number(text: str) -> int:
    """Return the number of a page."""
    return int(text) if text.isdecimal() and len(text) < 8 else 1
