"""Replies read from bytes: whole ones are read, parts are waited for, nonsense is told apart."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    InvalidResponse,
    MovedError,
    NoScriptError,
    ResponseError,
)

from ratelimit.stores.redis.transport.resp import MOST_DEPTH, read_reply

REPLIES: dict[bytes, Any] = {
    b"+OK\r\n": b"OK",
    b":-12\r\n": -12,
    b"$-1\r\n": None,
    b"$0\r\n\r\n": b"",
    b"$6\r\na\r\nb\r\n\r\n": b"a\r\nb\r\n",
    b"*-1\r\n": None,
    b"*0\r\n": [],
    b"*2\r\n:1\r\n*2\r\n$1\r\nx\r\n$-1\r\n": [1, [b"x", None]],
}


@pytest.mark.parametrize("text", REPLIES, ids=repr)
def test_reply_is_read_when_all_of_it_is_here(text: bytes) -> None:
    assert read_reply(b"..." + text + b"$5", 3) == (REPLIES[text], 3 + len(text))
    for size in range(len(text)):
        assert read_reply(text[:size]) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"-NOSCRIPT No matching script.\r\n", NoScriptError),
        (b"-MOVED 866 127.0.0.1:7001\r\n", MovedError),
        (b"-OOM command not allowed\r\n", ResponseError),
    ],
)
def test_refusal_is_an_answer_like_others(text: bytes, kind: type[Exception]) -> None:
    found = read_reply(b"*2\r\n" + text + b":1\r\n")
    assert found is not None
    assert isinstance(found[0][0], kind)
    assert found[0][1] == 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", BusyLoadingError),
        (b"-ERR max number of clients reached\r\n", ConnectionError),
    ],
)
def test_server_that_cannot_be_asked_is_a_failed_connection(text: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read_reply(text)


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n",
        b"nonsense\r\n",
        b"%1\r\n:1\r\n:2\r\n",
        b"$x\r\n",
        b":\r\n",
        b"*1.5\r\n",
        b"$3\r\nabcd\r\n",
        b"*1\r\n" * (MOST_DEPTH + 1) + b":1\r\n",
        b"+" + b"x" * 70_000,
    ],
    ids=lambda text: repr(text)[:20],
)
def test_nonsense_is_no_reply(text: bytes) -> None:
    with pytest.raises(InvalidResponse):
        read_reply(text)
