"""Builds a dataclass from a TOML table; an unknown key or a wrong type is an error that names file and key."""

from __future__ import annotations

import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from engine.errors import EngineError

T = TypeVar("T")


def build(kind: type[T], table: dict[str, Any], where: str) -> T:
    """A ``kind``, a dataclass of plain values, tuples, dicts and dataclasses, from ``table``; ``where`` locates the
    table in messages, such as ``toy.toml, [options]``. A ValueError from ``__post_init__`` is reported the same way.

    Raises EngineError ``bad_recipe``.
    """
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise fault(where, f"there is no key {key!r}", f"Use one of: {', '.join(sorted(known))}.")
    for name, field in known.items():
        if name not in table and field.default is MISSING and field.default_factory is MISSING:
            raise fault(where, f"the key {name!r} is missing", f"Add {name} = … ({_name(hints[name])}).")
    values = {key: _value(hints[key], value, where, key) for key, value in table.items()}
    try:
        return kind(**values)
    except ValueError as reason:
        raise fault(where, str(reason), "Correct the value.") from reason


def fault(where: str, reason: str, remedy: str) -> EngineError:
    return EngineError("bad_recipe", f"{where}: {reason}.", remedy)


def _value(hint: Any, value: Any, where: str, key: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        if isinstance(value, dict):
            return build(typing.cast(type, hint), value, f"{where}, [{key}]")
    elif origin is tuple:
        if isinstance(value, (list, tuple)) and (inner[-1] is Ellipsis or len(inner) == len(value)):
            return tuple(_value(inner[0], each, where, key) for each in value)
    elif origin is dict:
        if isinstance(value, dict):
            return {name: _value(inner[1], each, where, f"{key}.{name}") for name, each in value.items()}
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise fault(where, f"{key} is {value!r} and should be {_name(hint)}", "Correct the value.")


def _name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", dict: "a table"}
    if typing.get_origin(hint) is tuple:
        return f"a list, each item {_name(typing.get_args(hint)[0])}"
    return names.get(hint, "a table")
