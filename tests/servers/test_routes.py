"""Real servers hand over real targets: what reaches a limited route is counted by its limit."""

from __future__ import annotations

import re
import socket
from collections import Counter
from pathlib import Path

import pytest

from tests.routing import applications as apps
from tests.routing.targets import targets
from tests.servers.serving import serving

FRAMEWORKS = (
    "plain",
    "starlette",
    "fastapi",
    "fastapi-inside",
    "litestar",
    "litestar-inside",
    "quart",
    "blacksheep",
    "falcon",
    "django",
)
SERVERS = {
    "uvicorn-h11": ("uvicorn", ["--http", "h11", "--lifespan", "off"], "--root-path"),
    "uvicorn-httptools": ("uvicorn", ["--http", "httptools", "--lifespan", "off"], "--root-path"),
    "hypercorn": ("hypercorn", [], "--root-path"),
    "granian": ("granian", [], "--url-path-prefix"),
}
ALWAYS = (
    "http://x/v1/chat",
    "x:/v1/chat",
    "/x/api/v1/chat",
    "/api/v1/chat",
    "/V1/Chat",
    "//v1/chat",
    "/users/a%2Fb",
)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    routes = [
        *apps.TEMPLATES,
        *("/sub" + each for each in apps.SUB),
        *(apps.DEEP + each for each in apps.SUB),
    ]
    limits = "".join(
        f'[[limit]]\nname = "{route}"\nmatch = "GET {route}"\nper = "ip"\nrate = "1000000/second"\n'
        for route in routes
    )
    path = tmp_path / "policy.toml"
    path.write_text(f'version = 1\n[store]\nmemory = "private"\nkeys = 1024\n{limits}')
    return path


def answer_to(port: int, target: str, framework: str) -> bytes:
    """Return the head of the answer to a target that no client library would send."""
    head = f"GET {target} HTTP/1.1\r\nHost: a\r\nX-Framework: {framework}\r\nConnection: close\r\n\r\n"
    said = b""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(head.encode())
        try:
            while b"\r\n\r\n" not in said and (some := connection.recv(65_536)):
                said += some
        except ConnectionResetError:
            pass  # a server that does not answer a malformed target
    return said.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("root", ["", "/api"])
@pytest.mark.parametrize("server", SERVERS)
def test_whatever_a_server_hands_to_a_limited_route_is_counted(
    server: str, root: str, policy: Path, request: pytest.FixtureRequest
) -> None:
    name, options, root_option = SERVERS[server]
    count = int(request.config.getoption("--targets")) // 3
    reached: Counter[str] = Counter()
    missed: list[tuple[str, str, str]] = []
    roots = [root] if root else ["/api"]
    with serving(
        name,
        policy,
        workers=1,
        app="tests.servers.frameworks:app",
        options=[*options, *([root_option, root] if root else [])],
    ) as port:
        for framework in FRAMEWORKS:
            for target in (*ALWAYS, *targets((server, root, framework), count, roots)):
                said = answer_to(port, target, framework)
                for template, counted in re.findall(rb"(?i)x-reached: (\S+) (\w+)", said):
                    reached[framework] += 1
                    if counted != b"True":
                        missed.append((framework, target, template.decode()))
    assert not missed, f"{len(missed)} of {reached.total()}: {missed[:12]}"
    # Two of them route the root path that uvicorn puts in front as part of the path: they have no such route.
    assert set(reached) >= set(FRAMEWORKS) - {"plain", "falcon"}, reached
