"""Envoy's service decides whatever a client wrote; an early end pays the estimate; errors are counted."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from unittest.mock import Mock

import grpc
import pytest
from envoy.service.ratelimit.v3 import rls_pb2
from prometheus_client import CollectorRegistry

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.serving import envoy
from ratelimit.serving.deciding import CallDecider, _Calls
from ratelimit.serving.descriptors import Facts
from ratelimit.serving.envoy import DirectService
from ratelimit.serving.reservations import Reservations
from ratelimit.telemetry.collector import RateLimitCollector
from tests.asgi.driver import limit, rules
from tests.serving.test_envoy import IDENTITIES, OK, OVER, WIRE, asking, call, limiter_of, served
from tests.serving.test_envoy import by as by  # a thread and an event loop
from tests.support.redis.patience import until
from tests.support.redis.port import free_port

Entries = list[tuple[bytes, bytes]]
LONG = b"k" * 17_000
WRITTEN: dict[str, Entries] = {
    "a long key": [(b"x-api-key", LONG)],
    "a long account": [(b"account", LONG)],
    "a byte that is no UTF-8": [(b"x-api-key", b"a\xff")],
    "an account that is no UTF-8": [(b"account", b"a\xff")],
    "text beyond ASCII": [(b"x-api-key", "a\u00a0".encode())],
    "an account beyond ASCII": [(b"account", "\u0085a".encode())],
    "a null": [(b"account", b"a\0")],
    "two keys": [(b"x-api-key", b"a"), (b"x-api-key", b"b")],
    "two accounts": [(b"account", b"a"), (b"account", b"b")],
}
"""What is malformed, and counts as the policy says."""
READ: dict[str, Entries] = {
    "a long query": [(b"path", b"/v1?" + LONG)],
    "a query that is no UTF-8": [(b"path", b"/v1?\xff")],
    "a path that is no UTF-8": [(b"path", b"/v1/\xff")],
    "a long path": [(b"path", b"/" + LONG)],
    "another header": [(b"x-other", b"\xff" + LONG)],
    "a hundred headers": [(b"x-%d" % at, b"a") for at in range(100)],
    "a large call": [(b"x-other", LONG * 400)],
    "two names of the request": [(b"request_id", b"1"), (b"request_id", b"2")],
    "a long name of the request": [(b"request_id", LONG)],
}
"""What changes nothing: the account is beside it."""


def field(tag: int, value: bytes) -> bytes:
    """Return a field with a length, as protobuf writes it."""
    size, made = len(value), bytearray([tag])
    while size >= 0x80:
        made.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*made, size]) + value


def message_of(entries: Entries) -> bytes:
    """Return a call of one descriptor in bytes, whatever they are."""
    texts = [
        field(0x0A, field(0x0A, key) + field(0x12, value))
        for key, value in [(b"remote_address", b"192.0.2.7"), *entries]
    ]
    return field(0x0A, b"edge") + field(0x12, b"".join(texts))


async def asked(channel: Any, entries: Entries) -> int:
    raw = channel.unary_unary("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit")
    code: int = rls_pb2.RateLimitResponse.FromString(await raw(message_of(entries))).overall_code
    return code


def identified(missing: str) -> str:
    return f'account = {{ from = "header:x-api-key", missing = "{missing}" }}\nip = {{ from = "client" }}'


@pytest.mark.parametrize("missing", ["client", "skip", "refuse"])
@pytest.mark.parametrize("written", WRITTEN)
async def test_hazard_64_what_is_malformed_is_decided(written: str, missing: str) -> None:
    """Hazard: it is answered INVALID_ARGUMENT, and Envoy lets the request pass."""
    async with served(rules(limit(rate="2/day"), identities=identified(missing))) as channel:
        codes = [await asked(channel, WRITTEN[written]) for _ in range(4)]
    assert codes == ([OVER] * 4 if missing == "refuse" else [OK, OK, OVER, OVER])


@pytest.mark.parametrize("written", READ)
async def test_hazard_64_what_else_a_client_wrote_hides_no_account(written: str) -> None:
    with limiter_of(rules(limit(rate="2/day"), identities=IDENTITIES)) as limiter:
        port = free_port()
        server = await envoy.serve_envoy(limiter, f"127.0.0.1:{port}")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            codes = [await asked(channel, [(b"account", b"a"), *READ[written]]) for _ in range(3)]
            assert await asked(channel, [(b"account", b"b"), *READ[written]]) == OK
        await server.stop(1)
    assert codes == [OK, OK, OVER]


async def test_hazard_64_malformed_values_have_no_budgets_of_their_own() -> None:
    async with served(rules(limit(rate="2/day"), identities=identified("skip"))) as channel:
        junk = (b"\xff%d", b"a\xc2\xa0%d", b"\0%d", LONG + b"%d")
        keys = (b"x-api-key", b"account")
        written = [(key, each % at) for key in keys for each in junk for at in range(3)]
        codes = [await asked(channel, [pair]) for pair in written]
        assert codes == [OK, OK] + [OVER] * (len(written) - 2)
        assert await asked(channel, [(b"x-api-key", b"a")]) == OK


@pytest.mark.parametrize("key", [b"path", b"method", b"remote_address"])
async def test_request_that_is_named_twice_is_refused(key: bytes) -> None:
    async with served(rules(limit(), identities=IDENTITIES)) as channel:
        assert await asked(channel, [(b"account", b"a"), (key, b"/one"), (key, b"/two")]) == OVER
        assert await asked(channel, [(b"account", b"a"), (b"path", b"/one"), (b"path", b"/one")]) == OK


async def test_handshake_falls_under_its_limits_as_well() -> None:
    toml = rules(limit(rate="9/day"), limit("opened", rate="1/day", unit="handshakes"), identities=IDENTITIES)
    async with served(toml) as channel:
        ask = asking(channel)
        for upgrade in (("upgrade", "h2c, WebSocket"), ("sec-websocket-key", "x")):
            account = ("account", upgrade[0])
            codes = [(await ask(call(account, upgrade))).overall_code for _ in range(2)]
            assert codes == [OK, OVER]
            assert (await ask(call(account, ("upgrade", "h2c")))).overall_code == OK


TOKENS = rules(
    limit(rate="100/day"),
    limit("tokens", rate="1000/day", unit="tokens", cost=100),
    identities=IDENTITIES,
)
ACCOUNT, REQUEST, COUNTED, DONE = ("account", "a"), ("request_id", "r"), ("unit", "tokens"), ("done", "1")


async def left(channel: Any, account: str = "a") -> int:
    """Return how many tokens are left: a call that asks for none takes none."""
    answer = await asking(channel)(call(("account", account), COUNTED, own=0))
    remaining: int = answer.statuses[0].limit_remaining
    return remaining


@pytest.mark.parametrize(
    ("begin", "end", "took", "remaining"),
    [
        ((), (), 150, 850),  # beyond the estimate, without a name
        ((), (), 30, 900),  # below it, and not known to be of this request
        ((), (), None, 900),
        ((REQUEST,), (REQUEST,), 150, 850),
        ((REQUEST,), (REQUEST,), 30, 970),
        ((REQUEST,), (REQUEST,), 0, 1000),
        ((REQUEST,), (REQUEST,), None, 900),  # without a number nothing is known
        ((REQUEST,), (("request_id", "s"),), 30, 900),
        ((REQUEST,), (), 30, 900),
        ((REQUEST, ("x-other", "\u00fc")), (REQUEST,), 30, 970),  # read by the slower reader
    ],
)
async def test_hazard_65_end_corrects_the_estimate_and_never_gives_back_what_is_not_known(
    begin: Any, end: Any, took: int | None, remaining: int
) -> None:
    policy = rules(limit("tokens", rate="1000/day", unit="tokens", cost=100), identities=IDENTITIES)
    async with served(policy) as channel:
        assert (await asking(channel)(call(ACCOUNT, *begin))).overall_code == OK
        assert await left(channel) == 900
        assert (await asking(channel)(call(ACCOUNT, *end, COUNTED, DONE, own=took))).overall_code == OK
        assert await left(channel) == remaining


async def test_end_gives_back_once_and_to_the_account_that_was_charged() -> None:
    policy = rules(limit("tokens", rate="1000/day", unit="tokens", cost=100), identities=IDENTITIES)
    async with served(policy) as channel:
        ask = asking(channel)
        for account in ("a", "b"):
            assert (await ask(call(("account", account), REQUEST))).overall_code == OK
        for _ in range(3):
            await ask(call(ACCOUNT, REQUEST, COUNTED, DONE, own=0))
        assert (await left(channel), await left(channel, "b")) == (1000, 900)


def test_memory_of_reservations_is_bounded() -> None:
    with limiter_of(TOKENS) as limiter:
        deciding = CallDecider(limiter)
        deciding.reservations = Reservations(3)
        of = {"client": "192.0.2.1", "identities": {"account": "a"}}
        for at in range(9):
            assert deciding.decide_now(Facts(request=str(at), **of)).allowed  # type: ignore[arg-type]
        assert len(deciding.reservations) == 3
        for at in range(9):
            end = Facts(request=str(at), is_done=True, costs={"tokens": 0}, **of)  # type: ignore[arg-type]
            deciding.decide_now(end)
        asked = limiter.peek(identities={"account": "a"}, costs={"tokens": 0})
        # What was forgotten keeps its estimate.
        assert {each.limit: each.remaining for each in asked.verdicts}["tokens"] == 400


def counted(limiter: Limiter, code: str) -> float:
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))
    found = registry.get_sample_value("ratelimit_diagnostics_total", {"code": code})
    assert found is not None
    return found


class Aborted(Exception):
    pass


class Aborting:
    """A call's context that remembers how calls ended."""

    def __init__(self) -> None:
        self.codes: list[grpc.StatusCode] = []

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.codes.append(code)
        raise Aborted

    def is_active(self) -> bool:
        return True


