"""The base of all tables of the policy file: their text never repeats what may be secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_type_hints

from msgspec import NODEFAULT, Meta, Struct, defstruct, field
from msgspec.structs import FieldInfo, fields

from ratelimit.facts.numbers import FACTS
from ratelimit.features.parts import parts

T = TypeVar("T", bound="Table")
Key = tuple[str, Any, Any]
"""The name of a field, its type, and its default."""


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file. Its texts may be passwords, keys or customers, and a repr ends up in logs."""

    def __repr__(self) -> str:
        """Return which keys are other than by default: numbers as they are, texts and lists hidden."""
        given = {
            field.encode_name: getattr(self, field.name) for field in fields(self) if _is_given(self, field)
        }
        return f"{type(self).__name__}({', '.join(f'{key}={_shown(value)}' for key, value in given.items())})"

    def part(self, kind: type[T]) -> T:
        """Return those keys of this table that one feature reads."""
        return kind(**{name: getattr(self, name) for name in kind.__struct_fields__})


def with_features(name: str) -> Callable[[type[T]], type[T]]:
    """Return what adds to a table the keys that features read: those of each `schema.<name>`."""

    def extended(own: type[T]) -> type[T]:
        added: list[Key] = []
        renamed: dict[str, str] = {}
        for kind in [getattr(part, name) for part in parts("schema") if hasattr(part, name)]:
            hints = get_type_hints(kind, include_extras=True)
            for each in fields(kind):
                default = {"default": each.default, "default_factory": each.default_factory}
                added.append((each.name, hints[each.name], field(**default, name=each.encode_name)))
                renamed[each.name] = each.encode_name
        return _extended(own, added, renamed)

    return extended


def with_facts(own: type[T]) -> type[T]:
    """Return a table with the keys that name the sources of facts of requests."""
    added: list[Key] = []
    for fact in FACTS:
        meta = Meta(description=fact.description, examples=[f"state:{fact.member}"])
        added.append((fact.key, Annotated[str | None, meta], field(default=None)))
    return _extended(own, added, {})


def _extended(own: type[T], added: list[Key], renamed: dict[str, str]) -> type[T]:
    return defstruct(  # type: ignore[return-value]  # a subclass, by its base
        own.__name__,
        added,
        bases=(own,),
        module=own.__module__,
        namespace={"__doc__": own.__doc__, "__qualname__": own.__qualname__},
        frozen=True,
        forbid_unknown_fields=True,
        rename={each.name: each.encode_name for each in fields(own)} | renamed,
    )


def _is_given(table: Table, field: FieldInfo) -> bool:
    default = field.default
    if field.default_factory is not NODEFAULT:
        default = field.default_factory()
    return bool(getattr(table, field.name) != default)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | Table):
        return repr(value)
    return f"<{len(value)}>" if isinstance(value, list | dict) else "…"
