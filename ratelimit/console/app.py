"""The console as an ASGI application: its addresses, and what all pages have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any
from urllib.parse import parse_qs

import anyio
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from ratelimit.console import forms, pages
from ratelimit.console.observation import Observation
from ratelimit.console.rendering import ASSETS, prepare, rendered
from ratelimit.console.visit import STATUS, Access, UserOf, Visit, Visitor
from ratelimit.errors import PolicyError, StoreError
from ratelimit.inspection.access.current_policy import tallied
from ratelimit.inspection.failure import InspectionFailure

MOST_FORM_BYTES = 64 << 10
STREAM_S = 2.0
"""Seconds between two looks of a page that stays open."""
MOST_STREAMS = 32
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def console_app(
    policy: str | PathLike[str], *, user: UserOf | None = None, token: str | None = None
) -> Starlette:
    """Return the console of a policy's deployment, to mount into an application.

        app.mount("/limits", console_app("policy.toml", user=lambda request: request.session.get("staff")))

    Args:
        policy: the policy's file; its workers run on this host, or on hosts that share a server.
        user: returns the name of the user that the application has authenticated, None for nobody. Acts are
            made under that name. It says who may look *and* who may act.
        token: what opens the console where the application has no authentication; 16 characters or more.

    Raises:
        UsageError: neither is given, or both.
    """
    console = _Console(Observation(fspath(policy)), user, token)
    return Starlette(routes=console.routes())


Page = Callable[[Visit], Response]


class _Console:
    def __init__(self, observation: Observation, user: UserOf | None, token: str | None) -> None:
        self._observation = observation
        self._access = Access(user, token, observation.secret)
        self._streams = 0
        prepare()

    def routes(self) -> list[Route]:
        found = [
            Route("/assets/{name}", self._asset, methods=["GET"]),
            Route("/stream", self._stream, methods=["GET"]),
        ]
        if self._access.has_token:
            found.append(Route("/enter", self._enter, methods=["GET", "POST"]))
        for path, page in pages.LOOKING.items():
            found.append(Route(path, self._endpoint(page, is_form=False), methods=["GET"]))
        for path, page in forms.ACTING.items():
            found.append(Route(path, self._endpoint(page, is_form=True), methods=["POST"]))
        found.append(Route("/{rest:path}", self._endpoint(_nothing, is_form=False), methods=["GET"]))
        return found

    def _endpoint(self, page: Page, *, is_form: bool) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            visitor = await run_in_threadpool(self._visitor, request)
            if isinstance(visitor, Response):
                return visitor
            form: Mapping[str, Sequence[str]] = {}
            if is_form:
                text = await _form_of(request)
                if text is None:
                    said = f"The form has more than {MOST_FORM_BYTES:,} bytes. Nothing was done."
                    hint = "Name fewer accounts at once."
                    return _dressed(self._visit(request, visitor, {}).failure(413, said, hint))
                form = parse_qs(text, keep_blank_values=True, max_num_fields=2048)
                if not self._access.is_own(request, visitor, (form.get("mark") or [""])[0]):
                    return self._refused(request, visitor, form)
            response = await run_in_threadpool(self._answer, page, request, visitor, form)
            if visitor.is_fresh:
                self._access.remember(request, response, visitor)
            return response

        return endpoint

    def _visitor(self, request: Request) -> Visitor | Response:
        try:
            found = self._access.visitor(request)
        except (InspectionFailure, StoreError, PolicyError) as error:
            return _dressed(HTMLResponse(rendered("closed", base=_base(request), said=_said(error)), 503))
        if found is not None:
            return found
        if self._access.has_token:
            return _dressed(HTMLResponse(rendered("enter", base=_base(request), is_wrong=False), 401))
        return _dressed(HTMLResponse(rendered("closed", base=_base(request), said=""), 403))

    def _visit(self, request: Request, visitor: Visitor, form: Mapping[str, Sequence[str]]) -> Visit:
        query = parse_qs(request.url.query, keep_blank_values=True, max_num_fields=256)
        mark = self._access.mark(visitor)
        return Visit(self._observation, visitor, _base(request), query, form, mark)

    def _answer(
        self, page: Page, request: Request, visitor: Visitor, form: Mapping[str, Sequence[str]]
    ) -> Response:
        """Return a page, or why there is none; called in a thread, as looking waits for files and servers."""
        visit = self._visit(request, visitor, form)
        try:
            return _dressed(page(visit))
        except InspectionFailure as failure:
            return _dressed(visit.failure(STATUS[failure.cause], str(failure), failure.hint))
        except (StoreError, PolicyError) as error:
            return _dressed(visit.failure(503, _said(error)))

    def _refused(self, request: Request, visitor: Visitor, form: Mapping[str, Sequence[str]]) -> Response:
        visit = self._visit(request, visitor, {})
        said = "This form was not made by a page of this console in this browser. Nothing was done."
        hint = "Load the page again, and repeat."
        if self._access.is_from_here(request):  # its mark is of another secret or session
            response = forms.again(
                self._visit(request, visitor, form), InspectionFailure(said, "call"), status=403
            )
        else:
            response = visit.failure(403, said, hint)
        if visitor.is_fresh:
            self._access.remember(request, response, visitor)
        return _dressed(response)

    async def _enter(self, request: Request) -> Response:
        if request.method == "GET":
            token = request.query_params.get("token", "")
        else:
            token = (parse_qs(await _form_of(request) or "").get("token") or [""])[0]
        if not self._access.opens(token):
            page = rendered("enter", base=_base(request), is_wrong=bool(token))
            return _dressed(HTMLResponse(page, 401))
        response = RedirectResponse(f"{_base(request)}/", 303)
        self._access.remember(request, response)
        return _dressed(response)

    async def _asset(self, request: Request) -> Response:
        found = ASSETS.get(request.path_params["name"])
        if found is None:
            return _dressed(Response(status_code=404))
        response = _dressed(Response(found[1], headers={"content-type": found[0]}))
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response

    async def _stream(self, request: Request) -> Response:
        visitor = await run_in_threadpool(self._visitor, request)
        if isinstance(visitor, Response):
            return visitor
        if self._streams >= MOST_STREAMS:
            return _dressed(Response("Too many pages are open.", 503))
        visit = self._visit(request, visitor, {})
        response = StreamingResponse(self._events(visit), media_type="text/event-stream")
        return _dressed(response)

    async def _events(self, visit: Visit) -> AsyncIterator[str]:
        self._streams += 1
        look = pages.LIVE.get(visit.one("page"), pages.live)
        try:
            while True:
                try:
                    text = await run_in_threadpool(look, visit)
                except (InspectionFailure, StoreError, PolicyError) as error:
                    text = visit.text("gone", said=_said(error))
                yield "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"
                await anyio.sleep(STREAM_S)
        finally:
            self._streams -= 1


def _nothing(visit: Visit) -> Response:
    """Return the page for an address without one: it was mistyped, or only forms have it."""
    return visit.failure(404, "there is no page at this address", way=(visit.path("/"), "To the first page"))


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _said(error: Exception) -> str:
    if isinstance(error, PolicyError):
        return f"The policy has {tallied(error.problems)}; `ratelimit check` shows them."
    return f"{error} [{error.code}]" if isinstance(error, StoreError) else str(error)


async def _form_of(request: Request) -> str | None:
    """Return a form's text; None of one that is longer than any of ours."""
    found = b""
    async for chunk in request.stream():
        found += chunk
        if len(found) > MOST_FORM_BYTES:
            return None
    return found.decode("utf-8", "replace")


def _dressed(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers[name] = value
    return response
