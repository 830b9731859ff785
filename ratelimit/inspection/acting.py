"""The operator's acts as commands do them: hashes in place of values, one log, and a word from every host.

An act goes to the server that hosts share, or else to the file beside this host's table. Workers look there
(`worker.acts`), and say which acts they apply.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from pwd import getpwuid
from threading import Event
from types import MappingProxyType
from typing import TYPE_CHECKING

from ratelimit.clock import SystemClock
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.errors import StoreError
from ratelimit.inspection import formatting
from ratelimit.inspection.act_words import ends_of
from ratelimit.inspection.attachment import attach
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.server import server_of
from ratelimit.policy import Policy
from ratelimit.runtime.last_policy import last_in_force
from ratelimit.stores.acts.act import (
    MOST_IN_FORCE,
    MOST_SAID,
    Act,
    digest_of,
    fresh_tag,
    in_force,
    merged,
)
from ratelimit.stores.acts.file import ActFile
from ratelimit.stores.acts.kinds import BY_KIND
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.factory import wish_of

if TYPE_CHECKING:
    from ratelimit.stores.redis.acts import HostReport, ServerActs

PATIENCE_S = 5.0
"""The time for which hosts are waited for."""
PAUSE_S = 0.1
MOST_NAME = 64
HALF_A_DAY_S = 43_200
"""An hour of the day alone says when something was that is not longer ago."""
_NO_LOGIN = 2**32 - 1


@dataclass(frozen=True, slots=True)
class HostState:
    """The answer of one host about the acts."""

    host: str
    workers: int
    has_applied: bool
    silent_s: int = 0
    """How long it has been cut off, or gone without a word; 0 for a host that reports."""
    policy: str = ""
    """The digest of the policy that it goes by, where that is known."""
    policy_since_s: int = 0
    """Since when it does, seconds since 1970."""
    late_s: int = 0
    """How long ago it reported last, if a report is due; 0 for a host that reports."""
    is_gone: bool = False
    """Whether its workers have all ended, or it has been silent for so long that it is taken for gone."""

    @property
    def unheard(self) -> str:
        """How long it has not been heard of, in words; empty for a host that reports."""
        if not self.workers:
            return _ended_words(self.late_s)
        return unheard_words(self.late_s, is_silent=bool(self.silent_s))

    @property
    def named(self) -> str:
        """Its name, with how long it has not been heard of."""
        return f"{self.host}, {self.unheard}" if self.unheard else self.host


def unheard_words(late_s: int, *, is_silent: bool) -> str:
    """Return how long a host has not been heard of; empty for one that reports."""
    if not late_s:
        return ""
    if not is_silent:
        return f"last heard {late_s} s ago"
    since = formatting.instant(SystemClock().now_ns() - late_s * 10**9)
    since = since if late_s >= HALF_A_DAY_S else since[11:16]
    return f"silent since {since} UTC ({formatting.wait(late_s * 10**9)})"


def _ended_words(ended_s: int) -> str:
    """Return since when a host has no workers."""
    since = formatting.instant(SystemClock().now_ns() - ended_s * 10**9)
    return f"ended at {since[11:16]} UTC ({formatting.wait(max(ended_s, 1) * 10**9)})"


def state_of(report: HostReport, digest: str = "") -> HostState:
    """Return the state of a host by its report, where all acts that are kept have a digest."""
    return HostState(
        report.host,
        report.workers,
        report.digest == digest and not report.is_late,
        report.silent_ms // 1000 if report.is_silent else 0,
        report.policy,
        report.policy_since_s,
        report.silent_ms // 1000 if report.is_late or not report.workers else 0,
        report.is_gone or not report.workers,
    )


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
            raise _unreachable(error) from error


def _unreachable(error: StoreError, more: str = "") -> InspectionFailure:
    """Return the failure of a command that reaches no log; `more` ends its hint."""
    hint = f"`ratelimit doctor` shows more{more}."
    return InspectionFailure(f"{error} [{error.code}]", "deployment", hint=hint)


def do(
    deployment: Deployment,
    kind: str,
    *,
    accounts: Sequence[int] = (),
    identity: str = "",
    payments: Sequence[int] = (),
    networks: Sequence[int] = (),
    name: str = "",
    numbers: Mapping[str, int] = MappingProxyType({}),
    says: str = "",
    after: Mapping[str, Sequence[int]] = MappingProxyType({}),
    for_ns: int | None = None,
    until_ns: int | None = None,
    reason: str = "",
    undoes: Act | None = None,
    by: str | None = None,
    once: str = "",
) -> Act:
    """Append an act to the log, and return it; `by` states the person, beside the account that acts.

    Args:
        deployment: where it goes.
        kind: what is done, by the name of a record of `stores.acts.kinds`.
        accounts: see `Act`.
        identity: see `Act`.
        payments: see `Act`.
        networks: see `Act`.
        name: see `Act`.
        numbers: see `Act`.
        says: see `Act`.
        after: see `Act`.
        for_ns: how long it holds; None for one without an end of its own.
        until_ns: when it ends instead.
        reason: why.
        undoes: the act that it takes back.
        by: the person, as stated; the account that acts stands beside.
        once: see `Act`. If the act was made before, that one is returned.

    Raises:
        InspectionFailure: too many are in force; the log cannot be read or written.
    """
    now_ns = SystemClock().now_ns()
    undone = "; the act is not in force"
    try:
        held = in_force(known_acts(deployment), deployment.key, now_ns)
    except StoreError as error:
        raise _unreachable(error, undone) from error
    if BY_KIND[kind].lapses and sum(act.of.lapses for act in held) >= MOST_IN_FORCE:
        hint = "Undo some, or write them into the policy file."
        raise InspectionFailure(f"{MOST_IN_FORCE} acts are in force, which is the most", "call", hint=hint)
    if until_ns is None and for_ns is not None:
        until_ns = now_ns + for_ns

    own = once or secrets.token_hex(8)

    def make(number: int, tag: str) -> Act:
        return Act(
            number=number,
            kind=kind,
            at_ns=now_ns,
            by=author(by),
            key=deployment.key,
            accounts=list(accounts),
            identity=identity,
            payments=list(payments),
            networks=list(networks),
            name=name,
            numbers=dict(numbers),
            says=says[:MOST_SAID],
            after={name: list(said) for name, said in after.items()},
            until_ns=until_ns if undoes is None else undoes.until_ns,
            reason=reason,
            undoes=None if undoes is None else undoes.number,
            undoes_ns=0 if undoes is None else undoes.at_ns,
            tag=tag,
            once=own,
        )

    try:
        return deployment.append(make, now_ns, once)
    except StoreError as error:
        raise _unreachable(error, undone) from error


def known_acts(deployment: Deployment) -> list[Act]:
    """Return all acts that are kept; those of this host while the server does not answer.

    Raises:
        StoreError: no log can be read.
    """
    try:
        return deployment.acts()
    except StoreError:
        if deployment.file is None:
            raise
        return deployment.file.read()


def act_named(deployment: Deployment, name: str) -> Act:
    """Return the act in force of a name.

    Raises:
        InspectionFailure: there is none, or there are several.
    """
    log = known_acts(deployment)
    held = in_force(log, deployment.key, SystemClock().now_ns())
    name = name.strip().removeprefix("act").strip().removeprefix("#").strip()  # as people write it in tickets
    named = [act for act in held if act.label == name]
    if not named:  # the other number of one that was made twice
        twice = {act.once for act in log if act.label == name and act.once}
        named = [act for act in held if act.once in twice]
    if not named:
        named = [act for act in held if str(act.number) == name]
    if not named:
        _say_over(log, {act.label for act in held}, name)
        raise InspectionFailure(
            f"no act {name} is in force", "input", hint="`ratelimit show acts` lists them."
        )
    if len(named) > 1:
        names = ", ".join(act.label for act in named)
        raise InspectionFailure(f"several acts have the number {name}: {names}", "input")
    return named[0]


def _say_over(log: Sequence[Act], held: Collection[str], name: str) -> None:
    """Raise what is to be said of an act that is in the log and not in force; do nothing without one."""
    act = next((act for act in reversed(log) if act.label == name), None)
    act = act or next((act for act in reversed(log) if str(act.number) == name), None)
    if act is None:
        return
    if act.of.is_undo:
        words = f"it is the undo of act {act.says or act.undoes}, and no undo can be taken back"
        hint = "Make that act again to have it back."
        raise InspectionFailure(f"no act {act.label} is in force: {words}", "input", hint=hint)
    end = ends_of(log, held).get(act.label, "over")
    if end.startswith("undone"):
        words = f"it was {end}"
    elif act.until_ns is not None:
        words = f"it lapsed {formatting.instant(act.until_ns)} UTC"
    else:
        words = "it is over"
    raise InspectionFailure(
        f"no act {act.label} is in force: {words}",
        "input",
        hint="`ratelimit show acts --all` lists those that were.",
    )


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What became of an act."""

    hosts: list[HostState]
    is_away: bool
    """The server does not answer: other hosts have the act when it is back."""

    @property
    def missing(self) -> list[str]:
        """The hosts that have not confirmed, without those that are taken for gone."""
        return [each.host for each in self.hosts if not each.has_applied and not each.is_gone]

    @property
    def gone(self) -> list[str]:
        """The hosts that are taken for gone."""
        return [each.host for each in self.hosts if each.is_gone]


