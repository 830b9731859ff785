"""A client that spells its requests in other ways, and forges what proxies write: in bytes, over sockets.

Each way is tried more often than the limit allows. The application counts what it serves, as a lenient one
reads it. So a way that is served more than the limit is a door that is open.
"""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

LIMIT, TRIES = 3, 8
PATH = "/v1/chat"
KEY = b"%KEY%"
POLICY = f"""\
version = 1
proxies = ["127.0.0.1"]
[identities]
account = {{ from = "header:x-api-key", missing = "skip" }}
[[limit]]
name = "chats"
match = "* {PATH}"
per = "account"
rate = "{LIMIT}/year"
algorithm = "fixed-window"
[[limit]]
name = "handshakes"
match = "GET /live"
unit = "handshakes"
per = "ip"
rate = "{LIMIT}/year"
algorithm = "fixed-window"
[[limit]]
name = "addresses"
match = "GET /by-address"
per = "ip"
rate = "{LIMIT}/year"
algorithm = "fixed-window"
"""

TOKENS = """\
[[limit]]
name = "tokens"
match = "* /v1/chat"
per = "account"
unit = "output_tokens"
rate = "1000000/day"
cost = 1
"""
"""What the example for Envoy counts beside requests."""


def line(target: bytes, *fields: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    """Return a request, its account's key left open."""
    head = [b"%b %b HTTP/%b" % (method, target, version), b"Host: x", b"Connection: close", *fields]
    if not any(field.lower().startswith(b"x-api-key") for field in fields):
        head.append(b"X-Api-Key: " + KEY)
    return b"\r\n".join([*head, b"", b""])


CHAT = PATH.encode()
UPGRADE = (
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
)
FORGED_TARGETS = (
    b"X-Original-URI",
    b"X-Forwarded-Uri",
    b"X_Original_URI",
    b"X_Forwarded_Uri",
    b"X-Rewrite-URL",
)
FORGED_METHODS = (b"X-Original-Method", b"X-Forwarded-Method", b"X_Original_Method", b"X_Forwarded_Method")
TARGETS: Mapping[str, bytes] = {
    "plain": CHAT,
    "escaped letter": b"/v1/%63hat",
    "escaped letters": b"/%76%31/%63%68%61%74",
    "absolute": b"http://x/v1/chat",
    "absolute, escaped": b"http://x/v1/%63hat",
    "absolute, of another host": b"http://free/v1/chat",
    "absolute, with a query": b"http://x/v1/chat?/free",
    "absolute, in capitals": b"HTTP://X/v1/chat",
    "fragment": b"/v1/chat#x",
    "fragment of a free path": b"/v1/chat#/../free",
    "fragment behind a query": b"/v1/chat?x#/free",
    "query": b"/v1/chat?x=/free",
    "empty query": b"/v1/chat?",
    "long query": b"/v1/chat?" + b"q" * 7_000,
    "longer query": b"/v1/chat?" + b"q" * 17_000,
    "longest query": b"/v1/chat?" + b"q" * 55_000,
    "query beyond ASCII": b"/v1/chat?\xff\xfe",
    "query with a semicolon": b"/v1/chat?;x",
    "slash before": b"//v1/chat",
    "slash between": b"/v1//chat",
    "slash behind": b"/v1/chat/",
    "slashes behind": b"/v1/chat//",
    "dot": b"/v1/./chat",
    "dots": b"/v1/x/../chat",
    "dots, escaped": b"/v1/x/%2e%2e/chat",
    "dots from a free path": b"/free/../v1/chat",
    "slash, escaped": b"/v1%2fchat",
    "slash, escaped twice": b"/v1%252fchat",
    "backslash": b"/v1\\chat",
    "backslash, escaped": b"/v1%5cchat",
    "parameter": b"/v1/chat;x=1",
    "parameter between": b"/v1;x/chat",
    "capitals": b"/V1/CHAT",
    "null": b"/v1/chat%00",
    "line feed": b"/v1/chat%0a",
    "blank": b"/v1/chat%20",
    "question mark, escaped": b"/v1/chat%3f/free",
    "beyond ASCII": b"/v1/chat\xff",
    "colon": b"/v1/chat:80",
}
WAYS: Mapping[str, bytes] = {
    **{f"target, {name}": line(target) for name, target in TARGETS.items()},
    **{f"{name.decode()} forged": line(CHAT, name + b": /free") for name in FORGED_TARGETS},
    **{f"{name.decode()} forged": line(CHAT, name + b": OPTIONS") for name in FORGED_METHODS},
    **{
        f"{target.decode()} and {method.decode()} forged": line(CHAT, target + b": /free", method + b": PUT")
        for target, method in zip(FORGED_TARGETS, FORGED_METHODS, strict=False)
    },
    **{
        f"{name.decode()} forged twice": line(CHAT, name + b": /free", name + b": /free")
        for name in FORGED_TARGETS
    },
    **{
        f"{name.decode()} empty": line(CHAT, name + b":")
        for name in (*FORGED_TARGETS[:2], *FORGED_METHODS[:2])
    },
    **{
        f"{name.decode()} taken out by Connection": line(CHAT, b"Connection: close, " + name)
        for name in (*FORGED_TARGETS, *FORGED_METHODS, b"X-Api-Key", b"X-Forwarded-For", b"X-Request-Id")
    },
    "method overridden": line(CHAT, b"X-HTTP-Method-Override: OPTIONS"),
    "POST": line(CHAT, b"Content-Length: 1", method=b"POST") + b"x",
    "method in small letters": line(CHAT, method=b"get"),
    "unknown method": line(CHAT, method=b"CHAT"),
    "HEAD": line(CHAT, method=b"HEAD"),
    "HTTP/1.0": line(CHAT, version=b"1.0"),
    "upgrade": line(CHAT, *UPGRADE, b"Connection: upgrade"),
    "upgrade of a POST": line(CHAT, *UPGRADE, b"Connection: upgrade", b"Content-Length: 0", method=b"POST"),
    "upgrade without Connection": line(CHAT, *UPGRADE),
    "upgrade to something else": line(CHAT, b"Upgrade: h2c", b"Connection: upgrade"),
    "key with a byte beyond ASCII": line(CHAT, b"X-Api-Key: " + KEY + b"\xff"),
    "key with a byte of UTF-8's": line(CHAT, b"X-Api-Key: " + KEY + b"\xc2\xa0"),
    "key with a blank of Unicode's before": line(CHAT, b"X-Api-Key: \xc2\x85" + KEY),
    "key with blanks": line(CHAT, b"X-Api-Key:  \t " + KEY + b" \t"),
    "key of 5,000 characters": line(CHAT, b"X-Api-Key: " + KEY + b"k" * 5_000),
    "key twice": line(CHAT, b"X-Api-Key: other", b"X-Api-Key: " + KEY),
    "key twice, reversed": line(CHAT, b"X-Api-Key: " + KEY, b"X-Api-Key: other"),
    "key in a list": line(CHAT, b"X-Api-Key: other, " + KEY),
    "name of the request": line(CHAT, b"X-Request-Id: mine"),
    "names of the request": line(CHAT, b"X-Request-Id: mine", b"X-Request-Id: yours"),
    "original path of Envoy's": line(CHAT, b"X-Envoy-Original-Path: /free"),
    "host": line(CHAT, b"Host: free"),
}


class Lenient(BaseHTTPRequestHandler):
    """An application that serves its route by every spelling that some framework takes, and counts it."""

    protocol_version = "HTTP/1.1"

    def handle_one(self) -> None:
        target = re.split("[?#]", self.path, maxsplit=1)[0]
        target = re.sub("^[a-z]+://[^/]*", "", target, flags=re.IGNORECASE)
        for _ in range(2):
            target = unquote(target).replace("\\", "/")
        parts: list[str] = []
        for part in re.sub("[;?\0\n ][^/]*", "", target).lower().strip("/ ").split("/"):
            if part == ".." and parts:
                parts.pop()
            elif part not in ("", ".", ".."):
                parts.append(part.encode("latin-1", "replace").decode("ascii", "ignore"))
        keys = re.findall(r"acct-[0-9]+", " ".join(self.headers.get_all("x-api-key", [])))
        served: Counter[tuple[str, str]] = self.server.served  # type: ignore[attr-defined]
        if self.headers.get("upgrade", "").lower() == "websocket" and parts == ["live"]:
            served["live", ""] += 1
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.close_connection = True
            return
        served["/".join(parts), keys[-1] if keys else ""] += 1
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):
            return self.handle_one
        raise AttributeError(name)


