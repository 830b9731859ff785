"""Envoy's rate-limit service: its descriptors as limits, for `ratelimit serve --envoy` in its place.

A descriptor is a path of entries (key, or key and value) down to a `rate_limit`. An entry without a value
counts each value by itself: it is an identity, named as its key, which `ratelimit serve` finds in a call.
An entry with a value beside one without is a tier of its limit. Which descriptors a call has is written in
Envoy's routes, which are not here; the policy says what was taken for it.

Differs from the service, and so is a loss: the service counts a call for every limit, also where another
refuses it. So of limits that could apply to one call only one is carried exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ratelimit.cli.importing.descriptors import Node, read_descriptors
from ratelimit.cli.importing.draft import LimitDraft, PolicyDraft, identity_name

_PATHS = ("path", ":path", "request_path", "url_path", "uri")
_METHODS = ("method", ":method", "request_method")
_CONSTANTS = ("generic_key", "destination_cluster", "source_cluster", "header_match", "query_match")
_ADDRESS = "remote_address"
_MASKED = "masked_remote_address"
_SPECIAL = ("unit", "done")
"""Keys that say something else to `ratelimit serve`."""
_MOST_PARTS = 64
ASSUMED = (
    "Envoy's routes are not read. The policy takes each call to have one descriptor for each list of keys, "
    "with what the keys' names say, and to leave a descriptor out only where one of its values is missing."
)
EMPTY = (
    "A value that is empty counts there as a value, and here as missing, so that the limit does not apply. "
    "A caller has the same there by leaving the field out."
)


def read_envoy(
    texts: Sequence[tuple[str, str]], draft: PolicyDraft, sources: Mapping[str, str] | None = None
) -> None:
    """Add the limits of a service's configuration to a draft.

    Args:
        texts: names and contents of its files, YAML.
        draft: what grows.
        sources: where keys come from without Envoy, as the operator knows: `user_id` from `header:x-user-id`.

    Raises:
        ValueError: one is no such configuration; the message says why.
    """
    first: str | None = None
    for file, text in texts:
        for place, domain, nodes in read_descriptors(file, text, draft):
            if first is not None:
                why = (
                    f"the service keeps it apart from the domain {first}, and a policy has one for all calls."
                )
                draft.lose(place, f"domain: {domain}", why, "Import each domain by itself.")
            first = first or domain
            _Reader(draft, sources or {}).read(nodes, [])
    _lose_others(draft)
    draft.remark(ASSUMED)
    if any(name != "address" for limit in draft.limits for name in limit.per):
        draft.remark(EMPTY)


def _lose_others(draft: PolicyDraft) -> None:
    """Say that a call which one limit refuses counts for the others there."""
    enforced = [limit for limit in draft.limits if not limit.is_shadow]
    for limit in enforced[1:]:
        draft.lose(
            limit.place,
            limit.name,
            "it may apply to the same call as another limit. The service counts a call also where the other "
            "limit refuses it, and a policy counts it for all limits or for none.",
            "With STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT=true the service does the same: write --partial.",
        )


class _Reader:
    """Walks the tree of one configuration."""

    def __init__(self, draft: PolicyDraft, sources: Mapping[str, str]) -> None:
        self._draft = draft
        self._sources = sources

    def read(self, nodes: Sequence[Node], above: Sequence[Node]) -> None:
        """Add what some siblings say."""
        general = {node.key: node for node in nodes if node.value is None}
        values: dict[str, list[Node]] = {}
        for node in nodes:
            if node.value is not None:
                values.setdefault(node.key, []).append(node)
        self._look_for_doubles(nodes)
        for node in nodes:
            if node.value is None:
                self._read_general(node, values.get(node.key, ()), above)
            else:
                self._read_value(node, general.get(node.key), above)

    def _look_for_doubles(self, nodes: Sequence[Node]) -> None:
        """Say which siblings the service would take for one another: it joins key and value by `_`."""
        joined: dict[str, Node] = {}
        for node in nodes:
            name = node.key if node.value is None else f"{node.key}_{node.value}"
            if name in joined:
                place = joined[name].place
                self._draft.lose(
                    node.place, str(node), f"the service takes it for the descriptor of {place}."
                )
            joined.setdefault(name, node)
        keys = {node.key for node in nodes}
        for node in nodes:
            if node.key.lower() in ("authorization", "proxy-authorization", "cookie"):
                self._lose(node, "a policy reads such a value by its grammar, and the service as it is.")
            if node.key != node.key.lower() and node.key.lower() in keys:
                self._lose(node, f"`ratelimit serve` takes it for the key `{node.key.lower()}`.")
        for node in nodes:
            parts = node.key.split("_")
            for key in ("_".join(parts[:count]) for count in range(1, min(len(parts), _MOST_PARTS))):
                if key in keys:
                    why = f"the service also takes it for `{key}` with a value, as it joins both by `_`."
                    self._draft.lose(node.place, str(node), why, "Rename one of the keys.")

    def _read_general(self, node: Node, tiers: Sequence[Node], above: Sequence[Node]) -> None:
        path = [*above, node]
        if node.limit is not None:
            self._add(path, self._tiers(node, tiers))
        if node.children and tiers:
            self._draft.lose(
                tiers[0].place,
                str(tiers[0]),
                f"calls with this value do not fall under what is nested under `{node.key}`, "
                "and under the limits of a policy they do.",
            )
        self.read(node.children, path)

    def _read_value(self, node: Node, general: Node | None, above: Sequence[Node]) -> None:
        is_tier = general is not None and general.limit is not None
        if node.value is not None and "*" in node.value:
            self._lose(node, "a `*` in a value stands for any text, and a tier of a policy has one value.")
        elif node.limit is not None and not is_tier:
            if node.key in _PATHS or node.key in _METHODS:
                self._lose(
                    node,
                    "the service compares the value as it is, and a policy all spellings of a path.",
                    "Write a limit with the `match` of the route.",
                )
                self._add([*above, node], {})
            else:
                self._lose(
                    node,
                    f"it limits one value of `{node.key}`; which requests have it only Envoy's routes know.",
                    f"Write a limit of {node.limit.rate} with the `match` of theirs.",
                )
        self.read(node.children, [*above, node])

    def _tiers(self, node: Node, tiers: Sequence[Node]) -> dict[str, str]:
        """Return the rates of values beside their key; empty for no limit."""
        rates: dict[str, str] = {}
        for tier in tiers:
            if tier.value is None or "*" in tier.value:
                continue  # said by itself
            if node.key == _ADDRESS:
                self._lose(tier, "a policy has no tier for an address.", "Write [allow] or [deny].")
            elif tier.limit is None:
                if not tier.is_lost:
                    rates[tier.value] = ""
            elif tier.is_shadow != node.is_shadow:
                why = "it is in shadow mode" if tier.is_shadow else "it is enforced"
                self._lose(
                    tier, f"{why}, other than its key, and a limit of a policy has one mode for all values."
                )
                if tier.is_shadow:
                    rates[tier.value] = ""  # shadow refuses no call either
            else:
                rates[tier.value] = tier.limit.rate
        return rates

    def _lose(self, node: Node, why: str, instead: str = "") -> None:
        self._draft.lose(node.place, str(node), why, instead)

    def _add(self, path: Sequence[Node], tiers: Mapping[str, str]) -> None:
        node = path[-1]
        assert node.limit is not None
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
                self._lose(
                    node,
                    f"it is nested under {entry}; which requests have that only Envoy's routes know.",
                    f"Write a limit of {node.limit.rate} with the `match` of theirs.",
                )
                return
        if len({entry.key for entry in path}) < len(path):
            self._lose(node, "one key is in its list twice, and a caller has one value for it.")
            return
        if paths or methods:
            self._lose(
                node,
                "the service compares paths and methods as they are, and a policy all spellings of a path.",
                "Write a limit with the `match` of the route.",
            )
        match = self._match(node, paths, methods)
        if match is None:
            return
        self._draft.add(
            LimitDraft(
                node.place,
                node.limit.name or " / ".join(str(entry) for entry in path),
                list(dict.fromkeys(per)),
                node.limit.rate,
                match,
                is_shadow=node.is_shadow,
                tier=per[-1] if tiers else None,
                tiers=tiers,
            )
        )

    def _match(self, node: Node, paths: Sequence[str], methods: Sequence[str]) -> list[str] | None:
        """Return the pattern of one path and method at most; None, with a loss, for what has none."""
        if len(paths) > 1 or len(methods) > 1:
            self._lose(node, "two paths or two methods at once match no request.")
            return None
        if not paths and not methods:
            return []
        path = paths[0] if paths else "/*"
        return [f"{methods[0]} {path}" if methods else path]

    def _identity(self, entry: Node) -> str | None:
        name = identity_name(entry.key)
        if entry.key in self._sources:
            return self._draft.identity(name, self._sources[entry.key], ', missing = "skip"')
        if entry.key == _ADDRESS:
            return self._draft.address("skip")
        if entry.key == _MASKED:
            why = "how much of the address is left is written in Envoy's routes."
            self._lose(entry, why, f"Say --from {_MASKED}=client, and write `prefix` into the identity.")
            return None
        if entry.key in (*_PATHS, *_METHODS, *_CONSTANTS, *_SPECIAL) or not entry.key.isprintable():
            self._lose(
                entry,
                "it is a limit for each value of what is no identity of a caller.",
                "Write a limit for each route that matters.",
            )
            return None
        # `ratelimit serve` takes a key that is no identity's name for a header of that name.
        made = self._draft.identity(name, f"header:{entry.key.lower()}", ', missing = "skip"')
        if made != name:
            self._lose(entry, "its name is too much like another key's.", "Rename one of the keys.")
        return made
