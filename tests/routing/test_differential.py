"""Real routers, targets at random: what reached the handler of a limited route was counted by its limit."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from litestar.middleware import DefineMiddleware

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from tests.asgi.driver import limit, rules
from tests.routing import applications as apps
from tests.routing.asking import ask
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
    """The limiter in the mounted application, with a policy that has that application's own templates."""
    return RateLimitMiddleware(app, **options(*apps.SUB, *("/deep" + each for each in apps.SUB)))


def quart_inside(note: apps.Note) -> Any:
    app = apps.quart_app(note)
    app.asgi_app = RateLimitMiddleware(app.asgi_app, **options(*ROUTES))  # type: ignore[method-assign]
    return app


def litestar_inside(note: apps.Note, sub: Any = None) -> Any:
    return apps.litestar_app(note, sub, [DefineMiddleware(RateLimitMiddleware, **options(*ROUTES))])


def sub_starlette(note: apps.Note) -> Any:
    # Litestar puts a slash behind what it leaves of a path.
    with_slash = apps.starlette_routes(
        tuple(f"{each}/" for each in apps.SUB), "/sub", lambda template, scope: note(template[:-1], scope)
    )
    return apps.Starlette(routes=[*apps.starlette_routes(apps.SUB, "/sub", note), *with_slash])


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
    "starlette, around": lambda note: around(apps.starlette_app(note)),
    "starlette, inside": lambda note: add(apps.starlette_app(note)),
    "starlette, below": lambda note: apps.starlette_app(note, wrap=below),
    "fastapi, around": lambda note: around(apps.fastapi_app(note)),
    "fastapi, inside": lambda note: add(apps.fastapi_app(note)),
    "fastapi of a root, around": lambda note: around(apps.fastapi_app(note, "/api")),
    "fastapi of a root, inside": lambda note: add(apps.fastapi_app(note, "/api")),
    "fastapi over one of a root": lambda note: around(apps.fastapi_app(note, "", "/api")),
    "litestar, around": lambda note: around(apps.litestar_app(note)),
    "litestar, inside": litestar_inside,
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
    "quart, around": lambda note: around(apps.quart_app(note)),
    "quart, inside": quart_inside,
    "blacksheep, around": blacksheep_around,
    "blacksheep over starlette": lambda note: blacksheep_over(note, sub_starlette(note)),
    "blacksheep over quart": lambda note: blacksheep_over(note, sub_quart(note)),
    "django, around": lambda note: around(apps.django_app(note)),
    "falcon, around": lambda note: around(apps.falcon_app(note)),
    "plain, around": lambda note: around(apps.plain_app(note)),
}
ROOTS = ("", "/api", "/v1", "/sub", "/api/")


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    """How many targets each server is sent, for each root path."""
    return int(request.config.getoption("--targets"))


def is_below(case: str) -> bool:
    """Whether the limiter stands in the mounted application, and knows nothing of the mount."""
    return case.endswith(", below")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
async def test_whatever_reached_a_handler_was_counted_by_its_limit(case: str, count: int) -> None:
    reached: Counter[str] = Counter()
    missed: list[tuple[Any, ...]] = []
    sent: tuple[Any, ...] = ()

    def note(template: str, scope: Any) -> None:
        exchange = scope.get("ratelimit")
        names = set() if exchange is None else {verdict.limit for verdict in exchange.decision.verdicts}
        if is_below(case):
            if not template.startswith("/sub"):
                return
            template = template.removeprefix("/sub")
        reached[template] += 1
        if template not in names:
            missed.append((template, *sent, sorted(names)))

    made = CASES[case](note)
    app = await made if inspect.isawaitable(made) else made
    has_websockets = case.startswith(("starlette, around", "starlette, inside", "fastapi"))
    for (server, serve), root in product(SERVERS.items(), ROOTS):
        some = targets((case, server, root), count, [root] if root else ["/api"])
        for number, target in enumerate(some):
            paths = serve(target, root)
            if paths is None:
                continue
            is_websocket = has_websockets and number % 7 == 3
            method = METHODS[number % len(METHODS)]
            sent = (server, root, target, method, is_websocket)
            await ask(app, scope_of(paths, method, is_websocket=is_websocket))
    assert not missed, f"{len(missed)} of {reached.total()}: {missed[:12]}"
    assert reached.total() > 10
