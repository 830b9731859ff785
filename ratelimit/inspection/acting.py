"""The operator's acts as commands do them: hashes in place of values, one log, and a word from every host.

An act goes to the server that hosts share, or else to the file beside this host's table. Workers look there
(`worker.acts`), and say which acts they apply.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from ratelimit.clock import SystemClock
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.errors import StoreError
from ratelimit.identity.fact import ABSENT
from ratelimit.inspection.attachment import attach
from ratelimit.inspection.deployment import revealed_hashes
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.server import server_of
from ratelimit.policy import Policy
from ratelimit.policy.compile.identities import INTERNAL
from ratelimit.stores.acts.act import MOST_ACCOUNTS, MOST_IN_FORCE, Act, Kind, in_force
from ratelimit.stores.acts.file import ActFile
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.board import fingerprint_of

if TYPE_CHECKING:
    from ratelimit.stores.redis.acts import ServerActs

PATIENCE_S = 5.0
"""The time for which hosts are waited for."""
PAUSE_S = 0.1
_PAYMENT = 2
_HASH = re.compile(r"hash:([0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class HostState:
    """The answer of one host about an act."""

    host: str
    workers: int
    has_applied: bool


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
        """Return all acts that are kept, in order."""
        if self.server is not None:
            return self.server.read_if_changed() or []
        assert self.file is not None
        return self.file.read()

    def hosts(self, number: int) -> list[HostState]:
        """Return which hosts apply all acts up to this one."""
        if self.server is not None:
            return [
                HostState(each.host, each.workers, each.workers == 0 or each.number >= number)
                for _, each in sorted(self.server.hosts().items())
                if each.workers
            ]
        assert self.file is not None
        applied = self.file.applied().values()
        if not applied:
            return []
        return [HostState(socket.gethostname(), len(applied), min(applied) >= number)]


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
        file = None if store.place is None else ActFile(store.place)
        try:
            yield Deployment(policy, bound, file, server)
        except StoreError as error:
            hint = "`ratelimit doctor` shows more; the act is not in force."
            raise InspectionFailure(f"{error} [{error.code}]", "deployment", hint=hint) from error


def principals(deployment: Deployment, written: Sequence[str]) -> list[int]:
    """Return the hashes of accounts, as clusters know them; `hash:` and 16 digits is one already.

    Raises:
        InspectionFailure: one is no account, or there are too many.
    """
    if len(written) > MOST_ACCOUNTS:
        raise InspectionFailure(f"{len(written)} accounts; one act has {MOST_ACCOUNTS} at most", "call")
    if deployment.policy.compiled.correlation is None:
        raise InspectionFailure("the policy has no correlation, so there are no clusters", "call")
    found = []
    for text in written:
        known = _HASH.fullmatch(text)
        if known is not None:
            found.append(int(known[1], 16))
        else:
            found += revealed_hashes(deployment.bound, [text])
    return list(dict.fromkeys(found))


def identity_hashes(deployment: Deployment, written: str, name: str | None) -> tuple[str, list[int]]:
    """Return the identity that an account is of, and its hashes: `NAME=VALUE` or a value.

    Args:
        written: the account.
        name: the identity, if the operator says it.

    Raises:
        InspectionFailure: it cannot be told which identity is meant, or there is no such one.
    """
    compiled = deployment.policy.compiled
    names = [spec.name for spec in compiled.identities if spec.name not in INTERNAL]
    head, has_name, tail = written.partition("=")
    value = written
    if name is None and has_name and head in names:
        name, value = head, tail
    if name is None:
        spec = compiled.correlation
        if spec is not None and len(spec.principal) == 1:
            name = compiled.identities[spec.principal[0]].name
        elif "account" in names:
            name = "account"
        else:
            hint = f"Write `NAME={written}`; the policy has {', '.join(names)}."
            raise InspectionFailure("it is not clear which identity is meant", "call", hint=hint)
    if name not in names:
        hint = f"The policy has {', '.join(names)}."
        raise InspectionFailure(f"`{name}` is no identity of this policy", "call", hint=hint)
    known = _HASH.fullmatch(value)
    hashes = (
        [int(known[1], 16)] if known is not None else deployment.bound.extractor.value_hashes(name, value)
    )
    usable = [one for one in hashes if one >= 0]
    if not usable:
        raise InspectionFailure(f"`{value}` is no value that `{name}` can have", "call")
    return name, usable


def payment_hashes(deployment: Deployment, written: Sequence[str]) -> list[int]:
    """Return the hashes of payment methods.

    Raises:
        InspectionFailure: the policy has no payment methods, or there are too many.
    """
    if not written:
        return []
    compiled = deployment.policy.compiled
    spec = compiled.correlation
    if spec is None or spec.kinds[_PAYMENT] < 0:
        raise InspectionFailure("the policy's correlation has no `payment`", "call")
    if len(written) > MOST_ACCOUNTS:
        raise InspectionFailure(f"{len(written)} methods; one act has {MOST_ACCOUNTS} at most", "call")
    name = compiled.identities[spec.kinds[_PAYMENT]].name
    found = [deployment.bound.extractor.value_hash(name, value) for value in written]
    return [one for one in found if one != ABSENT]


def do(
    deployment: Deployment,
    kind: Kind,
    *,
    accounts: Sequence[int] = (),
    identity: str = "",
    payments: Sequence[int] = (),
    name: str = "",
    for_ns: int | None = None,
    reason: str = "",
    undoes: int | None = None,
) -> Act:
    """Append an act to the log, and return it.

    Raises:
        InspectionFailure: too many are in force.
        StoreError: the log cannot be written.
    """
    now_ns = SystemClock().now_ns()
    if kind != "undo" and len(in_force(deployment.acts(), deployment.key, now_ns)) >= MOST_IN_FORCE:
        hint = "Undo some, or write them into the policy file."
        raise InspectionFailure(f"{MOST_IN_FORCE} acts are in force, which is the most", "call", hint=hint)

    def make(number: int) -> Act:
        return Act(
            number=number,
            kind=kind,
            at_ns=now_ns,
            by=_author(),
            key=deployment.key,
            accounts=list(accounts),
            identity=identity,
            payments=list(payments),
            name=name,
            until_ns=None if for_ns is None else now_ns + for_ns,
            reason=reason,
            undoes=undoes,
        )

    if deployment.server is not None:
        return deployment.server.append(make, now_ns)
    assert deployment.file is not None
    return deployment.file.append(make, now_ns)


def confirmed(deployment: Deployment, number: int, patience_s: float = PATIENCE_S) -> list[HostState]:
    """Wait until every host applies an act, for so long at most; return what each says."""
    pause = Event()
    for _ in range(round(patience_s / PAUSE_S)):
        hosts = deployment.hosts(number)
        if all(each.has_applied for each in hosts):
            break
        pause.wait(PAUSE_S)
    return hosts


def _author() -> str:
    user = os.environ.get("SUDO_USER")
    if not user:
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a user without a name
            user = f"user {os.geteuid()}"
    return f"{user}@{socket.gethostname()}"[:128]
