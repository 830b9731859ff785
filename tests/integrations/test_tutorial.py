"""The layouts of FastAPI's own tutorial: each counts callers apart, or the application does not start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID, uuid5

import pytest
from fastapi import APIRouter, Cookie, Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPBearer, OAuth2PasswordBearer
from starlette.middleware.base import BaseHTTPMiddleware

from ratelimit import UsageError
from ratelimit.integrations.fastapi import limit, limits
from tests.asgi.driver import Client, lifespan
from tests.asgi.driver import limit as row
from tests.integrations.test_fastapi import mounted

scheme = OAuth2PasswordBearer("token")
IDENTITIES = 'user = { from = "state:user" }'
BY_USER = row("searches", "user", "2/minute", match=[])


@dataclass
class User:
    """What the tutorial's dependency returns."""

    name: str


async def current_user(token: Annotated[str, Depends(scheme)]) -> User:
    if not token.startswith("fake-"):
        raise HTTPException(401)
    return User(token.removeprefix("fake-"))


def user_name(user: Annotated[User, Depends(current_user)]) -> str:
    return user.name


class Names:
    """A dependency that is a class's object."""

    def __call__(self, user: Annotated[User, Depends(current_user)]) -> UUID:
        return uuid5(UUID(int=0), user.name)


def key(name: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer fake-{name}".encode())]


async def remember(request: Request, user: Annotated[User, Depends(current_user)]) -> None:
    request.state.user = user.name


Searching = Annotated[Any, Depends(limit("2/minute", per=Depends(user_name)))]


def in_route(app: FastAPI) -> None:
    @app.get("/s", dependencies=[Depends(limit("2/minute", per=Depends(user_name)))])
    async def search(user: Annotated[User, Depends(current_user)]) -> str:
        return user.name


def by_function(app: FastAPI) -> None:
    @app.get("/s", dependencies=[Depends(limit("2/minute", per=user_name))])
    async def search(user: Annotated[User, Depends(current_user)]) -> str:
        return user.name


def in_router(app: FastAPI) -> None:
    router = APIRouter(dependencies=[Depends(limit("2/minute", per=Depends(user_name)))])

    @router.get("/s")
    async def search() -> str:
        return "found"

    app.include_router(router)


def in_parameter(app: FastAPI) -> None:
    @app.get("/s")
    async def search(asked: Searching, user: Annotated[User, Depends(current_user)]) -> str:
        return user.name


def decorated(app: FastAPI) -> None:
    @app.get("/s")
    @limit("2/minute", per=Depends(user_name))
    async def search(user: Annotated[User, Depends(current_user)]) -> str:
        return user.name


def decorated_with_request(app: FastAPI) -> None:
    @app.get("/s")
    @limit("2/minute", per=[Depends(user_name), "ip"])
    def search(request: Request) -> str:
        return request.url.path


def by_object(app: FastAPI) -> None:
    @app.get("/s", dependencies=[Depends(limit("2/minute", per=Names()))])
    async def search() -> str:
        return "found"


def set_before(app: FastAPI) -> None:
    @app.get("/s", dependencies=[Depends(remember), Depends(limits("searches"))])
    async def search() -> str:
        return "found"


def set_by_middleware(app: FastAPI) -> None:
    async def authenticate(request: Request, call_next: Any) -> Any:
        request.state.user = request.headers["authorization"]
        return await call_next(request)

    @app.get("/s", dependencies=[Depends(limits("searches"))])
    async def search() -> str:
        return "found"

    app.add_middleware(BaseHTTPMiddleware, dispatch=authenticate)


RIGHT = [
    in_route,
    by_function,
    in_router,
    in_parameter,
    decorated,
    decorated_with_request,
    by_object,
    set_before,
    set_by_middleware,
]


@pytest.mark.parametrize("layout", RIGHT, ids=lambda each: each.__name__)
async def test_strangers_behind_one_address_have_budgets_of_their_own(layout: Any) -> None:
    app = FastAPI()
    layout(app)
    client = mounted(app, BY_USER, identities=IDENTITIES).client
    await lifespan(app)
    assert await client.statuses(3, "GET", "/s", key("ann")) == [200, 200, 429]
    assert await client.statuses(3, "GET", "/s", key("bob")) == [200, 200, 429]


def first_in_route(app: FastAPI) -> None:
    @app.get("/s", dependencies=[Depends(limits("searches"))])
    async def search(user: Annotated[User, Depends(current_user)]) -> str:
        return user.name


def first_in_router(app: FastAPI) -> None:
    router = APIRouter(prefix="/v1", dependencies=[Depends(limits("searches"))])

    @router.get("/s", dependencies=[Depends(remember)])
    async def search() -> str:
        return "found"

    app.include_router(router)


def first_in_application(app: FastAPI) -> None:
    app.router.dependencies.append(Depends(limit("2/minute", per="user")))

    @app.get("/s", dependencies=[Depends(remember)])
    async def search() -> str:
        return "found"


def behind_a_scheme(app: FastAPI) -> None:
    @app.get("/s", dependencies=[Depends(HTTPBearer()), Depends(limits("searches"))])
    async def search() -> str:
        return "found"


def decorated_alone(app: FastAPI) -> None:
    @app.get("/s")
    @limits("searches")
    async def search() -> str:
        return "found"


def mounted_below(app: FastAPI) -> None:
    below = FastAPI()
    first_in_route(below)
    app.mount("/below", below)


WRONG = [
    first_in_route,
    first_in_router,
    first_in_application,
    behind_a_scheme,
    decorated_alone,
    mounted_below,
]


@pytest.mark.parametrize("layout", WRONG, ids=lambda each: each.__name__)
async def test_fault_94_limit_that_asks_before_its_user_is_known_does_not_start(layout: Any) -> None:
    """Hazard: ann's requests refuse bob, and nobody says so."""
    app = FastAPI()
    layout(app)
    mounted(app, BY_USER, identities=IDENTITIES)
    sent = await lifespan(app)
    assert [each["type"] for each in sent] == ["lifespan.startup.failed"]
    assert "counts by state:user, and nothing sets that before the limit asks" in sent[0]["message"]
    assert "per=Depends(…)" in sent[0]["message"]


async def test_without_a_lifespan_the_first_request_says_so() -> None:
    app = FastAPI()
    first_in_route(app)
    client = mounted(app, BY_USER, identities=IDENTITIES).client
    for _ in range(2):
        with pytest.raises(UsageError, match="counts by state:user") as raised:
            await client("GET", "/s", key("ann"))
        assert raised.value.code == "state-unset"


@pytest.mark.parametrize("rounds", [1, 2])
async def test_state_that_a_dependency_leaves_unset_is_an_error_and_no_common_budget(rounds: int) -> None:
    async def perhaps(request: Request, sid: Annotated[str, Cookie()] = "") -> None:
        if sid:
            request.state.user = sid

    app = FastAPI()

    @app.get("/s", dependencies=[Depends(perhaps), Depends(limits("searches"))])
    async def search() -> str:
        return "found"

    client = mounted(app, BY_USER, identities=IDENTITIES).client
    for _ in range(rounds):  # the second is decided in compiled code
        assert (await client("GET", "/s", [(b"cookie", b"sid=ann")])).status == 200
    with pytest.raises(UsageError, match="state:user"):
        await client("GET", "/s")


async def test_policy_that_says_what_stands_in_for_an_unset_state_has_no_error() -> None:
    app = FastAPI()
    first_in_route(app)
    client = mounted(app, BY_USER, identities='user = { from = "state:user", missing = "client" }').client
    await lifespan(app)
    assert await client.statuses(3, "GET", "/s", key("ann")) == [200, 200, 429]


async def test_dependency_that_returns_none_counts_by_address() -> None:
    def nobody() -> str | None:
        return None

    app = FastAPI()

    @app.get("/s", dependencies=[Depends(limit("1/minute", per=Depends(nobody)))])
    async def search() -> str:
        return "found"

    client = mounted(app).client
    assert await client.statuses(2, "GET", "/s") == [200, 429]
    assert (await client("GET", "/s", client=("192.0.2.9", 1))).status == 200


async def test_dependency_runs_once_and_its_refusal_charges_nothing() -> None:
    calls: list[str] = []

    def caller(request: Request) -> str:
        calls.append(request.headers["authorization"])
        if len(calls) == 1:
            raise HTTPException(401)
        return calls[-1]

    def user(found: str = Depends(caller)) -> str:
        return found

    app = FastAPI()

    @app.get("/s", dependencies=[Depends(limit("1/minute", per=Depends(user)))])
    async def search(found: str = Depends(user)) -> str:
        return found

    client = mounted(app).client
    assert await client.statuses(3, "GET", "/s", key("ann")) == [401, 200, 429]
    assert len(calls) == 3


def test_dependency_whose_value_tells_nobody_apart_is_told_when_the_code_is_read() -> None:
    with pytest.raises(UsageError, match=r"`current_user` in `per` returns User, .*per=Depends\(user_id\)"):
        limit("2/minute", per=Depends(current_user))

    def is_member() -> bool:
        return True

    with pytest.raises(UsageError, match="returns bool"):
        limit("2/minute", per=is_member)


async def test_dependency_that_does_not_say_what_it_returns_is_told_by_its_first_value() -> None:
    def user():  # type: ignore[no-untyped-def]
        return User("ann")

    app = FastAPI()

    @app.get("/s", dependencies=[Depends(limit("2/minute", per=Depends(user)))])
    async def search() -> None: ...

    with pytest.raises(UsageError, match="`user` in `per` returns User"):
        await mounted(app).client("GET", "/s")


def test_dependency_belongs_to_fastapi() -> None:
    from ratelimit.integrations.starlette import limit as plain

    with pytest.raises(UsageError, match=r"ratelimit\.integrations\.fastapi"):
        plain("2/minute", per=Depends(user_name))


async def test_wrong_identity_in_code_ends_the_start() -> None:
    app = FastAPI()

    @app.get("/s", dependencies=[Depends(limit("2/minute", per="acount"))])
    async def search() -> None: ...

    mounted(app)
    (failed,) = await lifespan(app)
    assert failed["type"] == "lifespan.startup.failed"
    assert "Did you mean `account`?" in failed["message"]


async def test_client_of_an_application_that_failed_to_start_is_not_served() -> None:
    app = FastAPI()
    first_in_route(app)
    client: Client = mounted(app, BY_USER, identities=IDENTITIES).client
    await lifespan(app)
    with pytest.raises(UsageError):
        await client("GET", "/s", key("ann"))
