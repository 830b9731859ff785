"""The `[store]` table as types: where counters live, and how a server is reached."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ratelimit.environment.server import RemoteMode
from ratelimit.features.table import Table

Size = Annotated[int, Meta(ge=1 << 20, le=1 << 34)]


class Tls(Table, frozen=True, forbid_unknown_fields=True):
    """The TLS proof of the server's name, and of the client's own. For `rediss` URLs."""

    ca: Annotated[
        str | None,
        Meta(
            description="The file with the certificate authorities that are believed. Default: the system's."
        ),
    ] = None
    certificate: Annotated[
        str | None, Meta(description="The file with this client's certificate, if the server wants one.")
    ] = None
    key: Annotated[str | None, Meta(description="The file with the certificate's private key.")] = None
    check_hostname: Annotated[
        bool, Meta(description="The certificate has to be for the host of the URL.")
    ] = True


class Store(Table, frozen=True, forbid_unknown_fields=True):
    """Storage of counters."""

    url: Annotated[
        str,
        Meta(
            description="`embedded`: the memory of this host. Else a Redis or Valkey: `redis://HOST:PORT/DB`.",
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
    username: Annotated[
        str | None, Meta(description="With Redis: the user to log in as. Default: `default`.")
    ] = None
    password: Annotated[
        str | None,
        Meta(
            description="With Redis: `env:VARIABLE` or `file:PATH`, read again for each new connection.",
            examples=["env:RATELIMIT_REDIS_PASSWORD"],
        ),
    ] = None
    tls: Annotated[
        Tls | None, Meta(description="With Redis over TLS: certificates. Default: the system's authorities.")
    ] = None
    memory: Annotated[
        Literal["shared", "private", "prefer-shared"],
        Meta(
            description="`shared`: all workers of the host count together. `private`: each process alone. "
            "`prefer-shared`: private, with a warning, where the shared memory cannot be used; with `shared` "
            "the start fails then."
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
    block_bytes: Annotated[
        Size | None,
        Meta(
            description="Memory for state of more than a word a key: logs, slots, distinct counts. "
            "Default: by the limits that need it."
        ),
    ] = None
    path: Annotated[
        str | None,
        Meta(
            description="The file behind the shared memory. Default: named by the policy's path as "
            "written, in a folder of the user's own under `/dev/shm`."
        ),
    ] = None
    payers: Annotated[
        int,
        Meta(
            ge=1000,
            le=10_000_000,
            description="Payers whose records there is room for, and four accounts and places each; "
            "120 bytes a payer.",
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
