"""Clients of the servers a policy may name: one server, what Sentinels call the master, a cluster.

What every client here keeps to:

- Nothing is sent twice. The library would retry after a lost answer, and the decision may have
  been charged all the same. MOVED and ASK are followed: those were refused.
- Waiting is bounded. For an answer it is by the policy's `timeout`; for a connection by
  `CONNECT_TIMEOUT_S`, which has to do for name service and TLS as well.
- Credentials are read anew for each connection, so a rotated file is taken up by itself.
- RESP2. Its answers take no longer to read than RESP3's (within 5 % of processor time with
  the parser in Python). Its connections need no greeting beyond AUTH.
- No health checks: an idle connection that died shows as readable, and is replaced unused.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ratelimit.environment.location import LocationError, parse_location
from ratelimit.errors import StoreError
from ratelimit.stores.secret import find_text

try:
    import redis
    from redis.asyncio import Redis, RedisCluster
    from redis.asyncio.cluster import ClusterNode
    from redis.asyncio.retry import Retry
    from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
    from redis.backoff import NoBackoff
    from redis.credentials import CredentialProvider
    from redis.exceptions import AuthenticationError, ResponseError
except ImportError as error:
    from ratelimit.environment.extras import how_to_install

    raise StoreError(
        f"the policy names a Redis, and the client library is not installed: `{how_to_install('redis')}`",
        code="redis-missing",
    ) from error

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

CONNECT_TIMEOUT_S = 1.0
MOST_CONNECTIONS = 64
"""Of one process with one server. One is enough; more are for what blocks."""
CLIENT_NAME = "ratelimit"
"""What `CLIENT LIST` shows."""
PROTOCOL = 2


def resolve(spec: RemoteSpec, environment: Mapping[str, str] | None = None) -> RemoteSpec:
    """Return a spec with its URL read, from its variable if that is where it stands.

    Raises:
        StoreError: code `redis-url`; the variable is unset, or holds no usable URL.
    """
    if spec.topology is not None:
        return spec
    name = spec.url.removeprefix("env:")
    text = (os.environ if environment is None else environment).get(name, "").strip()
    if not text:
        raise StoreError(
            f"the policy takes the server's URL from ${name}, which is not set; "
            "set it to one like redis://host:6379/0",
            code="redis-url",
        )
    try:
        return spec.at(parse_location(text))
    except LocationError as error:
        hint = f" {error.hint}" if error.hint else ""
        raise StoreError(f"the URL in ${name} cannot be used: {error}.{hint}", code="redis-url") from error


def connect(
    spec: RemoteSpec, *, timeout_s: float | None = None, name: str | None = CLIENT_NAME
) -> Redis | RedisCluster:  # the types take no parameters at run time
    """Return a client; it connects when it is first used, and is the caller's to close (`aclose`).

    Args:
        spec: which server, as which user, how patiently.
        timeout_s: waits this long for an answer, instead of the policy's `timeout`.
        name: what connections are called by; to call them something takes a permission.

    Raises:
        StoreError: no connection could ever be made: code `redis-url`, `redis-password`
            (secret not to be had), `redis-certificate` (files that TLS cannot use).
    """
    spec = resolve(spec)
    options = _options(spec, spec.timeout_ns / 1e9 if timeout_s is None else timeout_s)
    options["client_name"] = name
    if spec.topology == "cluster":
        return _cluster(spec, options)
    if spec.topology == "sentinel":
        master: Redis = _sentinel(spec, options).master_for(
            spec.master or "", db=spec.database, connection_pool_class=_MasterPool
        )
        return master
    if spec.path is not None:
        # A socket file has no network to keep alive, nor TLS.
        kept = ("socket_keepalive", "socket_connect_timeout")
        plain = {name: value for name, value in options.items() if name not in kept}
        return Redis(unix_socket_path=spec.path, db=spec.database, **plain)
    ((host, port),) = spec.nodes
    return Redis(host=host, port=port, db=spec.database, **options)


def sentinels(spec: RemoteSpec, *, timeout_s: float | None = None) -> list[Redis]:
    """Return a client for each Sentinel of a spec, in its order; the caller's to close."""
    spec = resolve(spec)
    options = _options(spec, spec.timeout_ns / 1e9 if timeout_s is None else timeout_s)
    return list(_sentinel(spec, options).sentinels)


