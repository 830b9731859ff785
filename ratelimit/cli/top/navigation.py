"""The way through the screens of `ratelimit top`: which one is shown, and what a key does there.

It knows no terminal: keys come as words, and what is shown is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Group, RenderableType
from rich.text import Text as AnyText

from ratelimit.cli.terminal import Text
from ratelimit.cli.top import screens
from ratelimit.cli.top.acts import SPANS, USUAL_SPAN, WORDS, Acts, Done, Failures, Offer, name_of
from ratelimit.inspection.hosts.moment import Moment, Refused, limits_by_trouble, over_hosts

Lines = Sequence[AnyText]
HEAD_ROWS = 15
"""Rows that the overview has above its limits, about."""


@dataclass
class Screen:
    """One screen, and where a person is on it."""

    kind: Literal["overview", "callers", "text", "offer"]
    limit: str = ""
    chosen: int = 0
    lines: Lines = field(default_factory=list)
    caller: Refused | None = None
    """Whom a text is about."""
    offer: Offer | None = None
    span: int = USUAL_SPAN
    """How long the act is to hold, of `SPANS`."""
    made: str = ""
    """The act that a text says was made."""
    look: Callable[[], Lines] | None = None
    """Returns the lines as they are now; None for a text that stays."""


class Navigation:
    """The screens that are open, the one shown last.

    Args:
        target: what is watched, as it was given.
        caller: returns the lines about a caller; None where callers cannot be looked up.
        changes: returns the lines about what changed; None where that cannot be looked up.
        acts: makes acts; None where none can be made.
    """

    def __init__(
        self,
        target: str,
        caller: Callable[[Refused], Lines] | None = None,
        changes: Callable[[], Lines] | None = None,
        acts: Acts | None = None,
    ) -> None:
        self._target, self._caller, self._changes, self._acts = target, caller, changes, acts
        self._open = [Screen("overview")]
        self._now: Moment | None = None
        self._before: Moment | None = None
        self.is_over = False

    def take(self, now: Moment, before: Moment | None) -> None:
        """Go by another moment. The limit that is marked stays marked, wherever it is now."""
        top = self._open[0]
        if self._now is not None and top.chosen < len(self._names()):
            name = self._names()[top.chosen]
            self._now, self._before = now, before
            if name in self._names():
                top.chosen = self._names().index(name)
        self._now, self._before = now, before

    @property
    def page(self) -> tuple[Screen, Callable[[], Lines]] | None:
        """The text that is shown and what looks for it again; None where nothing is to be looked for."""
        screen = self._open[-1]
        return None if screen.look is None else (screen, screen.look)

    def refresh(self, screen: Screen, lines: Lines) -> None:
        """Show a text as it is now; a person stays at the line that was looked at."""
        screen.lines = lines
        screen.chosen = min(screen.chosen, self._most(screen))

    def press(self, key: str) -> None:
        """Do what a key does on the screen that is shown."""
        screen = self._open[-1]
        if key == "quit":
            self.is_over = True
        elif key == "back":
            if len(self._open) > 1:
                self._open.pop()
        elif key in ("up", "down", "page up", "page down"):
            step = {"up": -1, "down": 1, "page up": -10, "page down": 10}[key]
            screen.chosen = max(0, min(self._most(screen), screen.chosen + step))
        elif key == "changes" and self._changes is not None and screen.kind != "text":
            self._show(self._changes)
        elif key == "enter" and screen.kind == "overview" and self._names():
            self._open.append(Screen("callers", self._names()[screen.chosen]))
        elif key == "enter" and screen.kind == "callers" and self._caller is not None:
            found = self._callers(screen)
            if found:
                chosen, look = found[min(screen.chosen, len(found) - 1)], self._caller
                self._show(lambda: look(chosen), chosen)
        elif self._acts is not None:
            self._press_to_act(self._acts, key, screen)

    def _press_to_act(self, acts: Acts, key: str, screen: Screen) -> None:
        """Do what a key does that leads to an act: only `yes`, on the screen that shows it, makes one."""
        offer = screen.offer
        if key in WORDS and offer is None:
            caller = screen.caller
            if screen.kind == "callers" and (found := self._callers(screen)):
                caller = found[min(screen.chosen, len(found) - 1)]
            if caller is not None:
                self._offer(lambda: acts.offer(key, name_of(caller)))
        elif key == "undo" and screen.made:
            self._offer(lambda: acts.offer("undo", screen.made))
        elif offer is not None and key in ("longer", "shorter"):
            step = 1 if key == "longer" else -1
            screen.span = max(0, min(len(SPANS) - 1, screen.span + step))
        elif offer is not None and key == "yes":
            self._open.pop()
            try:
                outcome = acts.do(offer, SPANS[screen.span])
            except Failures as failure:
                self._open.append(Screen("text", lines=_failed(failure)))
                return
            if isinstance(outcome, Done):
                self._open.append(Screen("text", lines=outcome.lines, made=outcome.label))
            else:
                self._open.append(Screen("offer", offer=outcome, span=screen.span))

    def _offer(self, make: Callable[[], Offer]) -> None:
        try:
            self._open.append(Screen("offer", offer=make()))
        except Failures as failure:
            self._open.append(Screen("text", lines=_failed(failure)))

    def shown(self, height: int, *, has_keys: bool = True) -> RenderableType:
        """Return what is to be seen, in so many rows."""
        screen, now = self._open[-1], self._now
        assert now is not None
        if screen.kind == "overview":
            chosen = min(screen.chosen, max(0, len(self._names()) - 1))
            rows = max(3, height - HEAD_ROWS - (len(now.hosts) + 2 if len(now.hosts) > 1 else 0))
            view = screens.overview(
                self._target, now, self._before, chosen if has_keys else None, rows if has_keys else None
            )
            words = screens.OVERVIEW_KEYS
        elif screen.kind == "callers":
            found = self._callers(screen)
            chosen = min(screen.chosen, max(0, len(found) - 1))
            view = screens.callers(screen.limit, found, chosen, max(3, height - 6))
            words = screens.CALLER_KEYS if self._acts is None else screens.ACTING_KEYS
        elif screen.offer is not None:
            view = screens.offer(screen.offer, SPANS[screen.span])
            words = screens.OFFER_KEYS if screen.offer.word != "undo" else screens.UNDO_KEYS
        else:
            view = Group(*screen.lines[screen.chosen :][: max(3, height - 3)])
            words = screens.TEXT_KEYS
            if self._acts is not None and screen.caller is not None:
                words = screens.PERSON_KEYS
            elif screen.made:
                words = screens.MADE_KEYS
        return Group(view, Text(), Text(words, "dim")) if has_keys else view

    def _show(self, look: Callable[[], Lines], caller: Refused | None = None) -> None:
        self._open.append(Screen("text", lines=looked(look), caller=caller, look=look))

    def _most(self, screen: Screen) -> int:
        sizes = {
            "overview": len(self._names()),
            "callers": len(self._callers(screen)),
            "text": len(screen.lines),
            "offer": 0,
        }
        return max(0, sizes[screen.kind] - 1)

    def _names(self) -> list[str]:
        if self._now is None:
            return []
        return [row.name for row in limits_by_trouble(self._now, self._before)]

    def _callers(self, screen: Screen) -> list[Refused]:
        found = [] if self._now is None else self._now.callers
        return over_hosts(each for each in found if each.limit == screen.limit)


def looked(look: Callable[[], Lines]) -> Lines:
    """Return the lines of a look, or the reason for their absence."""
    try:
        return look()
    except Failures as failure:
        return _failed(failure)


def _failed(failure: Exception) -> Lines:
    hint = getattr(failure, "hint", "")
    return [Text(str(failure), "red"), *([Text(hint, "dim")] if hint else [])]
