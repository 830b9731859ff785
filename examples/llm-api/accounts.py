"""Authentication: an API key becomes an account, and what is known of it.

This stands outside of the limiter, which finds in `scope["state"]` what its policy asks for. So a
limit counts accounts and not what a client wrote, and a request without a key costs nothing.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ratelimit.integrations import llm_errors

MOST_BYTES = 1 << 20
"""Of a request's body."""
_DAY_S = 86400


def load(path: Path) -> dict[str, dict[str, Any]]:
    """Return by API key what the policy's identities read from `scope["state"]`.

    The file is what a database would have: by key an account, its organisation and plan, a hash of its
    card (`payment`) and its age. An account younger than two weeks is new.
    """
    now_s = int(time.time())
    return {
        key: {**known, "account_created": now_s - known.pop("age_days") * _DAY_S}
        for key, known in json.loads(path.read_text("utf-8")).items()
    }


class Accounts:
    """Turns away requests under /v1 that have no account or are too large, and names the account of others.

    Args:
        app: what comes next.
        known: what `load` returned.
    """

    def __init__(self, app: ASGIApp, known: dict[str, dict[str, Any]]) -> None:
        self._app = app
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with its account, or answer it."""
        app = self._app
        if scope["type"] == "http" and scope["path"].startswith("/v1"):
            headers, form = Headers(scope=scope), llm_errors.form_of(scope)
            known = self._known.get(key_of(scope))
            size = headers.get("content-length", "" if "transfer-encoding" in headers else _no_body(scope))
            if known is None:
                app = llm_errors.answer(form, 401, "There is no such API key; accounts.json has some.")
            elif not size.isdecimal():
                app = llm_errors.answer(form, 411, "The request does not say how long it is.")
            elif len(size) > 9 or int(size) > MOST_BYTES:
                app = llm_errors.answer(form, 413, f"The request is larger than {MOST_BYTES} bytes.")
            else:
                scope["state"] = {**scope.get("state", {}), **known}
        await app(scope, receive, send)


def _no_body(scope: Scope) -> str:
    """Return the length of a request that says none: 0 of a method that has no body."""
    return "0" if scope["method"] in ("GET", "HEAD") else ""


def key_of(scope: Scope) -> str:
    """Return the API key of a request, from where clients of OpenAI or of Anthropic put it."""
    headers = Headers(scope=scope)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