def sentinel_of(spec: RemoteSpec) -> Sentinel:
    """Return what asks a spec's Sentinels for the master; its clients are the caller's to close."""
    return _sentinel(spec, _options(spec, spec.timeout_ns / 1e9))


class Credentials(CredentialProvider):
    """Reads user name and password at the moment a connection logs in."""

    def __init__(self, spec: RemoteSpec) -> None:
        self._username = spec.username
        self._secret = spec.password

    def read_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return what to log in with.

        Raises:
            LookupError: there is no password where the policy says it is.
        """
        if self._secret is None:
            raise LookupError("no password is named")
        password = find_text(self._secret.kind, self._secret.value)
        return (password,) if self._username is None else (self._username, password)

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return what to log in with, or fail as a login does: the client then drops the connection."""
        try:
            return self.read_credentials()
        except LookupError as error:
            raise AuthenticationError(f"the server's password cannot be had: {error}") from error

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return what to log in with."""
        return self.get_credentials()


class _MasterPool(SentinelConnectionPool):
    """Connections with the master; closing them all closes those with the Sentinels, too."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


class _Cluster(RedisCluster):
    """A cluster's client that closes all it has opened."""

    async def aclose(self) -> None:
        await super().aclose()
        # After a failed command the library takes itself for closed, and leaves connections open.
        for nodes in ("nodes_cache", "startup_nodes"):
            await self.nodes_manager.aclose(nodes)


def _options(spec: RemoteSpec, timeout_s: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": max(CONNECT_TIMEOUT_S, timeout_s),
        "socket_keepalive": True,
        "decode_responses": False,
        "protocol": PROTOCOL,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "max_connections": MOST_CONNECTIONS,
        "client_name": CLIENT_NAME,
    }
    credentials = credentials_of(spec)
    if credentials is not None:
        options["credential_provider"] = credentials
    tls = spec.tls
    if tls is not None:
        tls_context(spec)  # the client reads these files when it connects; a wrong path is better told now
        options |= {
            "ssl": True,
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": tls.check_hostname,
            "ssl_ca_certs": tls.ca,
            "ssl_certfile": tls.certificate,
            "ssl_keyfile": tls.key,
        }
    return options


def credentials_of(spec: RemoteSpec) -> Credentials | None:
    """Return what reads user name and password; None if the policy names none.

    Raises:
        StoreError: they cannot be read now; code `redis-password`.
    """
    if spec.password is None:
        return None
    credentials = Credentials(spec)
    try:
        credentials.read_credentials()
    except LookupError as error:
        raise StoreError(f"the server's password cannot be had: {error}", code="redis-password") from error
    return credentials


def tls_context(spec: RemoteSpec) -> ssl.SSLContext | None:
    """Return how connections are encrypted, from its files as they are now; None if they are not.

    Raises:
        StoreError: TLS cannot use the files; code `redis-certificate`.
    """
    tls = spec.tls
    if tls is None:
        return None
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.check_hostname = tls.check_hostname
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(path for path in (tls.ca, tls.certificate, tls.key) if path is not None)
        raise StoreError(
            f"TLS cannot use what [store] names ({files}): {error}", code="redis-certificate"
        ) from error
    return context


def _cluster(spec: RemoteSpec, options: dict[str, Any]) -> RedisCluster:
    if int(redis.__version__.partition(".")[0]) < 6:
        # There, `retry` is about connections, and this about commands.
        options = {**options, "cluster_error_retry_attempts": 0}
    return _Cluster(startup_nodes=[ClusterNode(host, port) for host, port in spec.nodes], **options)


def _sentinel(spec: RemoteSpec, options: dict[str, Any]) -> Sentinel:
    # Sentinels may want the same password, or none: they have no users of their own.
    own = {**options, "redis_connect_func": _greet_sentinel}
    # Some releases of redis-py leave the constructor without types.
    make: Callable[..., Sentinel] = Sentinel
    return make(list(spec.nodes), sentinel_kwargs=own, **options)


async def _greet_sentinel(connection: Any) -> None:
    """Log in to a Sentinel, or do without where it knows no password."""
    try:
        await connection.on_connect()
    except (AuthenticationError, ResponseError):
        if connection.credential_provider is None:
            raise
        provider, connection.credential_provider = connection.credential_provider, None
        try:
            # The refusal has closed the connection; the next one is greeted here again, without a user.
            await connection.disconnect()
            await connection.connect()
        finally:
            connection.credential_provider = provider
