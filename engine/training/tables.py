"""A TOML table into a dataclass: every key known, every value of its type, or one error that names file and key."""

from __future__ import annotations

import types
import typing
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from engine.errors import EngineError

T = TypeVar("T")


def build(kind: type[T], table: dict[str, Any], where: str) -> T:
    """``kind`` (a dataclass of plain values and tuples of them) from ``table``; ``where`` says whose table it is, such
    as ``toy.toml, [options]``. A ValueError of its ``__post_init__`` is reported the same way.

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
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        choices = [choice for choice in typing.get_args(hint) if choice is not types.NoneType]
        return None if value is None else _value(choices[0], value, where, key)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        if isinstance(value, (list, tuple)) and (inner[-1] is Ellipsis or len(inner) == len(value)):
            return tuple(_value(inner[0], each, where, key) for each in value)
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif hint is Any or (isinstance(value, hint) and (hint is bool or not isinstance(value, bool))):
        return value
    raise fault(where, f"{key} is {value!r} and should be {_name(hint)}", "Correct the value.")


def _name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", dict: "a table"}
    return names.get(hint, str(hint).replace("typing.", ""))
