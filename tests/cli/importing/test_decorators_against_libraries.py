# ruff: noqa: E501  # applications are tables
"""Imported decorators decide as slowapi and Flask-Limiter do, request by request, or are refused."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from ratelimit import Limiter, ManualClock
from ratelimit.cli.importing.decorators import read_decorators
from ratelimit.cli.importing.draft import PolicyDraft
from ratelimit.policy import Policy
from tests.cli.importing.sources import (
    START_S,
    Asked,
    fastapi_answers,
    fastapi_statuses,
    flask_statuses,
    policy_answers,
    scope_of,
)

logging.getLogger("slowapi").disabled = True
logging.getLogger("flask-limiter").disabled = True

STATUSES: dict[str, Callable[[str, list[Asked]], list[int]]] = {
    "slowapi": fastapi_statuses,
    "flask": flask_statuses,
}
HEADS = {
    "slowapi": [
        "from fastapi import APIRouter, FastAPI, Request\nfrom slowapi import Limiter\n"
        "from slowapi.util import get_remote_address, get_ipaddr",
        "from fastapi import APIRouter, FastAPI, Request\nfrom slowapi import Limiter as Made\n"
        "from slowapi.util import get_remote_address, get_ipaddr\nLimiter = Made",
        "import slowapi.util\nimport slowapi\nfrom fastapi import *\nfrom slowapi import Limiter\n"
        "from slowapi.util import get_remote_address, get_ipaddr",
    ],
    "flask": [
        "from flask import Blueprint, Flask, request\nfrom flask_limiter import Limiter\n"
        "from flask_limiter.util import get_remote_address"
    ],
}
KEYS = {
    "slowapi": [
        "", ", key_func=get_remote_address", ', key_func=lambda request: request.headers["x-key"]',
        ', key_func=lambda: "all"', ", key_func=by_key", ", key_func=by_either",
        ', key_func=lambda request: request.headers.get("x-key")', ", key_func=get_ipaddr",
    ],
    "flask": [
        "", ", key_func=get_remote_address", ', key_func=lambda: request.headers["x-key"]',
        ', key_func=lambda: "all"', ", key_func=by_key", ", key_func=lambda: request.remote_addr",
    ],
}  # fmt: skip
FUNCTIONS = {
    "slowapi": (
        'def by_key(request):\n    """Who."""\n    return request.headers["x-key"]\n'
        "def by_either(request: Request):\n"
        '    return request.headers.get("x-key") or get_remote_address(request)\n'
    ),
    "flask": 'def by_key():\n    """Who."""\n    return request.headers["x-key"]\n',
}
PATHS = ["/", "/a", "/a/{x}", "/a/{x}/c", "/m", "/a/b", "/a/{y}", "/n/{n:int}", "/n/me", "/all/{rest:path}"]
TAME_PATHS = 5
RATES = [
    '"2/minute"',
    '"2/minute"',
    '"3 per 2 minutes"',
    '"1/hour"',
    '"2/second; 3/minute"',
    '"4/week"',
    "RATE",
]
RATES += ['f"{MANY} per minute"', '"2/" + "minute"', "lambda: '2/minute'", '"0/day"', '"5 PER DAY"', '"x"']
OPTIONS = ["", "", "", ", cost=2", ", per_method=True", ', methods=["GET"]', ', methods=["get", "POST"]']
OPTIONS += [
    ", exempt_when=lambda: True",
    ', error_message="no"',
    ", override_defaults=False",
    ", cost=lambda r: 1",
]


@st.composite
def applications(draw: st.DrawFn, kind: str) -> str:
    """Return the text of an application."""
    is_tame = draw(st.booleans())

    def pick(options: list[str], tame: int) -> str:
        return draw(st.sampled_from(options[:tame] if is_tame else options))

    strategy = pick(
        ['"moving-window"', "STRATEGY", '"fixed-window"', '"sliding-window-counter"', '"x"[:0]'], 2
    )
    style = draw(st.sampled_from(["", ', key_style="endpoint"'])) if kind == "slowapi" else ""
    app = "" if kind == "slowapi" else ', app=app, storage_uri="memory://"'
    defaults = pick(["", ', default_limits=["2/minute"]', ', application_limits=["3/minute"]'], 1)
    lines = [pick(HEADS[kind], 1), 'RATE = "2 per minute"', "MANY = 3", 'STRATEGY = "moving-window"']
    lines += ["app = FastAPI()" if kind == "slowapi" else "app = Flask(__name__)"]
    lines += [f"limiter = Limiter(key_func=get_remote_address, strategy={strategy}{style}{app}{defaults})"]
    prefix = pick(["/v1", "/a"], 1)
    router = (
        f'APIRouter(prefix="{prefix}")'
        if kind == "slowapi"
        else f'Blueprint("b", __name__, url_prefix="{prefix}")'
    )
    lines += [f"router = {router}", FUNCTIONS[kind]]
    for number in range(draw(st.integers(1, 4))):
        function = draw(st.sampled_from(["f"] * (not is_tame) + [f"f{number}"] * 4))
        among = PATHS[:TAME_PATHS] if is_tame else PATHS
        paths = draw(st.lists(st.sampled_from(among), min_size=1, max_size=2, unique=True))
        if kind == "flask":
            paths = [_flask_path(path) for path in paths]
        decorators = [_route(draw, kind, path) for path in paths[: 1 if kind == "slowapi" else 2]]
        if draw(st.integers(0, 7)):
            for _ in range(draw(st.sampled_from([1, 1, 1, 2])) if not is_tame else 1):
                decorators.append(_limit(draw, pick, kind))
            if not is_tame and draw(st.integers(0, 5)) == 0:
                decorators.append("@limiter.exempt")
            if not is_tame and draw(st.integers(0, 7)) == 0:
                decorators.reverse()
        takes = "request: Request" if kind == "slowapi" else "**values"
        asynchronous = "async " if kind == "slowapi" else ""
        lines += [*decorators, f"{asynchronous}def {function}({takes}):", "    return {}", ""]
    lines += ["app.include_router(router)" if kind == "slowapi" else "app.register_blueprint(router)"]
    return "\n".join(lines) + "\n"


def _flask_path(path: str) -> str:
    for theirs, ours in (("{n:int}", "<int:n>"), ("{rest:path}", "<path:rest>")):
        path = path.replace(theirs, ours)
    return path.replace("{", "<").replace("}", ">")


def _route(draw: st.DrawFn, kind: str, path: str) -> str:
    owner = draw(st.sampled_from(["app", "app", "app", "router"]))
    verb = draw(st.sampled_from(["get", "get", "post", "both"]))
    if verb != "both":
        return f'@{owner}.{verb}("{path}")'
    maker = "api_route" if kind == "slowapi" else "route"
    return f'@{owner}.{maker}("{path}", methods=["GET", "POST"])'


def _limit(draw: st.DrawFn, pick: Callable[[list[str], int], str], kind: str) -> str:
    rate, key = pick(RATES, 4), pick(KEYS[kind], 4)
    option = pick(OPTIONS, 7)
    if draw(st.integers(0, 4)) == 0:
        option = option if "method" not in option else ""
        return f'@limiter.shared_limit({rate}, scope="pool"{key}{option})'
    return f"@limiter.limit({rate}{key}{option})"


asked = st.lists(
    st.builds(
        Asked,
        # Never a whole number of seconds between two requests: at that instant alone both differ, as is said.
        step_s=st.sampled_from([0.001] * 6 + [1.501, 20.001, 40.001, 60.001, 3_600.001, 86_400.001]),
        method=st.sampled_from(["GET", "GET", "GET", "POST", "HEAD"]),
        path=st.sampled_from(
            ["/", "/a", "/m", "/a/z", "/a/b/c", "/v1/a", "/v1/a/b"] * 3
            + ["/a/b", "/n/5", "/n/05", "/n/me", "/all/x"]
        ),
        client=st.sampled_from(["10.0.0.1"] * 4 + ["2001:db8::1", "2001:db8::2"]),
        headers=st.sampled_from([{"x-key": "one"}] * 4 + [{"x-key": "two"}, {}]),
    ),
    min_size=60,
    max_size=90,
)


def imported(text: str) -> PolicyDraft:
    draft = PolicyDraft()
    read_decorators([("shop.py", text)], draft)
    return draft


def allowed(draft: PolicyDraft, requests: list[Asked]) -> list[bool]:
    """Return what a policy decides, request by request."""
    limiter = Limiter(Policy.from_toml(draft.text(["x"])), clock=ManualClock(round(START_S * 10**9)))
    now_s = START_S
    found = []
    for each in requests:
        now_s += each.step_s
        decision = limiter.decide(
            method=each.method,
            path=each.path,
            client=each.client,
            headers=dict(each.headers),
            now_ns=round(now_s * 10**9),
        )
        found.append(decision.allowed)
    limiter.close()
    return found


def assert_same(statuses: list[int], decided: list[bool], requests: list[Asked]) -> None:
    """Assert that what was served is allowed and what was refused is not.

    Of what the application itself refuses (404, 405, 500) nothing is served in either case.
    """
    differ = [
        (at, status, passed, requests[at])
        for at, (status, passed) in enumerate(zip(statuses, decided, strict=True))
        if status in (200, 429) and passed != (status == 200)
    ]
    assert not differ, differ[:3]


@pytest.mark.parametrize("kind", ["slowapi", "flask"])
def test_policy_decides_as_the_library_or_is_refused(kind: str) -> None:
    # Shrinking runs whole applications, for minutes.
    @settings(phases=(Phase.explicit, Phase.generate))
    @given(applications(kind), asked)
    def decides(text: str, requests: list[Asked]) -> None:
        draft = imported(text)
        if draft.losses or not draft.limits:
            event("refused")
            return
        event("carried")
        assert_same(STATUSES[kind](text, requests), allowed(draft, requests), requests)

    decides()


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
