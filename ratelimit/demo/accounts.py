"""Accounts of the demo's application, put where the policy looks for them.

An application has this in its database, and adds it once a request is authenticated: the payment
method, and when the account was created. Of an account it does not know (a visitor's) it says
neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ratelimit.clock import civil_s
from ratelimit.demo.people import POPULATIONS, account_of, person_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_DAY_S = 86400


class Accounts:
    """The application's own middleware, outside of the limiter's.

    Args:
        app: what comes next.
        now_s: when the demo began, in seconds since the epoch.
    """

    def __init__(self, app: ASGIApp, now_s: float | None = None) -> None:
        self._app = app
        self._known = known_accounts(civil_s() if now_s is None else now_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add what is known of the account behind the API key to `scope["state"]`."""
        for name, value in scope.get("headers", ()):
            if name == b"x-api-key" and (known := self._known.get(value)) is not None:
                scope["state"] = {**scope.get("state", {}), **known}
        await self._app(scope, receive, send)


def known_accounts(now_s: float) -> dict[bytes, dict[str, Any]]:
    """Return by API key the payment method, and when the account was created."""
    found = {}
    for population in POPULATIONS:
        for number in range(population.people):
            person = person_of(population, number)
            known: dict[str, Any] = {"account_created": int(now_s - person.days * _DAY_S)}
            if person.card is not None:
                known["payment"] = person.card
            found[account_of(population, number).encode()] = known
    return found
