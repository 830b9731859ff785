"""The WSGI middleware from the client's side: what it says is what the ASGI middleware says."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.wsgi import RateLimitMiddleware
from tests.asgi.driver import OLDER_FIELDS, PEER, key, limit, mount, rules


def answer_ok(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


class Client:
    """Sends requests to a WSGI application that keeps to PEP 3333."""

    def __init__(self, toml: str, app: Any = answer_ok, **more: Any) -> None:
        self.clock = ManualClock()
        self.middleware = RateLimitMiddleware(
            app, Policy.from_toml(toml), clock=self.clock, reload_interval_s=0, **more
        )

    def environ(
        self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]], **more: Any
    ) -> dict[str, Any]:
        named = {f"HTTP_{k.decode().upper().replace('-', '_')}": v.decode() for k, v in headers}
        return {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "api.example",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": PEER,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            **named,
            **more,
        }

    def open(self, method: str = "GET", path: str = "/", headers: Any = (), **more: Any) -> Any:
        """Return status, headers and the response, which is not closed yet."""
        told: list[Any] = []

        def start(status: str, fields: Any, exc_info: Any = None) -> Any:
            told[:] = [int(status[:3]), dict(fields)]
            return lambda body: None

        response = self.middleware(self.environ(method, path, headers, **more), start)
        return told, response

    def __call__(self, *args: Any, **more: Any) -> tuple[int, dict[str, str], bytes]:
        told, response = self.open(*args, **more)
        body = b"".join(response)
        if hasattr(response, "close"):
            response.close()
        return told[0], told[1], body


POLICIES = {
    "one limit": rules(limit(rate="2/minute")),
    "two limits": rules(limit(rate="2/minute"), limit("daily", rate="100/day")),
    "older headers": rules(limit(rate="2/minute"), more=OLDER_FIELDS),
    "missing key": rules(
        limit(rate="2/minute"), identities='account = { from = "header:x-other", missing = "refuse" }'
    ),
    "by address": rules(limit(per="ip", rate="2/minute"), identities='ip = { from = "client" }'),
    "concealed": rules(
        limit(rate="2/minute"),
        limit("actor", "cluster", "50/minute"),
        more='[correlation]\nprincipal = "account"\n',
    ),
    "unlimited": rules(limit(match="/other")),
}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("origin", [False, True])
async def test_answers_are_those_of_the_asgi_middleware(name: str, origin: bool) -> None:
    headers = key("a") + ([(b"origin", b"https://else.example")] if origin else [])
    asgi, wsgi = mount(POLICIES[name]).client, Client(POLICIES[name])
    answered = set()
    for method in ("GET", "GET", "GET", "HEAD"):
        theirs = await asgi(method, "/", headers)
        status, fields, body = wsgi(method, "/", headers)
        mine = {name.lower(): value for name, value in fields.items()}
        assert (status, mine, body) == (theirs.status, theirs.headers, theirs.body)
        answered.add(status)
    # Some were let through, and some refused, unless the policy says one thing to all.
    assert len(answered) == (1 if name in ("unlimited", "missing key") else 2)


def test_middleware_keeps_to_the_interface_between_server_and_application() -> None:
    client = Client(rules(limit(rate="1/minute")), validator(answer_ok))
    outside = validator(client.middleware)
    for expected in ("200", "429"):
        told: list[str] = []
        environ = client.environ("GET", "/", key("a"))
        response = outside(environ, lambda status, fields, exc=None, told=told: told.append(status))
        list(response)
        response.close()
        assert told[0].startswith(expected)


# -- what a request holds ------------------------------------------------------------------------------

ONE_AT_A_TIME = rules('name = "at once"\nper = "account"\nconcurrent = 1\n')


def test_slot_is_free_when_the_server_closes_the_response() -> None:
    client = Client(ONE_AT_A_TIME)
    told, response = client.open(headers=key("a"))
    assert told[0] == 200
    assert client(headers=key("a"))[0] == 429
    list(response)
    assert client(headers=key("a"))[0] == 429
    response.close()
    response.close()
    assert client(headers=key("a"))[0] == 200


def raising(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise LookupError("the application's")


def raising_late(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"some"
    raise LookupError("the application's")


def raising_at_close(environ: dict[str, Any], start_response: Any) -> Any:
    class Response(list[bytes]):
        def close(self) -> None:
            raise LookupError("the application's")

    start_response("200 OK", [])
    return Response()


@pytest.mark.parametrize("app", [raising, raising_late, raising_at_close])
def test_slot_is_free_after_a_fault_of_the_application(app: Any) -> None:
    client = Client(ONE_AT_A_TIME, app)
    for _ in range(3):
        with pytest.raises(LookupError):
            serve(client)


def serve(client: Client) -> None:
    """Do what a server does: close what it was given, whatever happened."""
    told, response = client.open(headers=key("a"))
    assert told[:1] != [429]
    try:
        list(response)
    finally:
        response.close()


def test_real_cost_replaces_the_estimate() -> None:
    def works(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["ratelimit.exchange"].settle(tokens=30)
        return answer_ok(environ, start_response)

    client = Client(rules(limit(unit="tokens", rate="100/minute", cost=50)), works)
    assert [client(headers=key("a"))[1]["ratelimit"] for _ in range(2)] == [
        '"requests";r=70;t=18',
        '"requests";r=40;t=36',
    ]


# -- which caller asks, and for what -------------------------------------------------------------------


def statuses(client: Client, count: int, *args: Any, **more: Any) -> list[int]:
    return [client(*args, **more)[0] for _ in range(count)]


SPELLINGS = [
    {"path": "/v1/chat"},
    {"path": "/v1//chat"},
    {"path": "/chat", "SCRIPT_NAME": "/v1"},
    {"path": "/v1/x/../chat"},
    {"path": "/v1/chat", "RAW_URI": "/v1/%63hat?x=1"},
    {"path": "/v1/chat", "REQUEST_URI": "http://api.example/v1/chat"},
]


def test_path_has_one_budget_however_it_is_spelled() -> None:
    client = Client(rules(limit(match="/v1/chat", rate="5/minute")))
    given = [client("GET", headers=key("a"), **spelling)[0] for spelling in SPELLINGS]
    assert given == [200] * 5 + [429]


def test_path_beyond_ascii_is_read_as_the_application_reads_it() -> None:
    client = Client(rules(limit(match="/caf\u00e9", rate="1/minute")))
    path = "/caf\u00e9".encode().decode("latin-1")
    assert statuses(client, 2, "GET", path, headers=key("a")) == [200, 429]


def test_client_is_the_peer_unless_a_proxy_is_declared() -> None:
    by_ip = rules(limit(per="ip", rate="1/minute"), identities='ip = { from = "client" }')
    forged = [(b"x-forwarded-for", b"203.0.113.9")]
    assert [Client(by_ip)(headers=forged)[0] for _ in range(2)] == [200, 200]
    client = Client(by_ip)
    assert statuses(client, 1, headers=forged) + statuses(client, 1) == [200, 429]


def test_resolver_is_given_the_environment_and_its_fault_fails_no_request() -> None:
    toml = rules(limit(rate="1/minute"), identities='account = { from = "resolver:user" }')
    client = Client(toml, resolvers={"user": lambda environ: environ["REMOTE_USER"]})
    assert [client(REMOTE_USER=name)[0] for name in ("ada", "ada", "bob")] == [200, 429, 200]
    assert client()[0] == 200


def test_state_is_the_environment() -> None:
    client = Client(rules(limit(rate="1/minute"), identities='account = { from = "state:REMOTE_USER" }'))
    assert [client(REMOTE_USER=name)[0] for name in ("ada", "ada", "bob")] == [200, 429, 200]


def test_two_middlewares_of_one_policy_charge_once() -> None:
    limiter = Limiter(Policy.from_toml(rules(limit(rate="2/minute"))), clock=ManualClock())
    client = Client(rules(limit()))
    client.middleware = RateLimitMiddleware(
        RateLimitMiddleware(answer_ok, limiter=limiter), limiter=limiter, reload_interval_s=0
    )
    assert statuses(client, 3, headers=key("a")) == [200, 200, 429]


def test_a_request_that_waits_holds_its_thread_until_it_fits() -> None:
    policy = Policy.from_toml(rules(limit("searches", rate="2/second", burst=1, wait="5s")))
    waited: list[int] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        waited.append(environ["ratelimit.exchange"].decision.waited_ns)
        return answer_ok(environ, start_response)

    client = Client(rules(limit("never")))
    client.middleware = RateLimitMiddleware(app, policy, reload_interval_s=0)  # threads wait for real
    # One after another, until one finds no room: a pause of this machine makes room.
    while not any(waited) and len(waited) < 20:
        status, _, body = client(headers=key("a"))
        assert (status, body) == (200, b"ok")
    assert waited[0] == 0 < waited[-1]


def test_a_steep_rise_is_held_in_the_requests_thread() -> None:
    """Hazard: a rule about conduct holds requests behind one middleware, and not behind the other."""
    policy = Policy.from_toml(rules(limit("requests", rate="100/hour"), more='ramp = "9/hour"'))
    waited: list[int] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        waited.append(environ["ratelimit.exchange"].decision.waited_ns)
        return answer_ok(environ, start_response)

    client = Client(rules(limit("never")))
    client.middleware = RateLimitMiddleware(app, policy, reload_interval_s=0)  # threads wait for real
    for _ in range(11):
        assert client(headers=key("a"))[0] == 200
    assert waited[:10] == [0] * 10
    assert waited[10] > 50_000_000
