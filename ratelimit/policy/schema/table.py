"""The base of all tables of the policy file: their text never repeats what may be secret."""

from __future__ import annotations

from typing import Any

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file. Its texts may be passwords, keys or customers, and a repr ends up in logs."""

    def __repr__(self) -> str:
        """Return which keys are other than by default: numbers as they are, texts and lists hidden."""
        given = {
            field.encode_name: getattr(self, field.name) for field in fields(self) if _is_given(self, field)
        }
        return f"{type(self).__name__}({', '.join(f'{key}={_shown(value)}' for key, value in given.items())})"


def _is_given(table: Table, field: FieldInfo) -> bool:
    default = field.default
    if field.default_factory is not NODEFAULT:
        default = field.default_factory()
    return bool(getattr(table, field.name) != default)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | Table):
        return repr(value)
    return f"<{len(value)}>" if isinstance(value, list | dict) else "…"