def test_hazard_64_each_error_is_counted_and_said_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """Hazard: Envoy passes on what it has no answer to, and the log says nothing."""
    clock = ManualClock()
    limiter = Limiter(Policy.from_toml(rules(limit(), identities=IDENTITIES)), clock=clock)
    service, context = DirectService(limiter), Aborting()
    wrong = call(ACCOUNT, ("unit", "gold\u001b")).SerializeToString()
    for after_s in (0, 1, 1, 600):
        clock.advance(after_s)
        with pytest.raises(Aborted):
            service.ShouldRateLimit(wrong, context)  # type: ignore[arg-type]
    assert context.codes == [grpc.StatusCode.INVALID_ARGUMENT] * 4
    assert counted(limiter, "serve-operator") == 4
    said = [each.getMessage() for each in caplog.records if "[serve-operator]" in each.getMessage()]
    assert len(said) == 2
    assert "gold" not in said[0]
    limiter.close()


def test_fault_of_ours_is_counted_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with limiter_of(rules(limit(), identities=IDENTITIES)) as limiter:
        fault = Mock(side_effect=KeyError("a client's own words"))
        monkeypatch.setattr(_Calls, "decide", fault)
        context = Aborting()
        with pytest.raises(Aborted):
            DirectService(limiter).ShouldRateLimit(WIRE, context)  # type: ignore[arg-type]
        assert context.codes == [grpc.StatusCode.INTERNAL]
        assert counted(limiter, "serve-fault") == 1
    assert "KeyError [serve-fault]" in caplog.text
    assert "words" not in caplog.text


