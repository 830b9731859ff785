"""Limits that follow the load behind WSGI: requests enter, answer and end as they do behind ASGI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.wsgi.test_middleware import Client

POLICY = """
version = 1
[store]
memory = "private"
[adaptive]
first_byte = "1s"
in_flight = [1, 2, 2]
"""
SECOND = 10**9


def streamed(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([b"", b"first", b"last"])


def load_of(client: Client) -> Any:
    return client.middleware.limiter.load


def counts(client: Client) -> tuple[int, int]:
    found: tuple[int, int] = load_of(client).flight.counts(client.clock.now_ns())
    return found


def test_request_enters_answers_and_ends():
    client = Client(POLICY, streamed)
    (status, _), answer = client.open()
    assert status == 200
    assert counts(client) == (1, 1)
    parts = iter(answer)
    assert next(parts) in (b"", b"first")
    while counts(client)[1]:
        next(parts)
    assert counts(client) == (1, 0)
    assert b"last" in b"".join(parts)
    answer.close()
    assert counts(client) == (0, 0)


def test_request_without_room_is_shed_and_charged_to_nothing():
    client = Client(POLICY, streamed)
    opened = [client.open()[1] for _ in range(2)]
    (status, headers), _ = client.open()
    assert status == 503
    assert "retry-after" in {name.lower() for name in headers}
    assert counts(client) == (2, 2)
    for each in opened:
        each.close()
    assert client.open()[0][0] == 200


def test_first_bytes_move_the_limit_and_a_hang_up_does_not():
    client = Client(POLICY, streamed)
    _, answer = client.open()
    answer.close()
    assert load_of(client)._admission.steering.answered(True) == []
    _, answer = client.open()
    client.clock.advance(0.5)
    b"".join(answer)
    (seen,) = load_of(client)._admission.steering.answered(True)
    assert seen[1] - seen[0] == SECOND // 2
    answer.close()


def test_an_application_that_raises_leaves_nothing_in_flight():
    def broken(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        raise RuntimeError("broken")

    client = Client(POLICY, broken)
    with pytest.raises(RuntimeError):
        client.open()
    assert counts(client) == (0, 0)