@contextmanager
def lenient() -> Iterator[tuple[int, Counter[tuple[str, str]]]]:
    """Serve the application; yield its port, and how often it served which path to which account."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lenient)
    served: Counter[tuple[str, str]] = Counter()
    server.served = served  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def silent() -> Iterator[int]:
    """Take connections and answer none; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def send(port: int, request: bytes, address: str = "127.0.0.1", timeout_s: float = 10) -> int:
    """Send a request in bytes, from an address of this machine; return the status, 0 without any."""
    with socket.create_connection(("127.0.0.1", port), timeout_s, (address, 0)) as connection:
        try:
            connection.sendall(request)
            answer = b""
            while b"\r\n" not in answer and (more := connection.recv(4096)):
                answer += more
        except OSError:
            return 0
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})", answer)
    return int(found[1]) if found else 0


def open_ways(port: int, served: Counter[tuple[str, str]]) -> dict[str, int]:
    """Try every way; return those that were served more than the limit, with how often.

    Each is a client and an account of its own.
    """
    found = {}
    for number, (name, request) in enumerate(WAYS.items()):
        key = b"acct-%d" % number
        address = f"127.1.{number // 200}.{1 + number % 200}"
        statuses = [send(port, request.replace(KEY, key), address) for _ in range(TRIES)]
        times = served["v1/chat", key.decode()]
        if times > LIMIT or (name == "target, plain" and times != LIMIT):
            found[name] = times
        assert not {500, 502, 504}.intersection(statuses), (name, statuses)
    return found


def handshakes(port: int, fields: tuple[bytes, ...] = ()) -> Counter[int]:
    """Open WebSockets from one address; return the statuses."""
    request = line(b"/live", *UPGRADE, *fields).replace(b"Connection: close", b"Connection: Upgrade")
    return Counter(send(port, request, "127.2.0.1") for _ in range(TRIES))


FORGED_ADDRESSES = (b"X-Forwarded-For", b"Forwarded", b"X-Real-IP", b"X_Forwarded_For", b"True-Client-IP")


def forged_addresses(port: int) -> dict[str, int]:
    """Ask from one address, with another one in a field each time; return how often each field was served."""
    found = {}
    for number, name in enumerate(FORGED_ADDRESSES):
        prefix = b"for=" if name == b"Forwarded" else b""
        requests = [
            line(b"/by-address", b"%b: %b198.51.100.%d" % (name, prefix, at)).replace(KEY, b"acct-0")
            for at in range(TRIES)
        ]
        statuses = [send(port, request, f"127.3.0.{1 + number}") for request in requests]
        found[name.decode()] = statuses.count(200)
    return found
