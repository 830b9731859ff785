"""Access to a server, as a policy describes it: location, TLS, a user, and where the secrets are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from ratelimit.environment.location import Location, LocationError, Node, Topology

RemoteMode = Literal["exact", "leased"]


@dataclass(frozen=True, slots=True)
class KeySpec:
    """The place of a secret: in a variable, in a file, or here (`hex` a hash key, `inline` a password)."""

    kind: Literal["env", "file", "hex", "inline"]
    value: str

    def __repr__(self) -> str:
        shown = self.value if self.kind in ("env", "file") else "…"
        return f"KeySpec(kind={self.kind!r}, value={shown!r})"


@dataclass(frozen=True, slots=True)
class TlsSpec:
    """The parts of TLS connections: paths of files; no `ca` means the system's authorities."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class RemoteSpec:
    """The way to a Redis or Valkey.

    A URL that stands in a variable is read when the store is opened. Until then `topology` is None
    and what follows from the URL is empty. The parts are those of `location.Location`.
    """

    url: str
    """As written, without user name and password; `env:VARIABLE` is not resolved."""
    topology: Topology | None
    nodes: tuple[Node, ...]
    master: str | None
    database: int
    path: str | None
    """A socket file."""
    tls: TlsSpec | None
    """None: no TLS. With the URL in a variable: settings in case that it uses TLS."""
    username: str | None = field(repr=False)
    password: KeySpec | None
    prefix: str
    mode: RemoteMode
    timeout_ns: int

    def at(self, location: Location) -> RemoteSpec:
        """Return the same with a URL filled in: the policy's, or one that a variable held.

        Raises:
            LocationError: the URL contradicts what the policy says beside it.
        """
        if self.tls is not None and not location.is_encrypted:
            raise LocationError("the policy has settings for TLS, and the URL does not use it")
        if self.username is not None and location.username is not None:
            raise LocationError("the policy has a user name, too")
        if self.password is not None and location.password is not None:
            raise LocationError("the policy has a password, too")
        username = self.username or location.username
        password = self.password
        if location.password is not None:
            password = KeySpec("inline", location.password)
        if username is not None and password is None:
            raise LocationError("a user name without a password cannot log in")
        return replace(
            self,
            url=location.url,
            topology=location.topology,
            nodes=location.nodes,
            master=location.master,
            database=location.database,
            path=location.path,
            tls=(self.tls or TlsSpec()) if location.is_encrypted else None,
            username=username,
            password=password,
        )
