"""One application in each framework: every route answers what the framework takes the caller for.

A route's name says how. `bearer`, `basic` and `oauth2` go by the Authorization header, `key` by an API
key's header, `cookie` by a cookie. The path's last segment has `int`, `uuid`, `float`, `text`. Answers are
text; any status but 200 means that there is no caller.
"""

# No `from __future__ import annotations`: frameworks evaluate annotations, and these name what is local.

import base64
import io
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
CONVERTED = {"int": int, "uuid": UUID, "float": float, "text": str}


def starlette_app() -> Application:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    def told(value: object) -> Response:
        return Response(status_code=401) if value in (None, "") else PlainTextResponse(repr(value))

    async def bearer(request: Any) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return told(token.strip() if scheme.lower() == "bearer" else None)

    async def basic(request: Any) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            return told(base64.b64decode(token).decode() if scheme.lower() == "basic" else None)
        except ValueError:
            return told(None)

    async def key(request: Any) -> Response:
        return told(request.headers.get("x-api-key"))

    async def cookie(request: Any) -> Response:
        return told(request.cookies.get("sid"))

    async def path(request: Any) -> Response:
        return told(request.path_params["id"])

    kinds = {name: "str" if name == "text" else name for name in CONVERTED}
    return Starlette(
        routes=[Route(f"/{one.__name__}", one) for one in (bearer, basic, key, cookie)]
        + [Route(f"/{name}/{{id:{kind}}}", path) for name, kind in kinds.items()]
    )


def fastapi_app() -> Application:
    from fastapi import Cookie, Depends, FastAPI, Header
    from fastapi.responses import PlainTextResponse
    from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPBasic, HTTPBearer, OAuth2PasswordBearer

    app = FastAPI(default_response_class=PlainTextResponse)
    kinds: dict[str, Any] = {
        "bearer": Annotated[Any, Depends(HTTPBearer())],
        "basic": Annotated[Any, Depends(HTTPBasic())],
        "oauth2": Annotated[Any, Depends(OAuth2PasswordBearer("token"))],
        "key": Annotated[Any, Depends(APIKeyHeader(name="x-api-key"))],
        "key_int": Annotated[int, Header(alias="x-api-key")],
        "cookie": Annotated[Any, Depends(APIKeyCookie(name="sid"))],
        "cookie_int": Annotated[int, Cookie(alias="sid")],
    }
    for name, kind in kinds.items():

        @app.get(f"/{name}")
        async def read(caller: kind) -> str:
            # Bearer credentials name the scheme as it was written; the caller is the token.
            return repr(getattr(caller, "credentials", caller))

    for name, kind in CONVERTED.items():

        @app.get(f"/{name}/{{id}}")
        async def path(id: kind) -> str:
            return repr(id)

    return app


def litestar_app() -> Application:
    from litestar import Litestar, Request, get
    from litestar.params import FromPath
    from litestar.response import Response

    def told(value: object) -> Response[str]:
        return Response(repr(value), status_code=401 if value in (None, "") else 200, media_type="text/plain")

    @get("/bearer")
    async def bearer(request: Request[Any, Any, Any]) -> Response[str]:
        # As its JWTAuth does: whatever the scheme is.
        return told(request.headers.get("authorization", "").partition(" ")[-1])

    @get("/key")
    async def key(request: Request[Any, Any, Any]) -> Response[str]:
        return told(request.headers.get("x-api-key"))

    @get("/cookie")
    async def cookie(request: Request[Any, Any, Any]) -> Response[str]:
        return told(request.cookies.get("sid"))

    routes = [bearer, key, cookie]
    for name, kind in CONVERTED.items():

        @get(f"/{name}/{{id:{'str' if name == 'text' else name}}}")
        async def path(id: FromPath[kind]) -> Response[str]:
            return told(id)

        routes.append(path)
    return Litestar(routes, openapi_config=None)


def quart_app() -> Application:
    from quart import Quart, Response, request

    app = Quart("tests.frameworks")

    def told(value: object) -> Response:
        return Response(repr(value), 401 if value in (None, "") else 200)

    @app.get("/bearer")
    async def bearer() -> Response:
        found = request.authorization
        return told(found.token if found is not None and found.type == "bearer" else None)

    @app.get("/basic")
    async def basic() -> Response:
        found = request.authorization
        return told((found.username, found.password) if found is not None and found.type == "basic" else None)

    @app.get("/key")
    async def key() -> Response:
        return told(request.headers.get("x-api-key"))

    @app.get("/cookie")
    async def cookie() -> Response:
        return told(request.cookies.get("sid"))

    async def path(id: object) -> Response:
        return told(id)

    for name in CONVERTED:
        kind = "string" if name == "text" else name
        app.add_url_rule(f"/{name}/<{kind}:id>", name, path, methods=["GET"])
    return app


def blacksheep_app() -> Application:
    from blacksheep import Application as BlackSheep
    from blacksheep import Request, Response, text

    app = BlackSheep()

    def told(value: object) -> Response:
        return text(repr(value), 401 if value in (None, "", b"") else 200)

    async def bearer(request: Request) -> Response:
        scheme, _, token = (request.get_first_header(b"authorization") or b"").partition(b" ")
        return told(token.strip() if scheme.lower() == b"bearer" else None)

    async def key(request: Request) -> Response:
        return told(request.get_first_header(b"x-api-key"))

    async def cookie(request: Request) -> Response:
        return told(request.cookies.get("sid"))

    for handler in (bearer, key, cookie):
        app.router.add_get(f"/{handler.__name__}", handler)
    for name, kind in CONVERTED.items():

        async def path(id: kind) -> Response:
            return told(id)

        app.router.add_get(f"/{name}/:id", path)
    return app


def django_app() -> Application:
    """Django's requests and URL patterns; its handler, which needs threads, is left out."""
    from django.conf import settings

    settings.configure(ALLOWED_HOSTS=["*"], USE_I18N=False)
    from django.core.handlers.asgi import ASGIRequest
    from django.urls import Resolver404, URLResolver, path
    from django.urls.resolvers import RegexPattern

    def view(request: object, id: object) -> None:
        """Never called."""

    kinds = {"int": "int", "uuid": "uuid", "text": "str"}
    patterns = [path(f"{name}/<{kind}:id>", view) for name, kind in kinds.items()]
    resolver = URLResolver(RegexPattern(r"^/"), patterns)

    def caller(request: ASGIRequest) -> object:
        kind = request.path.strip("/").partition("/")[0]
        if kind in kinds:
            try:
                return resolver.resolve(request.path).kwargs["id"]
            except Resolver404:
                return None
        if kind == "cookie":
            return request.COOKIES.get("sid")
        if kind == "key":
            return request.headers.get("x-api-key")
        # As Django REST framework reads a token: by any blanks.
        words = request.headers.get("authorization", "").split()
        return words[1] if len(words) == 2 and words[0].lower() == kind else None

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        found = caller(ASGIRequest(scope, io.BytesIO()))
        status = 401 if found in (None, "") else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": repr(found).encode()})

    return app


APPLICATIONS: dict[str, Callable[[], Application]] = {
    "starlette": starlette_app,
    "fastapi": fastapi_app,
    "litestar": litestar_app,
    "quart": quart_app,
    "blacksheep": blacksheep_app,
    "django": django_app,
}
