"""Descriptors of Envoy's rate-limit service, read from YAML as the service itself reads them.

A setting that the service would refuse, or read in another way than it looks, is a loss with its line. The
service takes a file whole or not at all, and so does the import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ratelimit.cli.importing.draft import Place, PolicyDraft
from ratelimit.parsing.yaml import read_yaml

_DEEPEST_DESCRIPTORS = 16
_MOST_REQUESTS = 2**32 - 1

PERIODS = {
    "second": "second",
    "minute": "minute",
    "hour": "hour",
    "day": "day",
    "week": "week",
    "month": "month",
    # A year has 360 days in a policy, as in `limits`, and 365 in the service.
    "year": "365 days",
}
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_PLAIN = ("str", "int", "float", "bool", "null", "timestamp")
_FLAGS = ("shadow_mode", "quota_mode", "detailed_metric", "value_to_metric", "share_threshold")
_AT_THE_TOP = ("domain", "descriptors")
_IN_A_DESCRIPTOR = ("key", "value", "rate_limit", "descriptors", "metadata", *_FLAGS)
_IN_A_LIMIT = ("unit", "requests_per_unit", "unlimited", "name", "replaces")


@dataclass(slots=True)
class Limit:
    """The `rate_limit` of a descriptor."""

    amount: int
    period: str
    name: str

    @property
    def rate(self) -> str:
        """As a policy has it."""
        return f"{self.amount} per {self.period}" if " " in self.period else f"{self.amount}/{self.period}"


@dataclass(slots=True)
class Node:
    """One descriptor."""

    place: Place
    key: str
    value: str | None
    limit: Limit | None = None
    """None where nothing is limited: `unlimited`, or no `rate_limit` at all."""
    is_lost: bool = False
    """True if something is limited that the policy does not carry."""
    is_shadow: bool = False
    children: list[Node] = field(default_factory=list)

    def __str__(self) -> str:
        return self.key if self.value is None else f"{self.key}={self.value}"


def read_descriptors(file: str, text: str, draft: PolicyDraft) -> list[tuple[Place, str, list[Node]]]:
    """Return the configurations of a file: where each stands, its domain, and its descriptors.

    A file is one of them, or has manifests for Kubernetes, with ConfigMaps that hold such files.

    Raises:
        ValueError: it is no such file; the message says why.
    """
    import yaml

    found = []
    documents = read_yaml(text)
    for document in documents:
        members = _scalars_of(document, yaml)
        if members.get("kind") == "ConfigMap":
            for inner, offset in _texts_of(document, yaml):
                found.append(_Reading(file, offset, draft, yaml).configuration(inner))
        elif "kind" not in members:
            if _member(document, "descriptors", yaml) is None:
                raise ValueError(
                    "no `descriptors` in it: is it the configuration of Envoy's rate-limit service?"
                )
            if len(documents) > 1:
                raise ValueError("several documents in one file, of which the service reads the first alone")
            found.append(_Reading(file, 0, draft, yaml).configuration(document))
    if not found:
        raise ValueError("no `descriptors` in it: is it the configuration of Envoy's rate-limit service?")
    return found


def _member(node: Any, name: str, yaml: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == name), None)
    return None


def _scalars_of(node: Any, yaml: Any) -> Mapping[str, str]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {
        key.value: value.value
        for key, value in node.value
        if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)
    }


def _texts_of(config_map: Any, yaml: Any) -> Iterator[tuple[Any, int]]:
    """Yield the configurations in a ConfigMap's texts, each with the lines of the file before it."""
    data = _member(config_map, "data", yaml)
    for name, value in data.value if isinstance(data, yaml.MappingNode) else ():
        # The service reads files of this name and no others.
        if isinstance(value, yaml.ScalarNode) and str(name.value).endswith((".yaml", ".yml")):
            documents = read_yaml(value.value)
            if len(documents) != 1:
                line = value.start_mark.line + 1
                raise ValueError(f"line {line}: the service reads only one document of a text")
            # A block begins on the line after the key's.
            yield documents[0], value.start_mark.line + 1


