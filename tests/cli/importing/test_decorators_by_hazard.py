# ruff: noqa: E501  # applications are tables
"""Decorators one by one: what is carried decides as the library, and what is not is refused, with its line."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings

from tests.cli.importing.deciding import STATUSES, allowed, assert_same, imported
from tests.cli.importing.sources import (
    Asked,
    fastapi_answers,
    fastapi_statuses,
    policy_answers,
    scope_of,
)
from tests.cli.importing.test_decorators_against_libraries import asked

APP = """
from fastapi import APIRouter, FastAPI, Request
from slowapi import Limiter
from slowapi.util import get_remote_address, get_ipaddr
limiter = Limiter(key_func=get_remote_address, strategy="moving-window"{more})
app = FastAPI()
app.state.limiter = limiter
"""
FLASK = """
from flask import Blueprint, Flask, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
app = Flask(__name__)
limiter = Limiter(get_remote_address, app=app, strategy="moving-window", storage_uri="memory://"{more})
"""
HEAD_OF = {"slowapi": APP, "flask": FLASK}


def route(path: str, *decorators: str, name: str = "a", kind: str = "slowapi", verb: str = "get") -> str:
    lines = [f'@app.{verb}("{path}")', *(f"@limiter.{each}" for each in decorators)]
    takes = "request: Request" if kind == "slowapi" else "**values"
    asynchronous = "async " if kind == "slowapi" else ""
    return "\n".join([*lines, f"{asynchronous}def {name}({takes}):", "    return {}", ""])


ROUND = [
    Asked(step_s, method, path, client, {"x-key": key})
    for step_s in (0.001, 20.001, 0.001, 45.001, 7_200.001)
    for method, path in (
        ("GET", "/a"), ("GET", "/a"), ("POST", "/a"), ("HEAD", "/a"), ("GET", "/b"), ("GET", "/b"), ("GET", "/i/me"),
        ("GET", "/i/1"), ("GET", "/i/2"), ("GET", "/i/1"), ("GET", "/i/me"), ("GET", "/i/me"), ("GET", "/a"),
    )
    for client, key in (("10.0.0.1", "k"), ("2001:db8::1", "k"), ("2001:db8::2", "l"))
]  # fmt: skip
CARRIED = {
    "one rate": ("slowapi", "", [route("/a", 'limit("2/minute")')]),
    "a limit that GET alone has": ("slowapi", "", [route("/a", 'limit("2/minute")'), route("/b")]),
    "each path of a route by itself": ("slowapi", "", [route("/i/{x}", 'limit("1/minute")')]),
    "paths of a function together": (
        "slowapi",
        ', key_style="endpoint"',
        [route("/i/{x}", 'limit("3/minute")')],
    ),
    "two functions of one path share a counter": (
        "slowapi",
        "",
        [
            route("/a", 'limit("3/minute")'),
            route("/a", 'limit("3/minute")', name="b", verb="post"),
        ],
    ),
    "two functions of one path and other rates do not": (
        "slowapi",
        "",
        [
            route("/a", 'limit("3/minute")'),
            route("/a", 'limit("2/minute")', name="b", verb="post"),
        ],
    ),
    "one function of two paths": ("slowapi", "", ['@app.get("/b")\n' + route("/a", 'limit("2/minute")')]),
    "shared by two routes": (
        "slowapi",
        "",
        [
            route("/a", 'shared_limit("3/minute", scope="s")'),
            route("/b", 'shared_limit("3/minute", scope="s")', name="b"),
        ],
    ),
    "each method by itself": (
        "slowapi",
        "",
        [
            route("/a", 'limit("2/minute", per_method=True)').replace(
                'get("/a")', 'api_route("/a", methods=["GET", "POST"])'
            )
        ],
    ),
    "another route has one of its paths": (
        "slowapi",
        ', key_style="endpoint"',
        [route("/i/me", name="me"), route("/i/{x}", 'limit("2/minute")')],
    ),
    "a converter leaves a path to another route": (
        "slowapi",
        "",
        [route("/i/{x:int}", 'limit("1/minute")'), route("/i/me", name="me")],
    ),
    "exempt": (
        "slowapi",
        "",
        [route("/a", "exempt", 'limit("1/minute")'), route("/b", 'limit("2/hour")', name="b")],
    ),
    "cost": ("slowapi", "", [route("/a", 'limit("4/minute", cost=2)')]),
    "a header": (
        "slowapi",
        "",
        [route("/a", 'limit("3/minute", key_func=lambda request: request.headers["X-Key"])')],
    ),
    "a parameter of the path": (
        "slowapi",
        "",
        [route("/i/{x}", 'limit("3/minute", key_func=lambda request: request.path_params["x"])')],
    ),
    "all together": ("slowapi", "", [route("/a", 'limit("3/minute", key_func=lambda: "all")')]),
    "Flask": ("flask", "", [route("/a", 'limit("2/minute")', kind="flask")]),
    "Flask: GET and not HEAD": (
        "flask",
        "",
        [route("/a", 'limit("2/minute", methods=["GET"])', kind="flask")],
    ),
    "Flask: paths of a function together": (
        "flask",
        "",
        [route("/i/<x>", 'limit("3/minute")', kind="flask")],
    ),
    "Flask: a literal wins": (
        "flask",
        "",
        [route("/i/<x>", 'limit("2/minute")', kind="flask"), route("/i/me", name="me", kind="flask")],
    ),
    "Flask: each method by itself": (
        "flask",
        "",
        [route("/a", 'limit("2/minute", per_method=True)', kind="flask")],
    ),
    "Flask: shared": (
        "flask",
        "",
        [
            route("/a", 'shared_limit("3/minute", scope="s")', kind="flask"),
            route("/b", 'shared_limit("3/minute", scope="s")', kind="flask", name="b"),
        ],
    ),
}


@pytest.mark.parametrize(("kind", "more", "routes"), CARRIED.values(), ids=CARRIED)
def test_is_carried_and_decides_as_the_library(kind: str, more: str, routes: list[str]) -> None:
    text = HEAD_OF[kind].replace("{more}", more) + "\n".join(routes)
    draft = imported(text)
    assert draft.losses == []
    statuses = STATUSES[kind](text, ROUND)
    assert {200, 429} <= set(statuses)
    assert_same(statuses, allowed(draft, ROUND), ROUND)


LIMITED = route("/a", 'limit("2/minute")')
REFUSED = {
    "fixed windows": (APP.replace("moving-window", "fixed-window") + LIMITED, "first request"),
    "sliding counter": (APP.replace("moving-window", "sliding-window-counter") + LIMITED, "rounds"),
    "two rates": (APP + route("/a", 'limit("2/minute; 5/day")'), "another limit"),
    "two decorators": (APP + route("/a", 'limit("2/minute")', 'limit("5/day")'), "another limit"),
    "the same limit twice": (APP + route("/a", 'limit("2/minute")', 'limit("2/minute")'), "another limit"),
    "address from a header": (APP + route("/a", 'limit("2/minute", key_func=get_ipaddr)'), "any client can write"),
    "header that may be missing": (
        APP + route("/a", 'limit("2/minute", key_func=lambda request: request.headers.get("x"))'),
        "not limited there",
    ),
    "state": (APP + route("/a", 'limit("2/minute", key_func=lambda request: request.state.user)'), "only a run"),
    "computed key": (APP + route("/a", 'limit("2/minute", key_func=lambda request: f(request))'), "its text"),
    "computed rate": (APP + route("/a", "limit(lambda: '2/minute')"), "the rate"),
    "rate from the environment": ("import os\nRATE = os.environ['R']\n" + APP + route("/a", "limit(RATE)"), "the rate"),
    "rate that is bound twice": ("RATE = '1/day'\nRATE = '2/day'\n" + APP + route("/a", "limit(RATE)"), "the rate"),
    "rate that a function binds": (
        "RATE = '1/day'\ndef f():\n    global RATE\n    RATE = '2/day'\n" + APP + route("/a", "limit(RATE)"),
        "the rate",
    ),
    "rate that the library leaves out": (APP + route("/a", 'limit("2/week")'), "no weeks"),
    "ban": (APP + route("/a", 'limit("0/day")'), "refuses always"),
    "cost that is computed": (APP + route("/a", 'limit("2/day", cost=lambda r: 1)'), "no whole number"),
    "cost of nothing": (APP + route("/a", 'limit("2/day", cost=0)'), "no whole number"),
    "exemption": (APP + route("/a", 'limit("2/day", exempt_when=lambda: True)'), "application's code"),
    "arguments in a mapping": (APP + route("/a", 'limit("2/day", **more)'), "which arguments"),
    "default limits": (APP.replace("{more}", ', default_limits=["1/day"]') + LIMITED, "each route"),
    "application limits": (APP.replace("{more}", ', application_limits=["1/day"]') + LIMITED, "middleware alone"),
    "limiter that is off": (APP.replace("{more}", ", enabled=False") + LIMITED, "limits at all"),
    "limiter under a condition": (
        APP.replace("limiter = L", "if x:\n    limiter = L") + LIMITED,
        "made where only a run",
    ),
    "limiter that is switched": (APP + "limiter.enabled = False\n" + LIMITED, "in a way that is not read"),
    "limit that is not a decorator": (
        APP + route("/a") + "a = limiter.limit('1/day')(a)\n" + route("/b", 'limit("2/day")', name="b"),
        "in a way that is not read",
    ),
    "limiter of another file": ("from x import limiter\n" + LIMITED, "none of these files"),
    "setting": (APP + 'app.config["RATELIMIT_ENABLED"] = False\n' + LIMITED, "made elsewhere"),
    "limit above its route": (
        APP + '@limiter.limit("2/day")\n@app.get("/a")\nasync def a(request: Request): ...\n',
        "no request",
    ),
    "decorator beside the limit": (APP + LIMITED.replace("@limiter", "@cached\n@limiter"), "beside the limit"),
    "name of two functions": (APP + LIMITED + route("/b", 'limit("3/day")'), "has its name"),
    "body of a request": (APP + LIMITED.replace("request: Request", "request: Request, item: Item"), "422"),
    "dependency": (APP + LIMITED.replace('get("/a"', 'get("/a", dependencies=[x]'), "a dependency"),
    "paths below": (APP + route("/all/{rest:path}", 'limit("2/day")'), "each path below"),
    "part of a segment": (APP + route("/v{x}", 'limit("2/day")'), "whole segment"),
    "star": (APP + route("/*", 'limit("2/day")'), "plain letters"),
    "router of no application": (
        APP + "router = APIRouter()\n" + LIMITED.replace("@app", "@router"),
        "in no application",
    ),
    "mount": (APP + 'app.mount("/x", other)\n' + LIMITED, "not read"),
    "route of another kind": (APP + LIMITED + 'app.add_api_route("/b", a)\n', "not read"),
    "called by another function": (APP + LIMITED + "def f(request):\n    return a(request)\n", "otherwise than"),
    "two applications": (APP + "other = FastAPI()\n" + LIMITED, "several applications"),
    "two limiters": (APP + "other = Limiter(key_func=get_remote_address)\n" + LIMITED, "second limiter"),
    "star import": (APP + "from x import *\n" + LIMITED, "may stand for anything"),
    "paths that meet": (
        APP + route("/a/{x}", 'limit("2/day")') + route("/{y}/b", 'limit("2/day")', name="b", verb="post"),
        "count together",
    ),
    "Flask: given back": (
        FLASK + route("/a", 'limit("2/day", deduct_when=lambda r: True)', kind="flask"),
        "charges on arrival",
    ),
    "Flask: limit of refusals": (FLASK + route("/a", 'limit("2/day", meta_limits=["1/day"])', kind="flask"), "refusals"),
    "Flask: scope": (FLASK + route("/a", 'limit("2/day", scope="x")', kind="flask"), "a scope"),
    "Flask: blueprint": (
        FLASK + 'b = Blueprint("b", __name__)\nlimiter.limit("1/day")(b)\n' + route("/a", 'limit("2/day")', kind="flask"),
        "in a way that is not read",
    ),
    "Flask: static": (FLASK + route("/a", 'limit("2/day")', name="static", kind="flask"), "never limits"),
    "Flask: limit in a function": (
        FLASK + route("/a", kind="flask") + 'def f():\n    with limiter.limit("1/day"): pass\n',
        "in a way that is not read",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_is_refused_with_its_line(text: str, why: str) -> None:
    draft = imported(text.replace("{more}", ""))
    said = [loss for loss in draft.losses if why in loss.why]
    assert said, draft.losses
    assert all(loss.place.file == "shop.py" and loss.place.line > 1 for loss in said)


ODD_PATHS = [
    "/i/a", "/i/%61", "/i/A", "/i/a%20b", "/i/%C3%A9", "/i/%2541", "/i/a;b", "/i/a.json", "/i/a/", "//i/a", "/i/a%2Fb", "/I/a",
]  # fmt: skip
ODD_CLIENTS = ["testclient", "::ffff:10.0.0.1", "2001:db8::1", "2001:DB8::1", "fe80::1%eth0", "10.0.0.1"]
ODD_HEADERS = [[b"k"], [b"k", b"l"], [b""], [], [b"\xe9"], [b"k "], [b"K"], [b"eyJx.y"], [b"k" * 5_000]]


def test_odd_spellings_are_never_admitted_where_the_library_refuses() -> None:
    text = APP.replace("{more}", "") + route("/i/{x}", 'limit("2/minute")')
    text += route("/k", 'limit("2/minute", key_func=lambda request: request.headers["x-key"])', name="k")
    draft = imported(text)
    assert draft.losses == []
    scopes = [scope_of(path, "10.0.0.1", []) for path in ODD_PATHS]
    scopes += [scope_of("/i/z", client, []) for client in ODD_CLIENTS]
    scopes += [scope_of("/k", "10.0.0.1", values) for values in ODD_HEADERS]
    scopes = [scope for scope in scopes for _ in range(4)]
    theirs, ours = fastapi_answers(text, scopes), policy_answers(draft.text([]), scopes)
    assert {200, 404, 429} <= set(theirs)
    for scope, their, our in zip(scopes, theirs, ours, strict=True):
        if their == 429:
            assert our != 200, scope
    # And the plain ones among them alike.
    plain = [
        at
        for at, scope in enumerate(scopes)
        if scope["raw_path"] in (b"/i/a", b"/i/%61", b"/i/A", b"/i/a%20b")
    ]
    assert [theirs[at] for at in plain] == [ours[at] for at in plain]


@settings(phases=(Phase.explicit, Phase.generate), max_examples=20)
@given(asked)
def test_log_in_place_of_fixed_windows_never_admits_more(requests: list[Asked]) -> None:
    text = APP.replace("moving-window", "fixed-window").replace("{more}", "") + route(
        "/a", 'limit("3/minute")'
    )
    draft = imported(text)
    assert len(draft.losses) == 1
    requests = [Asked(each.step_s, "GET", "/a", each.client) for each in requests]
    statuses, decided = fastapi_statuses(text, requests), allowed(draft, requests)
    for client in {each.client for each in requests}:
        ours = theirs = 0
        for each, status, passed in zip(requests, statuses, decided, strict=True):
            if each.client == client:
                ours, theirs = ours + passed, theirs + (status == 200)
                assert ours <= theirs
        assert ours > 0
