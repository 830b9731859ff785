"""Customers' budgets over HTTP, in JSON: for an operator's own console or billing.

    app.mount("/limits/budgets", budgets_app("policy.toml", tokens={"billing": os.environ["BILLING_TOKEN"]}))

Each call does what `ratelimit act budget` and `ratelimit.Budgets` do, by the same code. There is no call
without a token. Acts are listed and in the journal with the token's name. Calls that add units have a name,
the field `Idempotency-Key`, so that a retried one is done once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ratelimit.errors import PolicyError, RateLimitError, StoreError, UsageError
from ratelimit.http.problem import CONTENT_TYPE
from ratelimit.inspection.acts.acting import confirmed, known_acts
from ratelimit.inspection.acts.words import act_json
from ratelimit.inspection.callers.naming import named
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.proposals import proposal
from ratelimit.inspection.proposals.budgets import budgets_json, budgets_of
from ratelimit.inspection.proposals.customers import LONGEST_ONCE, Budgets, Changed, Word, written
from ratelimit.parsing.json import JsonReader
from ratelimit.policy import Policy
from ratelimit.stores.acts.act import in_force

LEAST_TOKEN = 16
LONGEST_NAME = 32
MOST_BYTES = 64 << 10
DAY = "1d"
_STATUS = {"call": 400, "input": 404, "deployment": 503}
Short = Annotated[str, Meta(max_length=200)]
Value = Annotated[str, Meta(min_length=1, max_length=4096)]


class BudgetCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a call.

    Attributes:
        account: the customer.
        identity: that it is of; by default what the application says.
        numbers: by the name of a limit.
        limits: of `reset`, the names; none for all.
        span: of `set`, how long it holds.
        reason, by: why, and who does it, for the list of acts.
        dry_run: whether to show what it would do, and do nothing.
        confirm: whether to wait, for five seconds at most, until all hosts apply it.
    """

    account: Value
    identity: Short | None = None
    numbers: dict[str, int | float | str] = {}
    limits: list[str] = []
    span: Annotated[str, Meta(max_length=16)] = msgspec.field(name="for", default=DAY)
    reason: Short = ""
    by: Short = ""
    dry_run: bool = False
    confirm: bool = False


class AskedToUndo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a call that takes an act back."""

    act: Annotated[str, Meta(max_length=32)]
    reason: Short = ""
    by: Short = ""


_ASKED = JsonReader(BudgetCall)
_ASKED_TO_UNDO = JsonReader(AskedToUndo)


def budgets_app(
    policy: Policy | str | os.PathLike[str], *, tokens: Mapping[str, str], identity: str | None = None
) -> Starlette:
    """Return the budgets of a policy's deployment as an application, to mount or to serve by itself.

    Args:
        policy: the policy, or the path of its file; its workers run on this host, or share a server.
        tokens: by the name that acts are listed with, what opens it; 16 characters or more.
        identity: that accounts are of; by default `account`, or the principal of `[correlation]`.

    Raises:
        PolicyError: the policy cannot be used.
        UsageError: there is no token, or one is too short (code `budget-access`).
    """
    if not tokens or any(len(token) < LEAST_TOKEN for token in tokens.values()):
        raise UsageError(f"each token has {LEAST_TOKEN} characters or more", code="budget-access")
    if any(not name or len(name) > LONGEST_NAME or not name.isprintable() for name in tokens):
        raise UsageError(f"a token has a name of up to {LONGEST_NAME} characters", code="budget-access")
    api = _Api(Budgets(policy, identity=identity), identity, tokens)
    looks = {"/show": api.show, "/acts": api.acts}
    changes = {"/set": api.set, "/add": api.add, "/reset": api.reset, "/undo": api.undo}
    routes = [Route(path, api.endpoint(call), methods=["GET"]) for path, call in looks.items()]
    routes += [Route(path, api.endpoint(call), methods=["POST"]) for path, call in changes.items()]
    return Starlette(routes=routes, exception_handlers={404: _strange, 405: _strange})


async def _strange(request: Request, error: Exception) -> Response:
    """Answer a request that no call is for."""
    status = getattr(error, "status_code", 404)
    return _refused(status, "budget-call", "there is GET /show and /acts, POST /set, /add, /reset and /undo")


class _Problem(Exception):
    """A call that cannot be done."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code = status, code


