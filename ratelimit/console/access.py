"""Access to the console: who may look, and which forms were made by its own pages.

Rules it keeps:

- A page is for a user of the application, or for one who has the token. There is no console without either.
- A form is taken only with a mark that this console made for this browser, and from its own pages.
- The browser's cookie is a random number with its signature: it holds no token and no name.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from ratelimit.environment.console_token import LEAST_TOKEN
from ratelimit.errors import UsageError

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
