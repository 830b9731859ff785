"""The store of a demo on two hosts: a Redis or Valkey that both name, and nothing else between them.

Each run counts under a prefix of its own and removes its keys at the end. So runs do not meet, and
whatever else is in the server stays as it is.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Any

from ratelimit.environment.location import LocationError, parse_location
from ratelimit.errors import RateLimitError
from ratelimit.policy import Policy
from ratelimit.stores.redis.transport.connect import connect, resolve

URL_VARIABLE = "RATELIMIT_DEMO_REDIS"
KEY_VARIABLE = "RATELIMIT_DEMO_HASH_KEY"
REACH_S = 3.0
CLEAN_S = 10.0
_AT_ONCE = 500


class Unreachable(Exception):
    """The server cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The shared parts of the hosts of one run.

    Args:
        url: the server's.
    """

    url: str
    prefix: str = field(default_factory=lambda: f"ratelimit-demo-{secrets.token_hex(4)}")
    hash_key: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def environment(self) -> dict[str, str]:
        """The values of the policy's variables; a URL may hold a password, which no file needs to."""
        return {URL_VARIABLE: self.url, KEY_VARIABLE: self.hash_key}

    @property
    def place(self) -> str:
        """The place of the server, in words without secrets."""
        try:
            location = parse_location(self.url)
        except LocationError:
            return "Redis"
        return ", ".join(f"{host}:{port}" for host, port in location.nodes) or str(location.path)

    def policy(self, table: str) -> str:
        """Return what a host's policy says of its store."""
        return (
            f'\n[hashing]\nkey = "env:{KEY_VARIABLE}"\n'
            f'\n[store]\nurl = "env:{URL_VARIABLE}"\nprefix = "{self.prefix}"\nmemory = "{table}"\n'
            # Callers, hosts and server share these cores: a wait for a processor is no outage.
            'timeout = "500ms"\n'
        )

    async def reach(self) -> None:
        """Ask the server whether it is there.

        Raises:
            Unreachable: it is not, or its URL cannot be used.
        """
        try:
            client = self._client()
            try:
                async with asyncio.timeout(REACH_S):
                    await client.ping()
            finally:
                await client.aclose()
        except RateLimitError as error:
            raise Unreachable(str(error)) from error
        except Exception as error:  # the client's own errors are of many types
            said = f"{type(error).__name__}: {error}".rstrip(" :")
            raise Unreachable(f"no Redis answers at {self.place}: {said}") from error

    async def clean(self) -> None:
        """Remove this run's keys; what cannot be removed expires by itself."""
        client = self._client()
        try:
            async with asyncio.timeout(CLEAN_S):
                found = [key async for key in client.scan_iter(match=f"*{self.prefix}*", count=_AT_ONCE)]
                for key in found:
                    await client.unlink(key)
        except Exception:  # the server has gone: so have we
            return
        finally:
            await client.aclose()

    def _client(self) -> Any:
        text = f"version = 1\n{self.policy('./demo')}"
        spec = Policy.from_toml(text).compiled.remote
        assert spec is not None  # the text names one
        return connect(resolve(spec, self.environment), timeout_s=REACH_S)
