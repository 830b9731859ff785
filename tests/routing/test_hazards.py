"""Ways past a limit, each of which once was one: three are admitted of five, however the path is written."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.routing import Mount

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from tests.asgi.driver import limit, rules
from tests.routing import applications as apps
from tests.routing.asking import ask
from tests.routing.serving import hypercorn, scope_of, uvicorn_h11

pytestmark = pytest.mark.filterwarnings("ignore")


class Trial:
    """An application with one limited route, and what of five requests reached it."""

    def __init__(self, route: str) -> None:
        self.route = route
        self.reached: list[str] = []

    def note(self, template: str, scope: Any) -> None:
        self.reached.append(template)

    def limited(self, app: Any, **routing: Any) -> RateLimitMiddleware:
        lines = "".join(f"{key} = {value!r}\n" for key, value in routing.items())
        text = rules(
            limit(per="ip", rate="3/day", match=self.route, algorithm="fixed-window"),
            identities="",
            more=f'{lines}[store]\nmemory = "private"\nkeys = 1024\n',
        )
        options: dict[str, Any] = {"clock": ManualClock(), "reload_interval_s": 0}
        return RateLimitMiddleware(app, Policy.from_toml(text), **options)

    async def admits_three_of(self, app: Any, paths: dict[str, Any] | None, **more: Any) -> None:
        assert paths is not None
        for _ in range(5):
            await ask(
                app, scope_of(paths, more.get("method", "GET"), is_websocket=more.get("websocket", False))
            )
        assert self.reached == [self.route] * 3


async def test_mount_of_litestar_puts_what_remains_of_the_path_into_the_scope() -> None:
    trial = Trial("/sub/v1/chat/")
    # Behind Litestar's router the scope has `/v1/chat/` left, and the policy has the whole route.
    below = trial.limited(apps.quart_app(trial.note, ("/v1/chat/",), "/sub"))
    await trial.admits_three_of(apps.litestar_app(trial.note, below), uvicorn_h11("/sub/v1/chat", ""))


async def test_root_path_that_litestar_has_cut_already_is_not_cut_again() -> None:
    trial = Trial("/v1/chat")
    app = apps.litestar_app(trial.note, middleware=[DefineMiddleware(trial.limited)])
    await trial.admits_three_of(app, uvicorn_h11("/v1/chat", "/v1"))


@pytest.mark.parametrize("target", ["/x/api/v1/chat", "/apiv1/chat", "/x/y/api//v1/chat/"])
async def test_litestar_cuts_a_root_path_wherever_it_stands(target: str) -> None:
    trial = Trial("/v1/chat")
    await trial.admits_three_of(trial.limited(apps.litestar_app(trial.note)), hypercorn(target, "/api"))


async def test_root_path_of_fastapi_is_in_no_scope_outside_of_it() -> None:
    trial = Trial("/v1/chat")
    app = trial.limited(apps.fastapi_app(trial.note, "/api"))
    await trial.admits_three_of(app, uvicorn_h11("/api/v1/chat", ""))


async def test_root_path_that_only_the_policy_knows() -> None:
    trial = Trial("/v1/chat")

    async def cutting(scope: Any, receive: Any, send: Any) -> None:
        await below({**scope, "path": scope["path"].removeprefix("/own")}, receive, send)

    below = apps.plain_app(trial.note)
    app = trial.limited(cutting, root_paths=["/own"])
    await trial.admits_three_of(app, uvicorn_h11("/own/v1/chat", ""))


@pytest.mark.parametrize(
    "target", ["http://x/v1/chat", "x:/v1/chat", "http://x/v1/chat;a", "%20/v1/chat", "v1/chat"]
)
async def test_quart_takes_a_target_that_is_a_url(target: str) -> None:
    trial = Trial("/v1/chat")
    await trial.admits_three_of(trial.limited(apps.quart_app(trial.note)), uvicorn_h11(target, ""))


async def test_quart_cuts_a_root_path_that_no_slash_follows() -> None:
    trial = Trial("/v1/chat")
    await trial.admits_three_of(trial.limited(apps.quart_app(trial.note)), hypercorn("/apiv1/chat", "/api"))


@pytest.mark.parametrize("target", ["/V1/Chat", "/v1/CHAT/"])
@pytest.mark.parametrize("routing", [{}, {"spellings": ["case"]}], ids=["both", "ignored"])
async def test_blacksheep_ignores_case(target: str, routing: dict[str, Any]) -> None:
    trial = Trial("/v1/chat")
    app = trial.limited(await apps.blacksheep_app(trial.note), **routing)
    await trial.admits_three_of(app, uvicorn_h11(target, ""))


async def test_encoded_slash_parts_no_segments_in_blacksheep() -> None:
    trial = Trial("/users/{id}")
    app = trial.limited(await apps.blacksheep_app(trial.note))
    await trial.admits_three_of(app, uvicorn_h11("/users/a%2Fb", ""))


async def test_star_of_blacksheep_needs_no_slash() -> None:
    trial = Trial("/files/*")
    app = trial.limited(await apps.blacksheep_app(trial.note))
    await trial.admits_three_of(app, uvicorn_h11("/filesa/b", ""))


@pytest.mark.parametrize("target", ["/pair//b", "/pair/a/"])
async def test_empty_segment_is_a_value_to_falcon(target: str) -> None:
    trial = Trial("/pair/{a}/{b}")
    await trial.admits_three_of(trial.limited(apps.falcon_app(trial.note)), uvicorn_h11(target, ""))


async def test_line_feed_makes_a_mount_of_starlette_hand_on_the_whole_path() -> None:
    trial = Trial("/sub/{a}/{b}/{c}/{d}")
    app = trial.limited(apps.starlette_app(trial.note))
    await trial.admits_three_of(app, uvicorn_h11("/sub/v1/x/y%0A", ""))


async def test_root_path_that_a_path_lacks_makes_a_mount_hand_on_the_whole_path() -> None:
    trial = Trial("/sub/{a}/{b}")
    app = trial.limited(apps.starlette_app(trial.note))
    await trial.admits_three_of(app, hypercorn("/sub/chat", "/api"))


@pytest.mark.parametrize("websocket", [False, True])
async def test_mounts_within_mounts_below_a_root_path(websocket: bool) -> None:
    trial = Trial("/sub/deep/v1/chat")
    app = trial.limited(apps.fastapi_app(trial.note))
    await trial.admits_three_of(app, uvicorn_h11("/sub/deep/v1/chat", "/api"), websocket=websocket)


async def test_limiter_in_a_mounted_application_matches_that_application_s_routes() -> None:
    trial = Trial("/v1/chat")
    sub = trial.limited(Starlette(routes=apps.starlette_routes(("/v1/chat",), "", trial.note)))
    app = Starlette(routes=[Mount("/outer", routes=[Mount("/{tenant}", app=sub)])])
    await trial.admits_three_of(app, uvicorn_h11("/outer/acme/v1/chat", "/api"))


@pytest.mark.parametrize("method", ["HEAD", "get", "Get"])
async def test_method_that_a_route_of_get_answers(method: str) -> None:
    trial = Trial("/v1/chat")
    make = apps.quart_app if method != "HEAD" else apps.starlette_app
    made = make(trial.note)
    app = trial.limited(await made if inspect.isawaitable(made) else made)
    await trial.admits_three_of(app, uvicorn_h11("/v1/chat", ""), method=method)


async def test_path_whose_readings_are_more_than_a_decision_carries_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reached: list[str] = []
    some = [limit(f"l{n}", per="ip", rate="9/day", match="/a/*" if n % 2 else "/b/*") for n in range(20)]
    text = rules(*some, identities="", more='[store]\nmemory = "private"\nkeys = 1024')
    app = RateLimitMiddleware(
        apps.plain_app(lambda template, scope: reached.append(template)),
        Policy.from_toml(text),
        clock=ManualClock(),
        reload_interval_s=0,
    )
    for _ in range(2):
        sent = await ask(app, scope_of({"path": "/a/../b", "raw_path": b"/a/../b", "root_path": ""}, "GET"))
        assert sent[0]["status"] == 429
    assert reached == []
    assert caplog.text.count("route-crowded") == 1
    plain = await ask(app, scope_of({"path": "/a/b", "raw_path": b"/a/b", "root_path": ""}, "GET"))
    assert plain[0]["status"] == 404
