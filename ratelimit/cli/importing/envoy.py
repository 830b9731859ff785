"""Envoy's rate-limit service: its descriptors as limits.

A descriptor is a path of entries (key, or key and value) down to a `rate_limit`. An entry without a
value counts each value by itself: it is an identity. An entry with a value says which requests are
meant: a path, a method, or one value of an identity, which is a tier. What a key means is written in
Envoy's routes, which are not here; so identities are guesses where the key does not tell, and said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ratelimit.cli.importing.draft import LimitDraft, Place, PolicyDraft, identity_name
from ratelimit.parsing.yaml import read_yaml

_UNITS = ("second", "minute", "hour", "day", "week", "month", "year")
_PATHS = ("path", ":path", "request_path", "url_path", "uri")
_METHODS = ("method", ":method", "request_method")
_CONSTANTS = ("generic_key", "destination_cluster", "source_cluster", "header_match", "query_match")
_DEEPEST = 16
_KNOWN = {
    "key", "value", "rate_limit", "descriptors", "shadow_mode", "detailed_metric", "value_to_metric",
    "share_threshold", "quota_mode",
}  # fmt: skip
_HARMLESS = {"detailed_metric", "value_to_metric"}


@dataclass(slots=True)
class Node:
    """One descriptor of the file."""

    line: int
    key: str
    value: str | None
    settings: Mapping[str, Any]
    lines: Mapping[str, int]
    children: list[Node] = field(default_factory=list)


def read_envoy(file: str, text: str, draft: PolicyDraft, sources: Mapping[str, str]) -> None:
    """Add the limits of a service's configuration to a draft.

    Args:
        file: its name, for notes.
        text: its content, YAML.
        draft: what grows.
        sources: where keys come from, as the operator knows: `user_id` from `header:x-user-id`.

    Raises:
        ValueError: it is no such configuration; the message says why.
    """
    import yaml

    found = False
    for document in read_yaml(text):
        for sequence, offset in _descriptor_lists(document, yaml):
            found = True
            _Reader(file, draft, sources).read_descriptors(list(_nodes(sequence, yaml, offset)), [])
    if not found:
        raise ValueError("no `descriptors` in it: is it the configuration of Envoy's rate-limit service?")


def _descriptor_lists(node: Any, yaml: Any, offset: int = 0) -> Iterator[tuple[Any, int]]:
    """Yield the lists under the outermost `descriptors`, each with the lines of the file before its text.

    They are at the top, or in a text within a ConfigMap's `data`.
    """
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "descriptors" and isinstance(value, yaml.SequenceNode):
                yield value, offset
            elif isinstance(value, yaml.MappingNode | yaml.SequenceNode):
                yield from _descriptor_lists(value, yaml, offset)
            elif "descriptors:" in value.value:
                # A block begins on the line after the key's.
                for inner in read_yaml(value.value):
                    yield from _descriptor_lists(inner, yaml, offset + value.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _descriptor_lists(item, yaml, offset)


def _nodes(sequence: Any, yaml: Any, offset: int, depth: int = 0) -> Iterator[Node]:
    if depth > _DEEPEST:
        raise ValueError(f"descriptors are nested more than {_DEEPEST} deep")
    for item in sequence.value:
        if not isinstance(item, yaml.MappingNode):
            raise ValueError(f"line {offset + item.start_mark.line + 1}: a descriptor is a mapping")
        pairs = [(key, value) for key, value in item.value if isinstance(key, yaml.ScalarNode)]
        members = {key.value: value for key, value in pairs}
        settings = {name: _plain(value, yaml) for name, value in members.items() if name != "descriptors"}
        value = settings.get("value")
        node = Node(
            offset + item.start_mark.line + 1,
            str(settings.get("key", "")),
            None if value in (None, "") else str(value),
            settings,
            {key.value: offset + key.start_mark.line + 1 for key, _ in pairs},
        )
        inner = members.get("descriptors")
        if isinstance(inner, yaml.SequenceNode):
            node.children = list(_nodes(inner, yaml, offset, depth + 1))
        yield node


def _plain(node: Any, yaml: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value, yaml) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, yaml) for item in node.value]
    return node.value


class _Reader:
    """Walks the tree of one configuration."""

    def __init__(self, file: str, draft: PolicyDraft, sources: Mapping[str, str]) -> None:
        self._file = file
        self._draft = draft
        self._sources = sources

    def read_descriptors(self, nodes: Sequence[Node], above: Sequence[Node]) -> None:
        """Add what some siblings say."""
        general = {node.key: node for node in nodes if node.value is None and "rate_limit" in node.settings}
        for node in nodes:
            self._say_settings(node)
            if "rate_limit" in node.settings and not self._is_tier(node, general):
                siblings = [
                    other
                    for other in nodes
                    if general.get(other.key) is node and self._is_tier(other, general)
                ]
                self._limit([*above, node], siblings)
            self.read_descriptors(node.children, [*above, node])

    @staticmethod
    def _is_tier(node: Node, general: Mapping[str, Node]) -> bool:
        """Whether a node gives other numbers to one value of what a sibling counts each value of."""
        return (
            node.value is not None
            and node.key in general
            and "rate_limit" in node.settings
            and node.key not in (*_PATHS, *_METHODS, *_CONSTANTS, "remote_address", "masked_remote_address")
        )

    def _limit(self, path: Sequence[Node], tiers: Sequence[Node]) -> None:
        node = path[-1]
        place = Place(self._file, node.line)
        rate = self._rate(node)
        if not rate:
            return
        per: list[str] = []
        paths: list[str] = []
        methods: list[str] = []
        for entry in path:
            if entry.value is None:
                name = self._identity(entry)
                if name is None:
                    return
                per.append(name)
            elif entry.key in _PATHS:
                paths.append(entry.value)
            elif entry.key in _METHODS:
                methods.append(entry.value.upper())
            else:
                self._draft.note(
                    Place(self._file, entry.line),
                    f"{entry.key} = {entry.value}: only Envoy's routes know which requests these are; write "
                    f"a limit of {rate} with the `match` of theirs",
                )
                return
        match = self._match(place, paths, methods)
        if match is None:
            return
        key = identity_name(node.key)
        self._draft.add(
            LimitDraft(
                place,
                str(_limits(node).get("name") or " / ".join(_title(entry) for entry in path)),
                list(dict.fromkeys(per)),
                rate,
                match,
                is_shadow=_is_true(node.settings.get("shadow_mode")),
                tier=key if tiers else None,
                tiers={str(tier.value): self._rate(tier) or "" for tier in tiers},
            )
        )

    def _match(self, place: Place, paths: Sequence[str], methods: Sequence[str]) -> list[str] | None:
        """Return the pattern of one path and method at most; None, with a note, for what has none."""
        if len(paths) > 1 or len(methods) > 1:
            self._draft.note(place, "two paths or two methods at once match no request")
            return None
        if not paths and not methods:
            return []
        path = paths[0] if paths else "/*"
        if not path.startswith("/"):
            self._draft.note(place, f"the path {path} does not begin with a slash")
            return None
        if path.endswith("*") and not path.endswith("/*"):
            self._draft.note(place, f"{path}: a `*` stands for whole segments here; {path[:-1]} is not one")
            return None
        return [f"{methods[0]} {path}" if methods else path]

    def _identity(self, entry: Node) -> str | None:
        place = Place(self._file, entry.line)
        name = identity_name(entry.key)
        if entry.key in self._sources:
            return self._draft.identity(name, self._sources[entry.key])
        if entry.key == "remote_address":
            return self._draft.identity("ip", "client")
        if entry.key == "masked_remote_address":
            self._draft.note(
                place, "masked_remote_address: write the prefixes that Envoy's route has", is_lost=False
            )
            return self._draft.identity("network", "client", ", prefix = { v4 = 24, v6 = 64 }")
        if entry.key in (*_PATHS, *_METHODS, *_CONSTANTS):
            self._draft.note(
                place, f"a limit for each value of {entry.key}: write one for each route that matters"
            )
            return None
        header = entry.key.lower().replace("_", "-")
        self._draft.note(
            place,
            f"{entry.key}: taken for the header {header}; if Envoy's request_headers action reads another, "
            f"say --from {entry.key}=header:NAME",
            is_lost=False,
        )
        return self._draft.identity(name, f"header:{header}", ', missing = "skip"')

    def _rate(self, node: Node) -> str | None:
        """Return a node's rate; empty where it is unlimited, None, with a note, where it is none."""
        limit = _limits(node)
        line = node.lines.get("rate_limit", node.line)
        place = Place(self._file, line)
        for name in limit.get("replaces") or ():
            self._draft.note(
                place, f"replaces {name}: both limits apply here, the stricter one binds", is_lost=False
            )
        if _is_true(limit.get("unlimited")):
            return ""
        unit, amount = str(limit.get("unit", "")).lower(), str(limit.get("requests_per_unit", ""))
        if unit not in _UNITS or not amount.isdecimal():
            self._draft.note(place, f"{_title(node)}: no unit and requests_per_unit that are known")
            return None
        if amount == "0":
            self._draft.note(place, f"{_title(node)}: 0 per {unit} refuses everything; write it under [deny]")
            return None
        return f"{int(amount)}/{unit}"

    def _say_settings(self, node: Node) -> None:
        for name in node.settings:
            if name in _HARMLESS:
                continue
            place = Place(self._file, node.lines.get(name, node.line))
            if name not in _KNOWN:
                self._draft.note(place, f"{name} is not a setting that is known here")
            elif name in ("share_threshold", "quota_mode") and _is_true(node.settings[name]):
                self._draft.note(place, f"{name} has no counterpart here")


def _limits(node: Node) -> Mapping[str, Any]:
    limit = node.settings.get("rate_limit")
    return limit if isinstance(limit, Mapping) else {}


def _title(node: Node) -> str:
    return node.key if node.value is None else f"{node.key}={node.value}"


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"
