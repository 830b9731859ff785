"""Patterns as a deterministic automaton; its letters are path segments.

A trie of all patterns is walked with sets of nodes (the subset construction), once,
when a policy is loaded. Wildcards in the middle of paths can make the sets many;
past a bound that is an error in the policy, not a slow request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ratelimit.policy.routing.pattern import Pattern

MOST_STATES = 8192


class TooManyStates(ValueError):
    """The patterns overlap in more ways than the automaton may have states."""


class State:
    """The state of a path after some of its segments."""

    __slots__ = ("accepts", "default", "final", "following")

    following: dict[str, State]
    """Next state by segment, where a literal matters."""
    default: State
    """Next state after any other segment."""
    accepts: tuple[int, ...]
    """The patterns that match a path which ends here."""
    final: bool
    """True if no further segment can change anything: then `default` is the state itself."""


class _Node:
    __slots__ = ("ends", "literals", "rests", "wild")

    def __init__(self) -> None:
        self.literals: dict[str, int] = {}
        self.wild: int | None = None
        self.ends: list[int] = []
        self.rests: list[int] = []


_Key = tuple[frozenset[int], frozenset[int]]


def build(patterns: Sequence[Pattern]) -> tuple[State, list[State]]:
    """Return the first state, and all of them; patterns are named by position.

    Raises:
        TooManyStates: more than MOST_STATES are needed.
    """
    nodes = _trie(patterns)
    states: dict[_Key, State] = {}
    waiting: list[tuple[_Key, State]] = []

    def state_of(live: frozenset[int], passed: frozenset[int]) -> State:
        # `passed` are nodes that were left by their "everything below" patterns.
        key = (live, passed | {number for number in live if nodes[number].rests})
        known = states.get(key)
        if known is None:
            if len(states) >= MOST_STATES:
                raise TooManyStates
            known = states[key] = State()
            waiting.append((key, known))
        return known

    first = state_of(frozenset((0,)), frozenset())
    while waiting:
        (live, passed), state = waiting.pop()
        here = [nodes[number] for number in live]
        wild = frozenset(node.wild for node in here if node.wild is not None)
        by_literal: dict[str, set[int]] = {}
        for node in here:
            for literal, child in node.literals.items():
                by_literal.setdefault(literal, set()).add(child)
        state.default = state_of(wild, passed)
        state.following = {word: state_of(wild | children, passed) for word, children in by_literal.items()}
        state.final = not live
        matched = {pattern for node in here for pattern in node.ends}
        matched.update(pattern for number in passed for pattern in nodes[number].rests)
        state.accepts = tuple(sorted(matched))
    return first, list(states.values())


def walk(state: State, segments: Iterable[str]) -> State:
    """Return the state after these segments."""
    for segment in segments:
        state = state.following.get(segment) or state.default
        if state.final:
            break
    return state


def _trie(patterns: Sequence[Pattern]) -> list[_Node]:
    nodes = [_Node()]
    for number, pattern in enumerate(patterns):
        node = nodes[0]
        for segment in pattern.segments:
            child = node.wild if segment is None else node.literals.get(segment)
            if child is None:
                child = len(nodes)
                nodes.append(_Node())
                if segment is None:
                    node.wild = child
                else:
                    node.literals[segment] = child
            node = nodes[child]
        (node.rests if pattern.rest else node.ends).append(number)
    return nodes
