"""Exceptions of the client library in words: what happened, and what to do about it.

The library tells most failures of the network by one class. What really happened is in the
chain of causes, or in the server's own words.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator

from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    MaxConnectionsError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_CLOSED = (
    "the server closes the connection",
    "If the port is one for TLS, write `rediss` for `redis`; else its log tells why.",
)
_PASSWORD = 'Write `password = "env:VARIABLE"` under [store], and `username` if it is not `default`.'

_STATES = {
    "OOM": (
        "the server's memory is used up, and it refuses writes",
        "Raise `maxmemory`, or move other data away; limits follow `on_store_error` until then.",
    ),
    "MISCONF": (
        "the server cannot write its snapshot, and refuses writes",
        "Make room on its disk; its log shows what failed.",
    ),
    "NOREPLICAS": (
        "fewer replicas are in step than `min-replicas-to-write`, and it refuses writes",
        "Bring replicas back, or lower it.",
    ),
    "READONLY": ("this is a read-only replica", "Name the master, or name Sentinels: they know which it is."),
    "MASTERDOWN": (
        "this is a replica that lost its master",
        "Name the master, or name Sentinels in the URL.",
    ),
    "LOADING": (
        "the server is loading its data",
        "Wait until it has; limits follow `on_store_error` until then.",
    ),
    "BUSY": (
        "the server is busy with somebody's script",
        "`SCRIPT KILL` ends it, unless it has written; find who runs it.",
    ),
    "CLUSTERDOWN": ("the cluster is down", "See `CLUSTER NODES` for masters that are gone."),
}
"""What a server says of its state, by the first word of its error."""
_CLASSES = {
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "MasterDownError": "MASTERDOWN",
    "BusyLoadingError": "LOADING",
}
"""The library's classes for some of them, which leave that word out. By name: not all releases have all."""


def explain(error: BaseException, *, has_tls: bool = False) -> tuple[str, str]:
    """Return what an error of the client means, and what to do.

    Args:
        has_tls: whether the connection was to use TLS.
    """
    words = str(error).strip().removeprefix("network:")
    upper = words.upper()
    if isinstance(error, NoPermissionError) or _says_forbidden(words):
        allow = "~KEYS" if is_about_keys(words) else "+COMMAND"
        return f"this user may not do what is needed: {words}", f"Allow it: `ACL SETUSER NAME {allow}`."
    if isinstance(error, AuthenticationError) or "NOAUTH" in upper or "WRONGPASS" in upper:
        return _login(words)
    if type(error).__name__ == "MasterNotFoundError":
        # The library's own words are its clients' settings, one after the other.
        return (
            "no Sentinel that can be reached names a master",
            "`SENTINEL MASTERS` shows the names they know.",
        )
    if isinstance(error, MaxConnectionsError) or "MAX NUMBER OF CLIENTS" in upper:
        return "the server takes no more connections", "Raise its `maxclients`, or find who holds them."
    mark = _CLASSES.get(type(error).__name__)
    if mark is not None:
        return _STATES[mark]
    if isinstance(error, ClusterDownError):
        return (
            f"the cluster is down: {words}",
            "See `CLUSTER INFO` and `CLUSTER NODES` for slots without a master.",
        )
    if "PROTECTED MODE" in upper:
        return "the server is in protected mode and takes no remote clients", "Set a password on it."
    if isinstance(error, RedisTimeoutError | TimeoutError):
        # A server without TLS waits for the rest of what it takes for a command.
        other = " Or the port does not speak TLS: then write `redis` for `rediss`." if has_tls else ""
        return "no answer in time", f"Is it paused, overloaded, or behind a firewall?{other}"
    if isinstance(error, RedisConnectionError | OSError):
        return _network(error, words)
    if isinstance(error, ResponseError):
        state = state_of(words)
        if state is not None:
            return state
        return f"the server answers: {words}", "See its documentation for this error."
    return words or type(error).__name__, ""


def is_forbidden(error: RedisError) -> bool:
    """Return whether a command is withheld from this user, by permissions or under another name."""
    words = str(error)
    return isinstance(error, NoPermissionError) or _says_forbidden(words) or "unknown" in words.lower()


def _says_forbidden(words: str) -> bool:
    # In scripts: "ACL failure in script: …"; until Redis 7 "The user executing the script can't …".
    return re.search(r"NOPERM|ACL failure|user executing the script can't", words) is not None


def is_about_keys(words: str) -> bool:
    """Return whether a refusal is for a key's name and not for the command."""
    # "No permissions to access a key"; until Redis 7 "… access one of the keys used as arguments".
    return re.search(r"access .*key", words) is not None


def state_of(words: str) -> tuple[str, str] | None:
    """Return what a server's error says of its state, and what to do; None if it is about the caller."""
    return next((told for mark, told in _STATES.items() if mark in words), None)


def _login(words: str) -> tuple[str, str]:
    upper = words.upper()
    if "WITHOUT ANY PASSWORD" in upper or "NO PASSWORD IS SET" in upper:
        return "the policy names a password, and the server has none", "Remove it, or set one there."
    if "CANNOT BE HAD" in upper:
        return words, "Set the variable or mend the file."
    if "NOAUTH" in upper or "AUTHENTICATION REQUIRED" in upper:
        return "the server requires a password, and the policy names none", _PASSWORD
    return "the server refuses this user name or password", "Check both; `ACL LIST` shows users."


def _network(error: BaseException, words: str) -> tuple[str, str]:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = cause.verify_message or "it cannot be verified"
            if "ostname" in reason or "IP address" in reason:
                return f"the server's certificate is for another host: {reason}", (
                    "Name the host as the certificate does, or write `check_hostname = false` into [store]."
                )
            return f"the server's certificate is not believed: {reason}", (
                'Name the authority that signed it in [store]: `ca = "PATH"`.'
            )
        if isinstance(cause, ssl.SSLError):
            if "WRONG_VERSION" in str(cause) or "RECORD_LAYER" in str(cause):
                return "this port does not speak TLS", "Write `redis` for `rediss`, or name the port for TLS."
            return f"TLS failed: {cause.reason or cause}", "Check the certificates on both sides."
        if isinstance(cause, socket.gaierror):
            return "the host's name is not known", "Check its spelling, and the name service of this host."
        if isinstance(cause, ConnectionRefusedError):
            return "nobody listens there", "Start the server, or mend host and port."
        if isinstance(cause, FileNotFoundError):
            return "the socket file is not there", "Start the server, or mend the path."
        if isinstance(cause, PermissionError):
            return "the socket file may not be used", "Let this user read and write it."
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return _CLOSED
    if "closed" in words.lower():
        return _CLOSED
    return words or "the connection failed", "Check that this host can reach it."


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
