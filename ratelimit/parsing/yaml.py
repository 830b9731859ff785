"""The reader of YAML: documents as nodes, which know their lines.

Rules it keeps:

- An alias (`*name`) is an error, or counts as all that it stands for: a few of them stand for more than any
  memory holds.
- So are a key that stands twice in one mapping, levels beyond `MOST_DEPTH`, and more than `MOST_NODES` nodes.
- Nothing is constructed: a tag is a name, whatever it would make.
- The text is taken apart event by event until a bound is met. An error costs what stands before it.
"""

from __future__ import annotations

from typing import Any

MOST_BYTES = 1 << 20
MOST_DEPTH = 32
MOST_NODES = 100_000


class YamlError(ValueError):
    """The text is no YAML, or beyond a bound; the message begins with the line where that is known."""


def read_yaml(text: str, *, aliases: bool = False) -> list[Any]:
    """Return the documents of a text as nodes of PyYAML, empty ones left out.

    Args:
        text: the documents.
        aliases: whether `*name` is read; one node then stands in several places.

    Raises:
        YamlError: the text is not YAML, or has more than is read.
        ModuleNotFoundError: PyYAML is not installed.
    """
    import yaml

    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise YamlError(f"it has {size} bytes; {MOST_BYTES} are the most")
    # The parser in C takes a tenth of the time; some builds of PyYAML lack it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _bound(yaml.parse(text, Loader=loader), yaml, aliases=aliases)
        nodes = [node for node in yaml.compose_all(text, Loader=loader) if node is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f"line {mark.line + 1}: "
        raise YamlError(f"{line}no YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise YamlError(f"no YAML: {str(error).splitlines()[0]}") from None
    for node in nodes:
        if aliases:
            _bound_expanded(node, yaml)
        _refuse_twins(node, yaml)
    return nodes


def _bound_expanded(root: Any, yaml: Any) -> None:
    """Refuse a document that has more than `MOST_NODES` where each alias is written out, or has no end."""
    sizes: dict[int, int] = {}

    def size_of(node: Any, depth: int) -> int:
        if depth > 2 * MOST_DEPTH:
            raise YamlError(f"line {node.start_mark.line + 1}: it is nested more than {MOST_DEPTH} deep")
        known = sizes.get(id(node))
        if known is None:
            inner = [] if isinstance(node, yaml.ScalarNode) else node.value
            parts = [part for each in inner for part in (each if isinstance(each, tuple) else (each,))]
            known = sizes[id(node)] = 1 + sum(size_of(part, depth + 1) for part in parts)
        if known > MOST_NODES:
            raise YamlError(
                f"line {node.start_mark.line + 1}: with its aliases it has more than {MOST_NODES} values"
            )
        return known

    size_of(root, 0)


def _bound(events: Any, yaml: Any, *, aliases: bool) -> None:
    """Go through a text's events, as far as it keeps the rules."""
    depth = nodes = 0
    for event in events:
        problem = None
        if isinstance(event, yaml.AliasEvent) and not aliases:
            problem = "it has aliases (`*name`); write out what it stands for"
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        nodes += isinstance(event, yaml.NodeEvent)
        if depth > MOST_DEPTH:
            problem = f"it is nested more than {MOST_DEPTH} deep"
        elif nodes > MOST_NODES:
            problem = f"it has more than {MOST_NODES} values"
        if problem is not None:
            raise YamlError(f"line {event.start_mark.line + 1}: {problem}")


def _refuse_twins(root: Any, yaml: Any) -> None:
    """Refuse a key that stands twice in one mapping: readers differ on which of the two holds."""
    left = [root]
    while left:
        node = left.pop()
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                left += (key, value)
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if key.value in keys:
                    raise YamlError(
                        f"line {key.start_mark.line + 1}: the key {key.value[:40]!r} is there twice"
                    )
                keys.add(key.value)
