"""The `[store]` table as types: where counters live, and how a server is reached."""

from __future__ import annotations

from typing import Annotated, Literal, cast, get_args

from msgspec import Meta

from ratelimit.environment.server import RemoteMode
from ratelimit.features.table import Table

MemoryKind = Literal["shared", "private", "prefer-shared"]


class Store(Table, frozen=True, forbid_unknown_fields=True, rename={"kept_in": "memory"}):
    """Storage of counters."""

    url: Annotated[
        str,
        Meta(
            description="`embedded`: the memory of this host. Else a Redis or Valkey: "
            "`redis://HOST:PORT/DB`.",
            examples=["redis://redis.internal:6379/0", "env:RATELIMIT_REDIS"],
        ),
    ] = "embedded"
    mode: Annotated[
        RemoteMode,
        Meta(
            description="With Redis, `exact`: it decides every request; `leased`: workers take units "
            "in advance and decide most requests by themselves."
        ),
    ] = "exact"
    prefix: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=32,
            description="With Redis: the beginning of every key's name; another one for each deployment.",
        ),
    ] = "ratelimit"
    timeout: Annotated[
        str | int,
        Meta(description="With Redis: the longest a decision waits for it, `1ms` to `5s`."),
    ] = "25ms"
    password: Annotated[
        str | None,
        Meta(
            description="With Redis: `env:VARIABLE` or `file:PATH`, read again for each new connection.",
            examples=["env:RATELIMIT_REDIS_PASSWORD"],
        ),
    ] = None
    ca: Annotated[
        str | None,
        Meta(
            description="With Redis over TLS: the file with the certificate authorities that are believed. "
            "Default: the system's."
        ),
    ] = None
    certificate: Annotated[
        str | list[str] | None,
        Meta(
            description="With Redis over TLS: the file with this client's certificate and its private key, "
            "or two files, if the server wants one.",
            examples=["client.pem", ["tls.crt", "tls.key"]],
        ),
    ] = None
    check_hostname: Annotated[
        bool, Meta(description="With Redis over TLS: the certificate has to be for the host of the URL.")
    ] = True
    kept_in: Annotated[
        str,
        Meta(
            description="`shared`: all workers of the host count together, in a file named by the policy's "
            "path as written, in a folder of the user's own under `/dev/shm`. A path: in this file. "
            "`private`: each process alone. `prefer-shared`: private, with a warning, where the shared "
            "memory cannot be used; else the start fails then.",
            examples=["private", "/run/ratelimit/my-api"],
        ),
    ] = "shared"
    keys: Annotated[
        int,
        Meta(
            ge=64,
            le=100_000_000,
            description="Live counters there is room for; with Redis, of leases and for when it fails.",
        ),
    ] = 100_000
    history: Annotated[
        str | None,
        Meta(
            description="The file that records of payers are read from at the start. "
            "`ratelimit make history` writes it from logs. The limiter keeps its own beside it, in `….kept`.",
            examples=["/var/lib/ratelimit/history.bin"],
        ),
    ] = None

    @property
    def memory(self) -> MemoryKind:
        """How workers share their memory."""
        return cast(MemoryKind, self.kept_in) if self.kept_in in get_args(MemoryKind) else "shared"

    @property
    def path(self) -> str | None:
        """The file behind the shared memory, if the policy names it."""
        return None if self.kept_in in get_args(MemoryKind) else self.kept_in

    @property
    def certificates(self) -> list[str]:
        """The files of this client's certificate and key."""
        return (
            []
            if self.certificate is None
            else [self.certificate]
            if isinstance(self.certificate, str)
            else self.certificate
        )