def confirmed(deployment: Deployment, act: Act, patience_s: float | None = None) -> Confirmation:
    """Wait until every host that reports applies all acts; return what each says.

    Args:
        patience_s: the most seconds to wait; `PATIENCE_S` by default.
    """
    if patience_s is None:
        patience_s = PATIENCE_S
    pause = Event()
    hosts: list[HostState] = []
    is_away = False
    for _ in range(round(patience_s / PAUSE_S)):
        try:
            hosts = deployment.hosts()
            is_away = deployment.server is not None and act not in deployment.server.read()
        except StoreError:
            hosts, is_away = deployment.this_host(), True
        if all(each.has_applied for each in hosts if not each.silent_s):
            break
        pause.wait(PAUSE_S)
    return Confirmation(hosts, is_away)


def author(by: str | None = None) -> str:
    """Return who acts: the account that logged in here, behind the person's name if one is stated."""
    account = f"{_login()}@{socket.gethostname()}"
    said = "".join(each for each in by or "" if each.isprintable()).strip()[:MOST_NAME]
    return (f"{said}, as {account}" if said else account)[:128]


def _login() -> str:
    """Return the account that logged in. The kernel keeps it through `sudo`; variables could say anything."""
    user = os.getuid()
    with suppress(OSError, ValueError):
        logged_in = int(Path("/proc/self/loginuid").read_text())
        user = user if logged_in == _NO_LOGIN else logged_in
    try:
        return getpwuid(user).pw_name
    except KeyError:  # a user without a name
        return f"user {user}"
