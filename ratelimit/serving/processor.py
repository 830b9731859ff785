"""Envoy's external processor, `envoy.service.ext_proc.v3.ExternalProcessor`, over one limiter.

Envoy opens a stream for each request, and sends its head, the answer's head and body as they come. So here a
request has a begin, a first byte and an end, and limits that follow the load, slots and statuses count as
in a middleware. The stream is over when the request is, whoever ended it.

The first byte is the body's where Envoy sends bodies (`response_body_mode: STREAMED`), else the head.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple

import grpc

from ratelimit.asgi.door import Door
from ratelimit.decision import Decision
from ratelimit.http.fields import Pair
from ratelimit.identity.address import peer_host
from ratelimit.integrations.answer import raw_answer_of
from ratelimit.limiter import Limiter
from ratelimit.policy.routing.request_line import path_sent, read_method, read_target
from ratelimit.policy.routing.target import UNKNOWN_BACK_END

log = logging.getLogger("ratelimit")

MOST_STREAMS = 10_000
"""Requests of one process at one time; Envoy is told at once that there is no place for more."""
MOST_MESSAGE_BYTES = 64 * 2**20
_SERVICE, _METHOD = "envoy.service.ext_proc.v3.ExternalProcessor", "Process"
# The fields of ProcessingRequest; the answer to each is the field before it in ProcessingResponse.
_REQUEST_HEADERS, _RESPONSE_HEADERS, _RESPONSE_BODY = 2, 3, 5
_PARTS = range(2, 8)
_PROTOCOL, _IMMEDIATE = 11, 7
_STREAMED_BODY_MODE = 2
_OVERWRITE = 2
"""HeaderValueOption.HeaderAppendAction: OVERWRITE_IF_EXISTS_OR_ADD."""
_HANDSHAKES = frozenset({"GET", "CONNECT"})


class Head(NamedTuple):
    """The head of a request or an answer."""

    pseudo: dict[bytes, bytes]
    fields: list[Pair]
    is_whole: bool
    """True if nothing follows it."""


class Processor:
    """Answers `Process` in an event loop.

    Args:
        limiter: what decides.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._door = Door(limiter)
        self._note = limiter.runtime.note

    async def Process(self, messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Go with one request from its head to its end."""
        exchange = _Exchange()
        try:
            async for message in messages:
                for answer in await self._answers(exchange, message, context):
                    yield answer
                if exchange.decision is not None and not exchange.decision.allowed:
                    return
        except asyncio.CancelledError:
            raise  # the request is over
        except Exception as error:
            self._note("serve-fault", about=type(error).__name__)
            log.debug("a stream of Envoy failed", exc_info=True)
            await context.abort(grpc.StatusCode.INTERNAL, "the request cannot be decided")
        finally:
            exchange.end()

    async def _answers(self, exchange: _Exchange, message: bytes, context: Any) -> Sequence[bytes]:
        """Return what is answered to a message."""
        parts = dict(fields_in(message))
        if _PROTOCOL in parts:
            exchange.reads_body = bool(dict(fields_in(_bytes(parts[_PROTOCOL]))).get(_STREAMED_BODY_MODE))
        found = next(((number, _bytes(parts[number])) for number in _PARTS if number in parts), None)
        if found is None:
            return ()
        number, content = found
        if number == _REQUEST_HEADERS:
            decision = exchange.decision = await self._decide(head_in(content), context)
            if not decision.allowed:
                return (_refusal(*raw_answer_of(self._door, decision)),)
        elif exchange.decision is not None and number == _RESPONSE_HEADERS:
            exchange.begin_answer(head_in(content))
            _, pairs, _ = raw_answer_of(self._door, exchange.decision)
            return (_part(number - 1, _part(1, _part(2, _mutation(pairs)))),)
        elif exchange.decision is not None and number == _RESPONSE_BODY:
            body = dict(fields_in(content))
            exchange.body(is_empty=not body.get(1), is_last=bool(body.get(2)))
        return (_part(number - 1, b""),)

    async def _decide(self, head: Head, context: Any) -> Decision:
        fields = [*head.fields]
        if b":authority" in head.pseudo:
            fields.append((b"host", head.pseudo[b":authority"]))
        method = read_method(head.pseudo.get(b":method", b"GET"))
        return await self._limiter.adecide(
            method="GET" if method == "CONNECT" else method,
            path=read_target(path_sent(head.pseudo.get(b":path", b"/")), placement=UNKNOWN_BACK_END),
            client=peer_host(context.peer()),
            headers=fields,
            event="connect" if _is_handshake(method, fields) else "request",
        )


class _Exchange:
    """One request under way."""

    def __init__(self) -> None:
        self.decision: Decision | None = None
        self.reads_body = False
        """Whether Envoy sends the body of the answer."""
        self._status: int | None = None
        self._has_begun = False

    def begin_answer(self, head: Head) -> None:
        """Take the head of the answer."""
        text = head.pseudo.get(b":status", b"")
        status = int(text) if text.isdigit() and len(text) == 3 else 0
        if status < 200:
            return  # an early hint comes before the back end says anything
        self._status = min(status, 599)
        if head.is_whole or not self.reads_body:
            self._first_byte()

    def body(self, *, is_empty: bool, is_last: bool) -> None:
        """Take a part of the answer's body."""
        if is_last or not is_empty:
            self._first_byte()

    def _first_byte(self) -> None:
        if self.decision is not None and not self._has_begun:
            self._has_begun = True
            self.decision.first_byte(self._status)

    def end(self) -> None:
        """End the request. One without a first byte was given up by its client, and has no status."""
        if self.decision is not None and self.decision.allowed:
            self.decision.release(self._status if self._has_begun else None)


def _is_handshake(method: str, fields: Sequence[Pair]) -> bool:
    """Return whether the back end may take a request for a WebSocket's handshake."""
    return method in _HANDSHAKES and (
        method == "CONNECT"
        or any(
            name == b"sec-websocket-key" or (name == b"upgrade" and b"websocket" in value.lower())
            for name, value in fields
        )
    )


def head_in(content: bytes) -> Head:
    """Return the head in a message of headers."""
    pseudo, pairs, is_whole = {}, [], False
    for number, headers in fields_in(content):
        if number == 3:
            is_whole = bool(headers)
        elif number == 1:
            for _, header in fields_in(_bytes(headers)):
                known = dict(fields_in(_bytes(header)))
                name, value = _bytes(known.get(1, b"")).lower(), _bytes(known.get(3) or known.get(2, b""))
                if name.startswith(b":"):
                    pseudo[name] = value
                else:
                    pairs.append((name, value))
    return Head(pseudo, pairs, is_whole)


def fields_in(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a protobuf message: its number, and a number or bytes.

    Raises:
        ValueError: it is no such message.
    """
    at, size = 0, len(message)
    while at < size:
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        length, begin = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, size + 1), at)
        at = begin + length
        if at > size:
            raise ValueError("a field is longer than its message")
        yield key >> 3, message[begin:at]


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number has no end")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number in place of bytes")
    return value


def _number(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _part(number: int, content: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(content)) + content


def _mutation(pairs: Sequence[Pair]) -> bytes:
    overwrite = _number(3 << 3) + _number(_OVERWRITE)
    return b"".join(
        _part(1, _part(1, _part(1, name.lower()) + _part(3, value)) + overwrite) for name, value in pairs
    )


def _refusal(status: int, headers: Sequence[Pair], body: bytes) -> bytes:
    code = _part(1, _number(1 << 3) + _number(status))
    return _part(_IMMEDIATE, code + _part(2, _mutation(headers)) + _part(3, body))


async def serve_processor(limiter: Limiter, address: str) -> grpc.aio.Server:
    """Return a server that has started at an address; several processes may share a port.

    Raises:
        OSError: the address cannot be had.
    """
    options = [("grpc.max_receive_message_length", MOST_MESSAGE_BYTES)]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=MOST_STREAMS)
    method = grpc.stream_stream_rpc_method_handler(Processor(limiter).Process)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: method})])
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"{address} cannot be had") from error
    await server.start()
    log.info("Envoy's external processor is at %s:%d", address.rpartition(":")[0], port)
    return server
