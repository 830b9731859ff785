"""`ratelimit top`: what a running deployment is doing, from its hosts or from one's metrics."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from http.client import HTTPException
from io import StringIO
from pathlib import Path
from threading import Event, Thread
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import click
from rich.live import Live
from rich.text import Text as AnyText

from ratelimit.cli.failure import DEPLOYMENT, INTERRUPTED, Failure, fail_if_unheard
from ratelimit.cli.loading import load_in_force
from ratelimit.cli.terminal import Console, Text, out, print_json
from ratelimit.cli.top import screens
from ratelimit.cli.top.acts import Acts, name_of
from ratelimit.cli.top.keys import keys_of_terminal
from ratelimit.cli.top.navigation import Lines, Navigation, Screen, looked
from ratelimit.cli.who import print_person
from ratelimit.clock import SystemClock
from ratelimit.inspection.callers.knowledge import knowledge_of
from ratelimit.inspection.callers.naming import resolve
from ratelimit.inspection.callers.person import person_of
from ratelimit.inspection.history.changes import changes_of
from ratelimit.inspection.hosts.moment import HostMoment, Moment, Refused, hosts_of
from ratelimit.integrations.asked_limits import with_limits_in_code
from ratelimit.policy import Policy
from ratelimit.telemetry.exposed import of_text

_TIMEOUT_S = 3
_MOST_BYTES = 16 << 20
_HOST_AND_PORT = re.compile(r"[\w.-]+:[0-9]+/?")
_SERVER = re.compile(r"https?://[^/]+/?")
TICK_S = 0.1

Look = Callable[[], Moment]


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
    with ExitStack() as stack:
        target = _whole(target)
        policy, trouble = (None, "") if target.startswith(("http://", "https://")) else load_in_force(target)
        look = _look_at(target, policy, trouble, stack)
        first = look()
        console = out()
        if as_json:
            print_json(screens.as_json(first, trouble))
        elif once or not console.is_terminal:
            console.print(screens.overview(target, first, None))
        else:
            _watch(_navigation(target, policy, console), console, look, first, interval)
            return
    fail_if_unheard(first.unheard)


def _whole(target: str) -> str:
    """Return a host and a port, or the address of a server, as the address of its /metrics."""
    is_bare = _HOST_AND_PORT.fullmatch(target) is not None and not Path(target).exists()
    url = f"http://{target}" if is_bare else target
    return f"{url.rstrip('/')}/metrics" if _SERVER.fullmatch(url) else target


class _Looker:
    """Looks again and again, in a thread: keys are not to wait for hosts.

    Args:
        look: looks.
        first: what was seen already.
        interval_s: between two looks.
    """

    def __init__(self, look: Look, first: Moment, interval_s: float) -> None:
        self._look, self._interval_s = look, interval_s
        self._ended = Event()
        self.seen: tuple[Moment, Moment | None] = (first, None)
        self.page: tuple[Screen, Callable[[], Lines]] | None = None
        """The text that a person reads, to be looked for again, too."""
        self.read: tuple[Screen, Lines] | None = None
        """The same as it was at the last look."""
        self.failure: Exception | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            try:
                self.seen = (self._look(), self.seen[0])
                if (page := self.page) is not None:
                    self.read = (page[0], looked(page[1]))
            except Exception as failure:  # it is raised where a person sees it
                self.failure = failure
                return

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join(_TIMEOUT_S)


def _watch(navigation: Navigation, console: Console, look: Look, first: Moment, interval_s: float) -> None:
    looker = _Looker(look, first, interval_s)
    pause = Event()
    try:
        with (
            keys_of_terminal() as keys,
            Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live,
        ):
            shown: object = None
            read: object = None
            while not navigation.is_over:
                if looker.failure is not None:
                    raise looker.failure
                seen, height = looker.seen, console.height
                pressed = [] if keys is None else keys.pressed(TICK_S)
                if keys is None:
                    pause.wait(TICK_S)
                if seen is not shown:
                    navigation.take(*seen)
                for key in pressed:
                    navigation.press(key)
                looker.page, fresh = navigation.page, looker.read
                if fresh is not None and fresh is not read:
                    navigation.refresh(*fresh)
                if pressed or seen is not shown or fresh is not read:
                    live.update(navigation.shown(height, has_keys=keys is not None), refresh=True)
                    shown, read = seen, fresh
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    finally:
        looker.end()


def _navigation(target: str, policy: Policy | None, console: Console) -> Navigation:
    if policy is None:
        return Navigation(target)
    known_policy = with_limits_in_code(policy)

    def caller(refused: Refused) -> Lines:
        with knowledge_of(known_policy) as known:
            person = person_of(known, [resolve(known, name_of(refused))])
            page = Console(file=StringIO(), width=console.width, force_terminal=True)
            said: list[str] = []
            print_person(page, known, person, said.append)
            text = AnyText.from_ansi(page.file.getvalue())  # type: ignore[attr-defined]
            return [*text.split("\n"), *(Text(one, "dim") for one in said)]

    def changes() -> Lines:
        with knowledge_of(known_policy) as known:
            return screens.changes(changes_of(known))

    return Navigation(target, caller, changes, Acts(known_policy))


def _look_at(target: str, policy: Policy | None, trouble: str, stack: ExitStack) -> Look:
    if policy is None:
        return lambda: _scrape(target)
    hosts = stack.enter_context(hosts_of(policy, with_limits_in_code(policy)))

    def look() -> Moment:
        found = hosts.look()
        said = [*found.trouble, *([trouble] if trouble else [])]
        return replace(found, trouble=said)

    return look


def _scrape(url: str) -> Moment:
    try:
        with urlopen(url, timeout=_TIMEOUT_S) as answer:
            counts = of_text(answer.read(_MOST_BYTES).decode("utf-8", "replace"))
    except HTTPError as error:
        with error:
            hint = ""
            if error.code in (403, 429):
                hint = 'A limit covers it? Write `except = "GET /metrics"` there; `ratelimit check` names it.'
            elif error.code == 404:
                hint = "Is this the address of a /metrics with rate limits?"
            raise Failure(f"{url}: answered {error.code} {error.reason}", DEPLOYMENT, hint=hint) from error
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or f"{type(error).__name__} {error}".strip()
        raise Failure(f"{url}: {reason}", DEPLOYMENT) from error
    except ValueError as error:
        raise Failure(
            f"{url}: {error}", DEPLOYMENT, hint="Is this the address of a /metrics with rate limits?"
        ) from error
    return Moment(
        SystemClock().now_ns(), [HostMoment(urlsplit(url).netloc, counts, None)], [], knows_callers=False
    )
