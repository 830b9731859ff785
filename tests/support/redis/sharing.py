"""Hosts that share a server in a test: their policies, limiters that are kept up, and parts of them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from ratelimit.environment.server import RemoteSpec
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.worker.upkeep import Upkeep
from tests.support.redis.server import Server


class Closing(Protocol):
    """A part of a host that holds a connection."""

    def close(self) -> None: ...


P = TypeVar("P", bound=Closing)


def written(text: str, server: Server, folder: Path, name: str) -> Path:
    """Write the policy of one host; `{url}` and `{table}` in its text are the server's and its own."""
    path = folder / f"{name}.toml"
    path.write_text(text.format(url=server.url, table=folder / name))
    return path


def remote_of(text: str, server: Server, folder: Path) -> RemoteSpec:
    """Return the server as a policy names it."""
    found = Policy.load(written(text, server, folder, "remote")).compiled.remote
    assert found is not None
    return found


@contextmanager
def parts(make: Callable[[RemoteSpec], P], remote: RemoteSpec) -> Iterator[Callable[[], P]]:
    """Return what makes a host's part in what the server knows; each is closed in the end."""
    made: list[P] = []

    def one() -> P:
        made.append(make(remote))
        return made[-1]

    try:
        yield one
    finally:
        for each in made:
            each.close()


@contextmanager
def kept_up(
    text: str, server: Server, folder: Path, begin: Callable[[Limiter], object] = lambda limiter: None
) -> Iterator[list[Limiter]]:
    """Return two hosts with memory of their own, each with a worker that is kept up.

    Args:
        text: their policy.
        server: the one that they share, which is emptied.
        folder: for their memory.
        begin: is done to each before its worker starts.
    """
    server.client.flushall()
    limiters = [Limiter(written(text, server, folder, name)) for name in ("a", "b")]
    for limiter in limiters:
        begin(limiter)
    upkeeps = [Upkeep(limiter, 0) for limiter in limiters]
    for upkeep in upkeeps:
        upkeep.start()
    yield limiters
    for upkeep, limiter in zip(upkeeps, limiters, strict=True):
        upkeep.stop()
        limiter.close()
