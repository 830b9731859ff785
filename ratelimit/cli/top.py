"""`ratelimit top`: one live screen of a deployment, and the way by keys to a caller and an act."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPException
from io import StringIO
from pathlib import Path
from threading import Event
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text as AnyText

from ratelimit.cli.failure import DEPLOYMENT, INTERRUPTED, Failure, fail_if_unheard
from ratelimit.cli.loading import load_in_force
from ratelimit.cli.moment import callers, moment_json, overview
from ratelimit.cli.terminal import Console, Text, out, print_json
from ratelimit.cli.who import print_person
from ratelimit.clock import SystemClock
from ratelimit.errors import StoreError
from ratelimit.inspection import formatting
from ratelimit.inspection.acts.acting import confirmed
from ratelimit.inspection.acts.words import act_words
from ratelimit.inspection.callers.knowledge import Knowledge, knowledge_of
from ratelimit.inspection.callers.naming import EVERYONE, resolve
from ratelimit.inspection.callers.person import person_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.history.changes import changes_of
from ratelimit.inspection.hosts.moment import (
    HostMoment,
    Hosts,
    Moment,
    Refused,
    hosts_of,
    limits_by_trouble,
    over_hosts,
)
from ratelimit.inspection.proposals import proposal
from ratelimit.inspection.proposals.proposal import Proposal
from ratelimit.integrations.asked_limits import with_limits_in_code
from ratelimit.policy import Policy
from ratelimit.telemetry.exposed import of_text

KEYS = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up", b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down", b" ": "page down",
    b"\r": "enter", b"\n": "enter", b"\x1b[C": "enter", b"\x1bOC": "enter", b"l": "enter",
    b"\x1b": "back", b"\x7f": "back", b"\x08": "back", b"\x1b[D": "back", b"\x1bOD": "back", b"h": "back",
    b"s": "stop", b"e": "exempt", b"x": "clear", b"u": "undo", b"y": "yes", b"+": "longer", b"-": "shorter",
    b"c": "changes", b"q": "quit", b"\x03": "quit", b"\x04": "quit",
}  # fmt: skip
STEPS = {"up": -1, "down": 1, "page up": -10, "page down": 10}
SPANS = ("15m", "1h", "2h", "1d", "7d")
TITLES = {
    "stop": "Stop {}: refuse every request, on all hosts",
    "exempt": "Exempt {} from all limits, on all hosts",
    "clear": "Clear the actor of {}: no limit per actor binds it, on all hosts",
    "undo": "Undo act {}, on all hosts",
}
QUESTION = "Do it on all hosts?  y, or ← for no."
ACTING = "s stop   e exempt   x clear its actor   ← back   q quit"
"""Keys of the screens that show a caller."""
HEAD_ROWS = 15
"""Rows that the overview has above its limits, about."""
TICK_S = 0.1
ASKS_FOR_S = 3
MOST_BYTES = 16 << 20
Failures = (InspectionFailure, StoreError)
Lines = Sequence[AnyText]


@dataclass
class Screen:
    """One screen, and where a person is on it."""

    kind: str
    """"overview", "callers" of a limit, "text", or "offer" of an act."""
    limit: str = ""
    chosen: int = 0
    lines: Lines = ()
    look: Callable[[], Lines] | None = None
    """Returns the lines as they are now; None for a text that stays."""
    caller: Refused | None = None
    """Whom a text is about."""
    word: str = ""
    """The command of the act that is offered."""
    name: str = ""
    """The caller, or the act to undo, as the command takes it."""
    offered: Proposal | None = None
    is_stale: bool = False
    span: int = 2
    """For how long the act is to hold, of `SPANS`."""
    made: str = ""
    """The act that a text says was made."""


class Top:
    """The screens that are open, the last of which is shown; it knows no terminal.

    Args:
        target: what is watched, as it was given.
        policy: the policy whose callers may be acted on; None where no act can be made.
        caller: returns the lines about a caller; None where callers cannot be looked up.
        changes: returns the lines about what changed; None where that cannot be looked up.
    """

    def __init__(
        self,
        target: str,
        policy: Policy | None = None,
        caller: Callable[[Refused], Lines] | None = None,
        changes: Callable[[], Lines] | None = None,
    ) -> None:
        self._target, self._policy, self._caller, self._changes = target, policy, caller, changes
        self._open = [Screen("overview")]
        self._now = Moment(0, [], [])
        self._before: Moment | None = None
        self._names: list[str] = []
        self.is_over = False

    @property
    def screen(self) -> Screen:
        """The screen that is shown."""
        return self._open[-1]

    def take(self, now: Moment, before: Moment | None) -> None:
        """Go by another moment. The limit that is marked stays marked, wherever it is now."""
        first, names = self._open[0], [row.name for row in limits_by_trouble(now, before)]
        if first.chosen < len(self._names) and self._names[first.chosen] in names:
            first.chosen = names.index(self._names[first.chosen])
        self._now, self._before, self._names = now, before, names

    def press(self, key: str) -> None:
        """Do what a key does on the screen that is shown; only `yes`, where it is offered, makes an act."""
        screen = self.screen
        if key == "quit":
            self.is_over = True
        elif key == "back":
            del self._open[max(1, len(self._open) - 1) :]
        elif key in STEPS:
            screen.chosen = max(0, min(self._size(screen) - 1, screen.chosen + STEPS[key]))
        elif key == "changes" and self._changes is not None and screen.kind != "text":
            self._open.append(Screen("text", lines=looked(self._changes), look=self._changes))
        elif key == "enter" and screen.kind == "overview" and self._names:
            self._open.append(Screen("callers", self._names[min(screen.chosen, len(self._names) - 1)]))
        elif key == "enter" and screen.kind == "callers" and self._caller and (chosen := self._chosen()):
            look = partial(self._caller, chosen)
            self._open.append(Screen("text", lines=looked(look), look=look, caller=chosen))
        elif self._policy is None:
            return
        elif key in ("stop", "exempt", "clear") and (chosen := self._chosen()) is not None:
            self._offer(self._policy, Screen("offer", word=key, name=name_of(chosen)))
        elif key == "undo" and screen.made:
            self._offer(self._policy, Screen("offer", word=key, name=screen.made))
        elif screen.kind == "offer" and key in ("longer", "shorter"):
            screen.span = max(0, min(len(SPANS) - 1, screen.span + (1 if key == "longer" else -1)))
        elif screen.kind == "offer" and key == "yes":
            self._offer(self._policy, self._open.pop())

    def _offer(self, policy: Policy, screen: Screen) -> None:
        """Show what an act would do now; make it if that was shown, and is so still."""
        try:
            with knowledge_of(policy) as known:
                proposed = _proposed(known, screen.word, screen.name)
                shown = screen.offered
                if shown is not None and shown.digest == proposed.digest:
                    screen = _made(known, proposed, SPANS[screen.span])
                else:
                    screen = replace(screen, offered=proposed, is_stale=shown is not None)
        except Failures as failure:
            screen = Screen("text", lines=_failed(failure))
        self._open.append(screen)

    def _chosen(self) -> Refused | None:
        """Return the caller that is marked, or whom a text is about."""
        if self.screen.kind != "callers":
            return self.screen.caller
        found = self._callers(self.screen)
        return found[min(self.screen.chosen, len(found) - 1)] if found else None

    def _callers(self, screen: Screen) -> list[Refused]:
        return over_hosts(each for each in self._now.callers if each.limit == screen.limit)

    def _size(self, screen: Screen) -> int:
        if screen.kind == "overview":
            return len(self._names)
        return len(self._callers(screen)) if screen.kind == "callers" else len(screen.lines)

    def shown(self, height: int, *, has_keys: bool = True) -> RenderableType:
        """Return what is to be seen, in so many rows."""
        screen, hosts = self.screen, len(self._now.hosts)
        chosen = max(0, min(screen.chosen, self._size(screen) - 1))
        acting = ACTING if self._policy is not None else "← back   c changes   q quit"
        view: RenderableType
        if screen.kind == "overview":
            rows = max(3, height - HEAD_ROWS - (hosts + 2 if hosts > 1 else 0))
            marked = (chosen, rows) if has_keys else (None, None)
            view = overview(self._target, self._now, self._before, *marked)
            words = "↑ ↓ move   ⏎ callers   c changes   q quit"
        elif screen.kind == "callers":
            view = callers(screen.limit, self._callers(screen), chosen, max(3, height - 6))
            words = f"↑ ↓ move   ⏎ the caller   {acting}"
        elif screen.offered is not None:
            view = _offer_shown(screen, screen.offered)
            longer = "" if screen.word == "undo" else "+ - longer, shorter   "
            words = f"y do it   {longer}← back, nothing is done"
        else:
            view = Group(*screen.lines[chosen:][: max(3, height - 3)])
            words = "u undo" if screen.made else "↑ ↓ scroll"
            words += f"   {acting if screen.caller and self._policy else '← back   q quit'}"
        return Group(view, Text(), Text(words, "dim")) if has_keys else view


def name_of(caller: Refused) -> str:
    """Return a refused caller as commands take it: by its hash."""
    if caller.per == "cluster":
        return f"actor={caller.hash:016x}"
    if " + " in caller.per or caller.per in ("", EVERYONE):
        return f"hash:{caller.hash:016x}"
    return f"{caller.per}=hash:{caller.hash:016x}"


def looked(look: Callable[[], Lines]) -> Lines:
    """Return the lines of a look, or the reason for their absence."""
    try:
        return look()
    except Failures as failure:
        return _failed(failure)


def _failed(failure: Exception) -> Lines:
    hint = getattr(failure, "hint", "")
    return [Text(str(failure), "red"), *([Text(hint, "dim")] if hint else [])]


def _proposed(known: Knowledge, word: str, name: str) -> Proposal:
    if word == "clear":
        return proposal.of_accounts(known, word, [name])
    if word == "exempt":
        return proposal.exempt(known, name, "limits")
    return proposal.stop(known, name) if word == "stop" else proposal.undo(known, name)


def _made(known: Knowledge, proposed: Proposal, span: str) -> Screen:
    """Make an act; hosts are waited for shortly, as keys wait, too."""
    act = proposed.do(known.deployment, for_ns=proposal.span_ns(span), reason="made in ratelimit top")
    outcome = confirmed(known.deployment, act, 1.0)
    lines = [Text(f"act {act.label}  ", "bold yellow") + Text(act_words(act)), Text()]
    for host in outcome.hosts:
        said = (
            "applies it"
            if host.has_applied
            else "has not confirmed yet; `ratelimit show acts` shows when it does"
        )
        mark = Text("✔ ", "green") if host.has_applied else Text("✘ ", "bold red")
        lines.append(mark + Text(f"{host.host} {said}, {formatting.count(host.workers, 'worker')}"))
    if outcome.is_away:
        lines.append(Text("The server does not answer: other hosts have it when it is back.", "yellow"))
    return Screen("text", lines=lines, made="" if act.of.is_undo else act.label)


def _offer_shown(screen: Screen, offered: Proposal) -> RenderableType:
    lines = [Text(TITLES[screen.word].format(screen.name), "bold")]
    if screen.word != "undo":
        lines.append(
            Text("for ", "dim") + Text(SPANS[screen.span], "bold") + Text(", then it lapses by itself", "dim")
        )
    lines.append(Text())
    if screen.is_stale:
        lines.append(Text("Something changed. Nothing was done; this is what it would do now:", "yellow"))
    preview = offered.preview
    for said, style in (
        *((each, "") for each in preview.does),
        *((each, "yellow") for each in preview.doubts),
    ):
        lines.append(Text(f"{said[:1].upper()}{said[1:]}.", style))
    return Group(
        *lines, *([Text(preview.hint, "dim")] if preview.hint else []), Text(), Text(QUESTION, "bold")
    )


@click.command("top")
@click.argument("target")
@click.option(
    "--interval", type=click.FloatRange(0.2, 60), default=1, show_default=True, help="Seconds between looks."
)
@click.option("--once", is_flag=True, help="Look once and end; also without a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Look once; print JSON.")
def top_command(target: str, interval: float, once: bool, as_json: bool) -> None:
    """Watch a running deployment: its hosts, and its limits.

    Those limits come first that refused most in the last minute. Totals are since the hosts' memory began.

    TARGET is a policy file, for its workers on this host and on all hosts that share its server; or the
    address of a /metrics. Looking changes no counter.

    \b
    Keys:
      up, down, j, k  move
      Enter           callers of a limit, also of one in shadow; then one caller
      s, e, x         stop, exempt or clear a caller: y does it, u undoes it
      c               changes
      Esc, left       back
      q               end

    \b
    Examples:
      ratelimit top policy.toml
      ratelimit top http://127.0.0.1:8000/metrics --once --json

    Exit code 4 if the deployment cannot be reached; and if it looks once, where the server or a host does
    not answer, which is named.
    """
    if re.fullmatch(r"[\w.-]+:[0-9]+/?", target) and not Path(target).exists():
        target = f"http://{target}"
    if re.fullmatch(r"https?://[^/]+/?", target):
        target = f"{target.rstrip('/')}/metrics"
    console, top, trouble = out(), Top(target), ""
    look = partial(_scraped, target)
    with ExitStack() as stack:
        if not target.startswith(("http://", "https://")):
            policy, trouble = load_in_force(target)
            whole = with_limits_in_code(policy)
            hosts = stack.enter_context(hosts_of(policy, whole))
            look = partial(_looked_at, hosts, trouble)
            top = Top(target, whole, partial(_caller_lines, whole, console.width), partial(_changes, whole))
        first = look()
        if as_json:
            print_json(moment_json(first, trouble))
        elif once or not console.is_terminal:
            console.print(overview(target, first, None))
        else:
            top.take(first, None)
            _watch(top, console, look, first, interval)
            return
    fail_if_unheard(first.unheard)


def _looked_at(hosts: Hosts, trouble: str) -> Moment:
    found = hosts.look()
    return replace(found, trouble=[*found.trouble, trouble]) if trouble else found


def _caller_lines(policy: Policy, width: int, refused: Refused) -> Lines:
    page, said = Console(file=StringIO(), width=width, force_terminal=True), list[str]()
    with knowledge_of(policy) as known:
        print_person(page, known, person_of(known, [resolve(known, name_of(refused))]), said.append)
    text = AnyText.from_ansi(page.file.getvalue())  # type: ignore[attr-defined]  # it is a StringIO
    return [*text.split("\n"), *(Text(one, "dim") for one in said)]


def _changes(policy: Policy) -> Lines:
    with knowledge_of(policy) as known:
        found = changes_of(known)
    lines = [
        Text("changes, the latest first", "dim"),
        *(Text(said, "yellow") for said in found.trouble),
        Text(),
    ]
    for each in found.entries:
        line = Text(f"{formatting.instant(each.time_ns)}  ", "dim")
        line += Text(f"{each.host}  " if each.host else "", "cyan")
        lines.append(line + Text(each.text, "yellow" if each.is_warning else ""))
    return lines if found.entries else [*lines, Text("Nothing changed.")]


def _watch(top: Top, console: Console, look: Callable[[], Moment], first: Moment, interval_s: float) -> None:
    """Show moments and do what keys say; a thread looks, as keys are not to wait for hosts."""
    from concurrent.futures import ThreadPoolExecutor  # other ways of this command do without

    ended = Event()

    def later() -> tuple[Moment, Screen | None, Lines]:
        ended.wait(interval_s)
        page = top.screen
        if ended.is_set() or page.look is None:
            return first if ended.is_set() else look(), None, ()
        return look(), page, looked(page.look)

    seen, has_come, pressed = first, True, list[str]()
    try:
        with (
            keys_of_terminal() as fd,
            ThreadPoolExecutor(1) as pool,
            Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live,
        ):
            try:
                coming = pool.submit(later)
                while not top.is_over:
                    if has_come or pressed:
                        live.update(top.shown(console.height, has_keys=fd is not None), refresh=True)
                    pressed = _pressed(fd)
                    for key in pressed:
                        top.press(key)
                    if has_come := coming.done():
                        now, page, lines = coming.result()
                        top.take(now, seen)
                        if page is not None:
                            page.lines = lines
                        seen, coming = now, pool.submit(later)
            finally:
                ended.set()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


@contextmanager
def keys_of_terminal() -> Iterator[int | None]:
    """Have keys of standard input at once, without a line's end; None where that is no terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _pressed(fd: int | None) -> list[str]:
    if not select.select([] if fd is None else [fd], [], [], TICK_S)[0] or fd is None:
        return []
    typed = os.read(fd, 1024)
    return named(typed) if typed else ["quit"]