class _Api:
    def __init__(self, budgets: Budgets, identity: str | None, tokens: Mapping[str, str]) -> None:
        self._budgets, self._identity = budgets, identity
        self._digests = {name: _digest(token) for name, token in tokens.items()}

    def endpoint(self, call: Callable[[str, Request, bytes], Response]) -> Callable[[Request], Any]:
        """Return what answers the requests of one path."""

        async def endpoint(request: Request) -> Response:
            try:
                name = self._caller(request)
                body = await _body_of(request)
                # A look waits for files and servers.
                return await run_in_threadpool(call, name, request, body)
            except _Problem as problem:
                return _refused(problem.status, problem.code, str(problem))
            except PolicyError as error:
                return _refused(503, "budget-deployment", f"the policy has errors: {error}")
            except RateLimitError as error:
                return _refused(_status_of(error), error.code, str(error))

        return endpoint

    def _caller(self, request: Request) -> str:
        """Return the name of the token of a request."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        digest, found = _digest(token.strip()), ""
        for name, own in self._digests.items():  # all of them: the time says nothing of which is near
            if hmac.compare_digest(digest, own):
                found = name
        if not found or scheme.lower() != "bearer":
            raise _Problem(401, "budget-access", "the request has no token, or a wrong one")
        return found

    def show(self, name: str, request: Request, body: bytes) -> Response:
        """Answer what a customer has of each limit that counts by it alone."""
        account, identity = request.query_params.get("account", ""), request.query_params.get("identity")
        if not account:
            raise _Problem(400, "budget-call", "name the customer: `?account=acct-17`")
        with self._budgets.known() as known:
            caller = named(known, account, identity or self._identity)
            return _answer(budgets_json(caller, budgets_of(known, caller)))

    def acts(self, name: str, request: Request, body: bytes) -> Response:
        """Answer the acts on budgets that are in force."""
        with self._budgets.known() as known:
            there = known.deployment
            held = in_force(known_acts(there), there.key, known.bound.store.clock.now_ns())
            return _answer({"acts": [act_json(act) for act in held if act.of.is_of_budget]})

    def set(self, name: str, request: Request, body: bytes) -> Response:
        """Put numbers in place of a customer's, for a while."""
        asked = _read(_ASKED, body)
        return self._change("set", name, request, asked, written(asked.numbers), must_be_named=False)

    def add(self, name: str, request: Request, body: bytes) -> Response:
        """Add units to what a customer has."""
        asked = _read(_ASKED, body)
        return self._change("add", name, request, asked, written(asked.numbers))

    def reset(self, name: str, request: Request, body: bytes) -> Response:
        """Let a customer begin its windows anew."""
        asked = _read(_ASKED, body)
        return self._change("reset", name, request, asked, asked.limits)

    def undo(self, name: str, request: Request, body: bytes) -> Response:
        """Take an act back."""
        asked = _read(_ASKED_TO_UNDO, body)
        self._budgets.undo(asked.act, reason=asked.reason, by=_author(name, asked.by))
        return _answer({"undone": asked.act})

    def _change(
        self,
        word: Word,
        name: str,
        request: Request,
        asked: BudgetCall,
        wanted: list[str],
        *,
        must_be_named: bool = True,
    ) -> Response:
        key = request.headers.get("idempotency-key", "")
        if len(key) > LONGEST_ONCE - LONGEST_NAME - 1:
            raise _Problem(400, "budget-once", "Idempotency-Key is too long")
        if not wanted and word != "reset":
            raise _Problem(400, "budget-call", "`numbers` names no limit")
        if must_be_named and not key and not asked.dry_run:
            words = "a call that adds units has a name of its own in the field Idempotency-Key"
            raise _Problem(400, "budget-once", words)
        done = self._budgets.change(
            word,
            asked.account,
            wanted,
            identity=asked.identity,
            for_ns=_span_ns(asked.span) if word == "set" else None,
            reason=asked.reason,
            by=_author(name, asked.by),
            once=f"{name} {key}" if key else "",
            is_dry=asked.dry_run,
        )
        found: dict[str, Any] = {
            "acts": [_changed(each) for each in done],
            "is_repeated": any(each.is_repeated for each in done),
        }
        last = done[-1].act if done else None
        if asked.confirm and last is not None:
            with self._budgets.known() as known:
                told = confirmed(known.deployment, last)
            found["hosts"] = [{"host": each.host, "applied": each.has_applied} for each in told.hosts]
        return _answer(found)


def _changed(each: Changed) -> dict[str, Any]:
    act = {} if each.act is None else act_json(each.act)
    return act | {"does": list(each.does), "doubts": list(each.doubts)}


def _author(name: str, by: str) -> str:
    return f"{name}: {by}" if by else name


def _span_ns(text: str) -> int:
    try:
        return proposal.span_ns(text)
    except InspectionFailure as failure:
        raise _Problem(400, "budget-call", str(failure)) from failure


def _status_of(error: RateLimitError) -> int:
    if error.code == "budget-once":
        return 409
    cause = error.__cause__
    if isinstance(cause, InspectionFailure):
        return _STATUS[cause.cause]
    return 503 if isinstance(error, StoreError) else 400


def _read(reader: JsonReader[Any], body: bytes) -> Any:
    try:
        return reader.read(body)
    except ValueError as error:
        raise _Problem(400, "budget-call", f"the body is not what is asked for: {error}") from error


async def _body_of(request: Request) -> bytes:
    found = b""
    async for chunk in request.stream():
        found += chunk
        if len(found) > MOST_BYTES:
            raise _Problem(413, "budget-call", f"a body has {MOST_BYTES} bytes at most")
    return found


def _answer(content: Mapping[str, Any], status: int = 200, kind: str = "application/json") -> Response:
    headers = {"cache-control": "no-store", "content-type": kind}
    return Response(json.dumps(content), status, headers)


def _refused(status: int, code: str, detail: str) -> Response:
    title = HTTPStatus(status).phrase
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    response = _answer(document, status, CONTENT_TYPE[1].decode())
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    if status == 503:
        response.headers["retry-after"] = "1"
    return response


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
