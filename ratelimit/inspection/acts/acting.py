"""The operator's acts as commands do them: appended to one log, found by name, confirmed by every host."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwuid
from threading import Event
from types import MappingProxyType
from typing import TYPE_CHECKING

from ratelimit.clock import SystemClock
from ratelimit.errors import StoreError
from ratelimit.inspection import formatting
from ratelimit.inspection.access.deployment import Deployment, unreachable
from ratelimit.inspection.access.host_state import HostState
from ratelimit.inspection.acts.words import ends_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.stores.acts.act import (
    MOST_IN_FORCE,
    MOST_SAID,
    Act,
    in_force,
)
from ratelimit.stores.acts.kinds import BY_KIND

if TYPE_CHECKING:
    pass

PATIENCE_S = 5.0
"""The time for which hosts are waited for."""
PAUSE_S = 0.1
MOST_NAME = 64
_NO_LOGIN = 2**32 - 1


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
        raise unreachable(error, undone) from error
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
        raise unreachable(error, undone) from error


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
