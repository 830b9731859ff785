"""Real routers, targets at random: whatever reached the handler of a limited route was counted by its limit."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from litestar.middleware import DefineMiddleware

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from tests.asgi.driver import limit, rules
from tests.routing import applications as apps
from tests.routing.serving import SERVERS, scope_of
from tests.routing.targets import targets

ROUTES = [
    *apps.TEMPLATES,
    *dict.fromkeys("/sub" + template for template in (*apps.TEMPLATES, *apps.SUB)),
    *(apps.DEEP + template for template in apps.SUB),
]
METHODS = ("GET", "GET", "GET", "HEAD", "get")


def options(*routes: str) -> dict[str, Any]:
    each = [limit(route, per="ip", rate="1000000/second", match=f"GET {route}") for route in routes]
    policy = Policy.from_toml(rules(*each, identities="", more='[store]\nmemory = "private"\nkeys = 1024'))
    return {"policy": policy, "clock": ManualClock(), "reload_interval_s": 0}


def around(app: Any) -> Any:
    return RateLimitMiddleware(app, **options(*ROUTES))


def add(app: Any) -> Any:
    app.add_middleware(RateLimitMiddleware, **options(*ROUTES))
    return app


def below(app: Any) -> Any:
    """The limiter in the mounted application, whose policy has that application's own templates."""
    return RateLimitMiddleware(app, **options(*apps.SUB, *("/deep" + each for each in apps.SUB)))


def quart_inside(note: apps.Note) -> Any:
    app = apps.quart_app(note)
    app.asgi_app = RateLimitMiddleware(app.asgi_app, **options(*ROUTES))  # type: ignore[method-assign]
    return app


def litestar_inside(note: apps.Note, sub: Any = None) -> Any:
    return apps.litestar_app(note, sub, [DefineMiddleware(RateLimitMiddleware, **options(*ROUTES))])


def sub_starlette(note: apps.Note) -> Any:
    return apps.Starlette(routes=apps.starlette_routes(apps.SUB, "/sub", note))


def sub_quart(note: apps.Note) -> Any:
    return apps.quart_app(note, apps.SUB, "/sub")


async def blacksheep_over(note: apps.Note, sub: Any) -> Any:
    return around(await apps.blacksheep_app(note, sub=sub))


async def blacksheep_below(note: apps.Note) -> Any:
    return await apps.blacksheep_app(note, apps.SUB, "/sub")


async def starlette_over_blacksheep(note: apps.Note) -> Any:
    return around(apps.starlette_app(note, await blacksheep_below(note)))


async def blacksheep_around(note: apps.Note) -> Any:
    return around(await apps.blacksheep_app(note))


CASES: dict[str, Callable[[apps.Note], Any]] = {
    "starlette around": lambda note: around(apps.starlette_app(note)),
    "starlette inside": lambda note: add(apps.starlette_app(note)),
    "starlette below": lambda note: apps.starlette_app(note, wrap=below),
    "fastapi around": lambda note: around(apps.fastapi_app(note)),
    "fastapi inside": lambda note: add(apps.fastapi_app(note)),
    "fastapi of a root around": lambda note: around(apps.fastapi_app(note, "/api")),
    "fastapi of a root inside": lambda note: add(apps.fastapi_app(note, "/api")),
    "fastapi of a root below": lambda note: around(apps.fastapi_app(note, "", "/api")),
    "litestar around": lambda note: around(apps.litestar_app(note)),
    "litestar inside": litestar_inside,
    "litestar over starlette, around": lambda note: around(apps.litestar_app(note, sub_starlette(note))),
    "litestar over starlette, inside": lambda note: litestar_inside(note, sub_starlette(note)),
    "litestar over starlette, below": lambda note: apps.litestar_app(note, below(sub_starlette(note))),
    "litestar over quart, around": lambda note: around(apps.litestar_app(note, sub_quart(note))),
    "litestar over quart, inside": lambda note: litestar_inside(note, sub_quart(note)),
    "litestar over quart, below": lambda note: apps.litestar_app(note, below(sub_quart(note))),
    "starlette over litestar": lambda note: around(
        apps.starlette_app(note, apps.litestar_app(lambda template, scope: note("/sub" + template, scope)))
    ),
    "starlette over quart": lambda note: around(apps.starlette_app(note, sub_quart(note))),
    "starlette over quart, below": lambda note: apps.starlette_app(note, below(sub_quart(note))),
    "starlette over blacksheep": starlette_over_blacksheep,
    "quart around": lambda note: around(apps.quart_app(note)),
    "quart inside": quart_inside,
    "blacksheep around": blacksheep_around,
    "blacksheep over starlette": lambda note: blacksheep_over(note, sub_starlette(note)),
    "blacksheep over quart": lambda note: blacksheep_over(note, sub_quart(note)),
    "django around": lambda note: around(apps.django_app(note)),
    "falcon around": lambda note: around(apps.falcon_app(note)),
    "plain around": lambda note: around(apps.plain_app(note)),
}
ROOTS = ("", "/api", "/v1", "/sub", "/api/")


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    """How many targets each server is sent, for each root path."""
    return int(request.config.getoption("--targets"))


async def run(app: Any, scope: dict[str, Any]) -> None:
    """Send a request to an application that may fail in any way at it."""

    asked = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if asked.is_set():
            await asyncio.Future()
        asked.set()
        if scope["type"] == "websocket":
            return {"type": "websocket.connect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        return

    try:
        await app(scope, receive, send)
    except Exception as error:
        # A framework may choke on a target; the limiter may not.
        frames = inspect.trace()
        assert "/ratelimit/" not in frames[-1].filename, error


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
async def test_whatever_reached_a_handler_was_counted_by_its_limit(case: str, count: int) -> None:
    reached: Counter[str] = Counter()
    missed: list[tuple[Any, ...]] = []
    sent: tuple[Any, ...] = ()

    def note(template: str, scope: Any) -> None:
        exchange = scope.get("ratelimit")
        names = set() if exchange is None else {verdict.limit for verdict in exchange.decision.verdicts}
        reached[template] += 1
        shown = template.removeprefix("/sub") if case.endswith("below") and "of a root" not in case else template
        if case.endswith("below") and "of a root" not in case and shown == template:
            return  # a route beside the mount: no limiter stands there
        if shown not in names:
            missed.append((template, *sent, sorted(names)))

    made = CASES[case](note)
    app = await made if inspect.isawaitable(made) else made
    for server, serve in SERVERS.items():
        for root in ROOTS:
            for number, target in enumerate(targets((case, server, root), count, [root] if root else ["/api"])):
                paths = serve(target, root)
                if paths is None:
                    continue
                websocket = number % 7 == 3 and case.startswith(("starlette around", "starlette inside", "fastapi"))
                method = METHODS[number % len(METHODS)]
                sent = (server, root, target, method, websocket)
                await run(app, scope_of(paths, method, is_websocket=websocket))
    assert not missed, f"{len(missed)} of {reached.total()}: {missed[:12]}"
    assert reached.total() > 20
