"""Authentication of the gateway: an API key becomes a key's name, its project and its team."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from accounts import key_of
from ratelimit.integrations import llm_errors


def load(path: Path) -> dict[str, dict[str, Any]]:
    """Return the facts about each API key, which a database would have."""
    found: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return found


class Keys:
    """Turns away requests under /v1 without a key, and says of others whose they are.

    Args:
        app: what comes next: the limiter.
        known: what `load` returned.
    """

    def __init__(self, app: ASGIApp, known: dict[str, dict[str, Any]]) -> None:
        self._app = app
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through as its key's, or answer it."""
        app = self._app
        if scope["type"] == "http" and scope["path"].startswith("/v1"):
            known = self._known.get(key_of(scope))
            if known is None:
                app = llm_errors.answer(llm_errors.form_of(scope), 401, "There is no such API key.")
            else:
                scope["state"] = {**scope.get("state", {}), **known}
        await app(scope, receive, send)