def named(typed: bytes) -> list[str]:
    """Return the names of the keys that some bytes of a terminal are."""
    found = []
    while typed:
        size = next((size for size in range(4, 0, -1) if typed[:size] in KEYS), 0)
        if size:
            found.append(KEYS[typed[:size]])
        typed = typed[max(1, size) :]
    return found


def _scraped(url: str) -> Moment:
    """Return the moment that a page of metrics tells of."""
    hint = "Is this the address of a /metrics with rate limits?"
    try:
        with urlopen(url, timeout=ASKS_FOR_S) as answer:
            counts = of_text(answer.read(MOST_BYTES).decode("utf-8", "replace"))
    except HTTPError as error:
        with error:
            if error.code in (403, 429):
                hint = 'A limit covers it? Write `except = "GET /metrics"` there; `ratelimit check` names it.'
            hint = hint if error.code in (403, 404, 429) else ""
            raise Failure(f"{url}: answered {error.code} {error.reason}", DEPLOYMENT, hint=hint) from error
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or f"{type(error).__name__} {error}".strip()
        raise Failure(f"{url}: {reason}", DEPLOYMENT) from error
    except ValueError as error:
        raise Failure(f"{url}: {error}", DEPLOYMENT, hint=hint) from error
    here = HostMoment(urlsplit(url).netloc, counts, None)
    return Moment(SystemClock().now_ns(), [here], [], knows_callers=False)
