"""The files of domains: YAML as the reference service reads it, checked whole before anything is in force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ratelimit.codes import Severity
from ratelimit.environment.extras import how_to_install
from ratelimit.environment.file import read_file
from ratelimit.errors import PolicyError, Problem
from ratelimit.parsing.yaml import MOST_BYTES, YamlError, read_yaml
from ratelimit.serving.domains.model import UNITS, Domains, Limit, Node

MOST_FILES = 1_000
_MOST_REQUESTS = 2**32 - 1
_DEEPEST_METADATA = 16
_ENDINGS = (".yaml", ".yml")
_FLAGS = ("shadow_mode", "quota_mode", "detailed_metric", "value_to_metric", "share_threshold")
_AT_THE_TOP = ("domain", "descriptors")
_IN_A_DESCRIPTOR = ("key", "value", "rate_limit", "descriptors", "metadata", *_FLAGS)
_IN_A_LIMIT = ("unit", "requests_per_unit", "unlimited", "name", "replaces")
_KNOWN = frozenset((*_AT_THE_TOP, *_IN_A_DESCRIPTOR, *_IN_A_LIMIT))
_SCALARS = ("str", "int", "float", "bool", "null", "timestamp")


def load_domains(path: str, *, merges: bool = False) -> tuple[Domains, list[Problem]]:
    """Return the domains of a file, or of a folder's YAML files, and warnings.

    Args:
        path: the file or the folder.
        merges: whether several files may have parts of one domain.

    Raises:
        PolicyError: they cannot be used; `problems` has all that is wrong.
    """
    problems: list[Problem] = []
    tops: dict[str, Node] = {}
    for name in files_of(path, problems):
        reading = _Reading(name, problems)
        root = reading.root()
        if root is not None:
            reading.domain(root, tops, merges=merges)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        code = errors[0].code if len(errors) == 1 else "descriptors-invalid"
        raise PolicyError("\n".join(map(str, errors[:20])), code=code, problems=problems)
    return Domains(tops), problems


def files_of(path: str, problems: list[Problem]) -> list[str]:
    """Return the files that a path stands for, in the order of their names."""
    place = Path(path)
    try:
        if not place.is_dir():
            return [path]
        found = sorted(
            str(each) for each in place.iterdir() if each.suffix in _ENDINGS and not each.name.startswith(".")
        )
    except (OSError, ValueError) as error:
        problems.append(_unreadable(path, str(getattr(error, "strerror", None) or error)))
        return []
    if not found:
        problems.append(_unreadable(path, "the folder has no file that ends in .yaml or .yml"))
    if len(found) > MOST_FILES:
        problems.append(_unreadable(path, f"the folder has more than {MOST_FILES} files"))
        return []
    return found


def _unreadable(path: str, why: str) -> Problem:
    hint = "Name a file of Envoy's rate-limit service, or a folder with such files."
    return Problem("descriptors-unreadable", "error", why, path, None, "", hint)


class _Reading:
    """Reads one file.

    Args:
        name: the file.
        problems: takes what is wrong or odd.
    """

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self._name = name
        self._problems = problems
        self._yaml: Any = None

    def root(self) -> Any:
        """Return the file's first document; None, with a problem, where there is none."""
        try:
            text = read_file(self._name, MOST_BYTES).decode("utf-8-sig")
            documents = read_yaml(text, aliases=True)
            import yaml
        except ModuleNotFoundError:
            hint = f"Install it: {how_to_install('pyyaml')}."
            self._note("descriptors-unreadable", None, "", "reading YAML needs PyYAML", hint)
            return None
        except OSError as error:
            self._note(
                "descriptors-unreadable", None, "", f"the file cannot be read: {error.strerror or error}"
            )
            return None
        except UnicodeDecodeError:
            self._note("descriptors-syntax", None, "", "the file is not UTF-8", "Save it as UTF-8.")
            return None
        except YamlError as error:
            self._note("descriptors-syntax", None, "", str(error))
            return None
        self._yaml = yaml
        if not documents:
            self._wrong(None, "domain", "the file has no domain")
            return None
        if len(documents) > 1:
            self._odd(documents[1], "", "only the first document of a file is read, and this is another one")
        return documents[0]

    def domain(self, root: Any, tops: dict[str, Node], *, merges: bool) -> None:
        """Add what a document says."""
        self._check_keys(root)
        members = self._members(root, _AT_THE_TOP, "a file", "")
        domain = self._text(members.get("domain"), "domain")
        if not domain:
            self._wrong(members.get("domain", root), "domain", "the file has no domain")
            return
        if domain in tops and not merges:
            self._wrong(
                members["domain"],
                "domain",
                f"another file has the domain {domain!r} already",
                "Join the two files, or set MERGE_DOMAIN_CONFIG=true.",
            )
            return
        top = tops.setdefault(domain, Node(domain))
        self._children(members.get("descriptors"), top, "descriptors")

    # -- descriptors -------------------------------------------------------------------------------

    def _children(self, node: Any, above: Node, at: str) -> None:
        keys = {
            self._descriptor(item, above, f"{at}[{number}]")
            for number, item in enumerate(self._list(node, at))
            if isinstance(item, self._yaml.MappingNode)  # others are noted already
        }
        for name in above.children:
            parts = name.split("_")
            for count in range(1, min(len(parts), 64)):
                key = "_".join(parts[:count])
                if key in keys and name in keys:
                    self._problems.append(
                        Problem(
                            "descriptors-ambiguous",
                            "warning",
                            f"a call with the key {key!r} and the value {name[len(key) + 1 :]!r} falls under "
                            f"{name!r}, as key and value are compared with `_` between them",
                            self._name,
                            None,
                            at,
                            "Rename one of the keys.",
                        )
                    )

    def _descriptor(self, item: Any, above: Node, at: str) -> str:
        """Add a descriptor; return its key."""
        members = self._members(item, _IN_A_DESCRIPTOR, "a descriptor", at)
        key = self._text(members.get("key"), f"{at}.key")
        if not key:
            self._wrong(members.get("key", item), f"{at}.key", "the descriptor has no key")
            key = ""
        value = self._text(members.get("value"), f"{at}.value") or ""
        flags = {name: self._flag(members.get(name), f"{at}.{name}") for name in _FLAGS}
        name = f"{key}_{value}" if value else key
        made = Node(
            f"{above.key}.{name}", names_value=flags["value_to_metric"], shares=flags["share_threshold"]
        )
        if name in above.children:
            self._wrong(item, at, f"the descriptor {made.key!r} is there twice")
        if made.shares and "*" not in name:
            self._wrong(
                members["share_threshold"],
                f"{at}.share_threshold",
                f"only values with a `*` can share a threshold, and {name!r} has none",
            )
        metadata = self._metadata(members.get("metadata"), f"{at}.metadata")
        made.limit = self._limit(members.get("rate_limit"), f"{at}.rate_limit", flags, metadata)
        above.children.setdefault(name, made)
        if "*" in name:
            above.patterns.append((name, tuple(name.split("*"))))
        self._children(members.get("descriptors"), made, f"{at}.descriptors")
        return key

    def _limit(
        self, node: Any, at: str, flags: Mapping[str, bool], metadata: Mapping[str, Any] | None
    ) -> Limit | None:
        if node is None or self._is_null(node):
            return None
        members = self._members(node, _IN_A_LIMIT, "a rate_limit", at)
        name = self._text(members.get("name"), f"{at}.name") or ""
        written = self._text(members.get("unit"), f"{at}.unit") or ""
        unit = UNITS.get(written.upper(), 0)
        is_unlimited = self._flag(members.get("unlimited"), f"{at}.unlimited")
        if is_unlimited and unit:
            self._wrong(members["unit"], f"{at}.unit", "an unlimited rate_limit has no unit")
        elif not is_unlimited and not unit:
            units = ", ".join(map(str.lower, UNITS))
            self._wrong(
                members.get("unit", node),
                f"{at}.unit",
                f"there is no unit {written!r}",
                f"There are {units}.",
            )
        replaces = []
        for number, each in enumerate(self._list(members.get("replaces"), f"{at}.replaces")):
            place = f"{at}.replaces[{number}].name"
            replaced = self._text(
                self._members(each, ("name",), "an entry of replaces", place).get("name"), place
            )
            if not replaced:
                self._wrong(each, place, "the entry of `replaces` has no name")
            elif replaced == name:
                self._wrong(each, place, f"the limit {name!r} replaces itself")
            replaces.append(replaced or "")
        return Limit(
            self._amount(members.get("requests_per_unit"), f"{at}.requests_per_unit"),
            unit,
            name,
            tuple(replaces),
            is_unlimited=is_unlimited,
            is_shadow=flags["shadow_mode"],
            is_quota=flags["quota_mode"],
            is_detailed=flags["detailed_metric"],
            metadata=metadata,
        )

    # -- values ------------------------------------------------------------------------------------

    def _check_keys(self, root: Any) -> None:
        """Note keys that the format does not have, at any depth but in metadata."""
        left, seen = [root], set()
        while left:
            node = left.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, self._yaml.SequenceNode):
                for item in node.value:
                    if not isinstance(item, self._yaml.MappingNode):
                        self._wrong(item, "", "a list has something else than mappings in it")
                    else:
                        left.append(item)
            elif isinstance(node, self._yaml.MappingNode):
                for key, value in node.value:
                    if key.tag.endswith(":merge"):
                        left.append(value)
                    elif not isinstance(key, self._yaml.ScalarNode) or not key.tag.endswith(":str"):
                        self._wrong(key, "", f"a key is no text: {str(key.value)[:40]}")
                    elif key.value not in _KNOWN:
                        self._wrong(key, "", f"there is no key {key.value[:40]!r}")
                    elif key.value != "metadata":
                        left.append(value)

    def _members(self, node: Any, known: Sequence[str], what: str, at: str) -> dict[str, Any]:
        """Return a mapping's values by name; one that has no meaning here is noted."""
        members: dict[str, Any] = {}
        if not isinstance(node, self._yaml.MappingNode):
            self._wrong(node, at, f"{what} is a mapping")
            return members
        for key, value in _merged(node, self._yaml):
            if not isinstance(key, self._yaml.ScalarNode):
                continue  # noted already
            if key.value in known:
                members[key.value] = value
            elif key.value in _KNOWN:
                self._odd(key, at, f"`{key.value}` has no meaning in {what}, and is ignored")
        return members

    def _list(self, node: Any, at: str) -> list[Any]:
        if node is None or self._is_null(node):
            return []
        if not isinstance(node, self._yaml.SequenceNode):
            self._wrong(node, at, "this is a list")
            return []
        return list(node.value)

    def _is_null(self, node: Any) -> bool:
        return isinstance(node, self._yaml.ScalarNode) and bool(node.tag.endswith(":null"))

    def _text(self, node: Any, at: str) -> str | None:
        if node is None or self._is_null(node):
            return None
        if not isinstance(node, self._yaml.ScalarNode) or node.tag.rpartition(":")[2] not in _SCALARS:
            self._wrong(node, at, "this is a text")
            return None
        return str(node.value)

    def _flag(self, node: Any, at: str) -> bool:
        if node is None or self._is_null(node):
            return False
        value = self._scalar(node)
        if not isinstance(value, bool):
            self._wrong(node, at, "this is true or false")
            return False
        return value

    def _amount(self, node: Any, at: str) -> int:
        if node is None or self._is_null(node):
            return 0
        value = self._scalar(node)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_REQUESTS:
            self._wrong(node, at, f"this is a whole number from 0 to {_MOST_REQUESTS}")
            return 0
        return value

    def _scalar(self, node: Any) -> Any:
        """Return the value of a scalar; None of anything else."""
        if not isinstance(node, self._yaml.ScalarNode) or node.tag.rpartition(":")[2] not in _SCALARS:
            return None
        try:
            return self._yaml.SafeLoader("").construct_object(node)
        except (ValueError, self._yaml.YAMLError):
            return None

    def _metadata(self, node: Any, at: str) -> Mapping[str, Any] | None:
        if node is None or self._is_null(node):
            return None
        if not isinstance(node, self._yaml.MappingNode):
            self._wrong(node, at, "metadata is a mapping")
            return None
        value = self._plain(node, at, 0)
        return value if isinstance(value, dict) and value else None

    def _plain(self, node: Any, at: str, depth: int) -> Any:
        """Return what JSON can say of a node."""
        if depth > _DEEPEST_METADATA:
            self._wrong(node, at, f"metadata is nested more than {_DEEPEST_METADATA} deep")
            return None
        if isinstance(node, self._yaml.SequenceNode):
            return [self._plain(each, at, depth + 1) for each in node.value]
        if isinstance(node, self._yaml.MappingNode):
            return {
                str(key.value): self._plain(value, at, depth + 1)
                for key, value in _merged(node, self._yaml)
                if isinstance(key, self._yaml.ScalarNode)
            }
        value = self._scalar(node)
        if value is None or isinstance(value, (bool, float, str)):
            return value
        if isinstance(value, int) and abs(value) < 2**63:
            return value
        if isinstance(value, int):
            self._wrong(node, at, "the number has more than 64 bits")
            return None
        return str(node.value)  # a date is a text to JSON

    # -- problems ----------------------------------------------------------------------------------

    def _wrong(self, node: Any, key: str, message: str, hint: str = "") -> None:
        self._note("descriptors-invalid", node, key, message, hint)

    def _odd(self, node: Any, key: str, message: str) -> None:
        self._note("descriptors-ignored", node, key, message, severity="warning")

    def _note(
        self, code: str, node: Any, key: str, message: str, hint: str = "", *, severity: Severity = "error"
    ) -> None:
        line = None if node is None else node.start_mark.line + 1
        self._problems.append(Problem(code, severity, message, self._name, line, key, hint))


def _merged(node: Any, yaml: Any) -> Iterator[tuple[Any, Any]]:
    """Yield a mapping's keys and values, those that `<<` brings first, so that its own win."""
    for key, value in node.value:
        if key.tag.endswith(":merge"):
            for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(each, yaml.MappingNode):
                    yield from _merged(each, yaml)
    for key, value in node.value:
        if not key.tag.endswith(":merge"):
            yield key, value
