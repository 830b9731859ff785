"""Imported decorators decide as slowapi and Flask-Limiter do, request by request, or are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from tests.cli.importing.deciding import STATUSES, allowed, assert_same, imported
from tests.cli.importing.sources import Asked

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


@pytest.mark.parametrize("kind", ["slowapi", "flask"])
def test_import_never_says_the_opposite_of_its_source(kind: str) -> None:
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
