"""A running deployment as a command reaches it: its policy, the log of acts, and the hosts that report.

An act goes to the server that hosts share, or else to the file beside this host's table. Workers look there
(`worker.acts`), and say which acts they apply.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.errors import StoreError
from ratelimit.inspection.access.attachment import attach
from ratelimit.inspection.access.host_state import HostState, state_of
from ratelimit.inspection.access.server import server_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.policy import Policy
from ratelimit.runtime.last_policy import last_in_force
from ratelimit.stores.acts.act import Act, digest_of, fresh_tag, merged
from ratelimit.stores.acts.file import ActFile
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.factory import wish_of

if TYPE_CHECKING:
    from ratelimit.stores.redis.acts import ServerActs


@dataclass(frozen=True, slots=True)
class Deployment:
    """The place where the acts of a policy's workers are kept."""

    policy: Policy
    bound: BoundPolicy
    file: ActFile | None
    server: ServerActs | None

    @property
    def key(self) -> str:
        """The hash key that its hashes are made with."""
        return fingerprint_of(self.bound.store.hasher.key).hex()

    def acts(self) -> list[Act]:
        """Return all acts that are kept, in order.

        Raises:
            StoreError: the server does not answer.
        """
        here = [] if self.file is None else self.file.read()
        there = [] if self.server is None else self.server.read()
        return merged(here, there)

    def hosts(self) -> list[HostState]:
        """Return which hosts apply all acts that are kept.

        Raises:
            StoreError: the server does not answer.
        """
        if self.server is None:
            return self.this_host()
        digest = digest_of(self.acts())
        hosts = [state_of(each, digest) for _, each in sorted(self.server.hosts().items()) if each.workers]
        # A server that came back empty does not know this host for a moment.
        return hosts or [replace(each, has_applied=False) for each in self.this_host()]

    def this_host(self) -> list[HostState]:
        """Return whether the workers of this host apply all acts in its file."""
        if self.file is None:
            return []
        applied = self.file.applied().values()
        if not applied:
            return []
        digest = digest_of(self.file.read())
        path = self.policy.path
        last = None if path is None else last_in_force(os.fspath(path))
        policy, since_s = ("", 0) if last is None else (f"{last.policy.digest:012x}", int(last.since_s))
        has_applied = set(applied) == {digest}
        return [HostState(socket.gethostname(), len(applied), has_applied, 0, policy, since_s)]

    @contextmanager
    def claimed(self, once: str) -> Iterator[None]:
        """Let no other process do the same call meanwhile.

        Raises:
            InspectionFailure: another one does it.
            StoreError: the server does not answer, or the log cannot be written.
        """
        with ExitStack() as stack:
            if self.file is not None:
                stack.enter_context(self.file.claimed())
            if self.server is not None:
                if not self.server.claim(once):
                    raise InspectionFailure(
                        "the same call is under way", "deployment", hint="Repeat it later."
                    )
                stack.callback(self.server.let_go, once)
            yield

    def append(self, make: Callable[[int, str], Act], now_ns: int, once: str = "") -> Act:
        """Append an act, made for its number and tag, to the log of all hosts.

        While the server does not answer, it goes into the log of this host: in force here at once, and
        brought to the server when that is back. See `is_away`. An act that is made `once` does not: the same
        call may come to another host.

        Raises:
            StoreError: there is no log that can be written.
        """
        here = [] if self.file is None else self.file.read()
        if self.server is None:
            assert self.file is not None
            return self.file.append(lambda number: make(number, ""), now_ns, once)
        try:
            # A log that is not there may be lost, unless this host has workers that never met one.
            is_first = self.file is not None and not self.file.has_met
            made = self.server.append(make, now_ns, here, is_first=is_first, once=once)
        except StoreError:
            if self.file is None or once:
                raise
            tag = fresh_tag()
            return self.file.append(lambda number: make(number, tag), now_ns)
        if self.file is not None:
            with suppress(StoreError):  # its workers read it from the server
                self.file.merge([made], now_ns)  # a server that loses it in the next moment has it again
        return made


@contextmanager
def deployment_of(policy: Policy) -> Iterator[Deployment]:
    """Reach the deployment of a policy, to act there.

    Raises:
        InspectionFailure: there is none here, it is not ours, or the server cannot be asked.
    """
    with ExitStack() as stack:
        remote = policy.compiled.remote
        store: Store = attach(policy) if remote is None else server_of(policy)
        stack.callback(store.close)
        server: ServerActs | None = None
        if remote is not None:
            # Its client library is not there for every policy.
            from ratelimit.stores.redis.acts import ServerActs

            server = ServerActs(remote)
            stack.callback(server.close)
        bound = BoundPolicy(policy.compiled, store, store.clock.now_ns(), diagnose=lambda code: None)
        place = wish_of(policy, needs_key=False).place if store.place is None else store.place
        file = None if place is None or not is_there(place) else ActFile(place)
        try:
            yield Deployment(policy, bound, file, server)
        except StoreError as error:
            raise unreachable(error) from error


def unreachable(error: StoreError, more: str = "") -> InspectionFailure:
    """Return the failure of a command that reaches no log; `more` ends its hint."""
    hint = f"`ratelimit doctor` shows more{more}."
    return InspectionFailure(f"{error} [{error.code}]", "deployment", hint=hint)