class _Reading:
    """Reads one configuration.

    Args:
        file: its name.
        offset: lines of the file before it.
        draft: takes what the service would not accept.
        yaml: the module.
    """

    def __init__(self, file: str, offset: int, draft: PolicyDraft, yaml: Any) -> None:
        self._file = file
        self._offset = offset
        self._draft = draft
        self._yaml = yaml

    def configuration(self, root: Any) -> tuple[Place, str, list[Node]]:
        """Return place, domain and descriptors of a document."""
        members = self._members(root, _AT_THE_TOP, "a configuration")
        domain = self._text(members.get("domain"))
        if not domain:
            self._draft.lose(self._place(root), "domain", "the service loads no file without a domain.")
        return self._place(root), domain or "", self._list(members.get("descriptors"), 0)

    def _place(self, node: Any) -> Place:
        return Place(self._file, self._offset + node.start_mark.line + 1)

    def _lose(self, node: Any, text: str, why: str, instead: str = "") -> None:
        self._draft.lose(self._place(node), text, why, instead)

    def _members(self, node: Any, known: Sequence[str], what: str) -> dict[str, Any]:
        """Return a mapping's values by name, those that the service reads."""
        if not isinstance(node, self._yaml.MappingNode):
            self._lose(node, what, "the service expects a mapping here.")
            return {}
        members: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, self._yaml.ScalarNode) or key.value not in known:
                name = key.value if isinstance(key, self._yaml.ScalarNode) else "a key"
                self._lose(key, str(name), f"{what} has no such setting.", f"There are {', '.join(known)}.")
            elif key.value in members:
                self._lose(key, key.value, "it is there twice.", "Take one away.")
            else:
                members[key.value] = value
        return members

    def _text(self, node: Any) -> str | None:
        """Return a scalar's text; None for no value, with a loss for anything else."""
        if node is None:
            return None
        if not isinstance(node, self._yaml.ScalarNode) or node.tag.rpartition(":")[2] not in _PLAIN:
            self._lose(node, str(node.tag.rpartition(":")[2]), "the service expects a text here.")
            return None
        is_null = node.tag.endswith(":null") and not node.style
        return None if is_null else str(node.value)

    def _is_on(self, members: Mapping[str, Any], name: str) -> bool:
        node = members.get(name)
        text = self._text(node)
        if text is not None and text not in (*_TRUE, *_FALSE):
            self._lose(node, f"{name}: {text}", "it is read as a truth value.", "Write `true` or `false`.")
        return text in _TRUE

    def _list(self, node: Any, depth: int) -> list[Node]:
        if node is None or (isinstance(node, self._yaml.ScalarNode) and self._text(node) is None):
            return []
        if not isinstance(node, self._yaml.SequenceNode):
            self._lose(node, "descriptors", "the service expects a list here.")
            return []
        if depth > _DEEPEST_DESCRIPTORS:
            self._lose(node, "descriptors", f"they are nested more than {_DEEPEST_DESCRIPTORS} deep.")
            return []
        return [self._descriptor(item, depth) for item in node.value]

    def _descriptor(self, item: Any, depth: int) -> Node:
        members = self._members(item, _IN_A_DESCRIPTOR, "a descriptor")
        key = self._text(members.get("key"))
        if not key:
            self._lose(item, "key", "the service loads no descriptor without a key.")
        node = Node(self._place(item), key or "", self._text(members.get("value")) or None)
        is_on = {name: self._is_on(members, name) for name in _FLAGS}
        node.is_shadow = is_on["shadow_mode"]
        if is_on["quota_mode"]:
            self._lose(
                members["quota_mode"],
                "quota_mode: true",
                "a quota refuses only where all quotas of a call are used up; a limit refuses by itself.",
            )
        if is_on["share_threshold"]:
            self._lose(
                members["share_threshold"],
                "share_threshold: true",
                "a policy has no limit for all values of a pattern together.",
            )
        if "metadata" in members and self._text_or_part(members["metadata"]):
            self._lose(
                members["metadata"], "metadata", "`ratelimit serve` gives Envoy no metadata to route by."
            )
        if "rate_limit" in members:
            self._limit(node, members["rate_limit"], is_quota=is_on["quota_mode"])
        node.children = self._list(members.get("descriptors"), depth + 1)
        return node

    def _text_or_part(self, node: Any) -> bool:
        """Return whether a node says anything."""
        return not isinstance(node, self._yaml.ScalarNode) or not node.tag.endswith(":null")

    def _limit(self, node: Node, at: Any, *, is_quota: bool) -> None:
        if not self._text_or_part(at):
            return
        members = self._members(at, _IN_A_LIMIT, "rate_limit")
        node.is_lost = True  # until it is read
        replaced = members.get("replaces")
        if replaced is not None and getattr(replaced, "value", None):
            self._lose(
                replaced,
                "replaces",
                "where both apply, only this limit does, and in a policy every limit that matches does.",
                "Write one limit with `tiers`.",
            )
        unit = self._text(members.get("unit")) or ""
        if self._is_on(members, "unlimited"):
            if unit.lower() in PERIODS:
                self._lose(
                    members["unit"], f"unit: {unit}", "the service loads no unlimited limit with a unit."
                )
            node.is_lost = False
            return
        amount = self._amount(members.get("requests_per_unit"), at)
        if unit.lower() not in PERIODS:
            units = ", ".join(PERIODS)
            self._lose(
                members.get("unit", at), f"unit: {unit}", "the service has no such unit.", f"It has {units}."
            )
        elif amount == 0:
            self._lose(
                members.get("requests_per_unit", at),
                f"{node}: 0 per {unit}",
                "it refuses always, and a limit of a policy lets something pass.",
                "Write the values under [deny].",
            )
        elif amount is not None and not is_quota:
            name = self._text(members.get("name")) or ""
            node.limit = Limit(amount, PERIODS[unit.lower()], name)
            node.is_lost = False

    def _amount(self, node: Any, at: Any) -> int | None:
        if node is None:
            return 0  # as the service has it
        text = self._text(node) or ""
        is_whole = isinstance(node, self._yaml.ScalarNode) and node.tag.endswith(":int") and not node.style
        # 010 is 8 there, and 1_000 a thousand.
        if not is_whole or not text.isdecimal() or not text.isascii() or (len(text) > 1 and text[0] == "0"):
            self._lose(
                node, f"requests_per_unit: {text}", "it is no whole number.", "Write it with digits alone."
            )
            return None
        if len(text) > len(str(_MOST_REQUESTS)) or int(text) > _MOST_REQUESTS:
            self._lose(node, f"requests_per_unit: {text}", f"the service has at most {_MOST_REQUESTS}.")
            return None
        return int(text)