async def test_hazard_64_calls_that_are_late_or_too_many_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: Envoy no longer waits, or is turned away, and the operator never hears of it."""
    monkeypatch.setattr(envoy, "MOST_WAITING", 3)
    go_on = threading.Event()
    with limiter_of(rules(limit(rate="9/day"), identities=IDENTITIES)) as limiter:
        decide = _Calls.decide

        def wait(calls: _Calls, **given: Any) -> Any:
            go_on.wait(60)
            return decide(calls, **given)

        monkeypatch.setattr(_Calls, "decide", wait)
        port = free_port()
        server = await envoy.serve_envoy(limiter, f"127.0.0.1:{port}")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask = asking(channel)

            async def code_of(timeout_s: float) -> grpc.StatusCode:
                try:
                    await ask(call(ACCOUNT), timeout=timeout_s)
                except grpc.aio.AioRpcError as error:
                    return error.code()
                return grpc.StatusCode.OK

            # One of them is in its turn, two wait, and the others find no place.
            codes = await asyncio.gather(*(code_of(3.0) for _ in range(5)))
            # The server's own clock has to see the same deadlines.
            await asyncio.to_thread(threading.Event().wait, 1)
            go_on.set()
            assert codes.count(grpc.StatusCode.DEADLINE_EXCEEDED) == 3
            assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 2
            # Until those that are late have left their places.
            await asyncio.to_thread(until, lambda: counted(limiter, "serve-late") == 3, "three late calls")
            assert await code_of(60) is grpc.StatusCode.OK
        await server.stop(5)
        assert counted(limiter, "serve-full") == 2
        assert counted(limiter, "serve-late") == 3
