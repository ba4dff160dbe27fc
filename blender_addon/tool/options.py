"""The options of each system, as properties of the scene that are made from the catalog."""

from __future__ import annotations

import zlib
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, PointerProperty, StringProperty

from ...engine import catalog
from ...engine.catalog import Option, SystemInfo
from . import compat

_PREFIX = "UNDERSTUDY_PG_options"


def _property(option: Option) -> Any:
    texts: dict[str, Any] = {"name": option.label, "description": option.tooltip}
    flags: set[Any] = {"ANIMATABLE"} if option.keyframed else set()
    if option.kind == "bool":
        return BoolProperty(**texts, default=option.default, options=flags)
    if option.kind == "number":
        bounds: dict[str, Any] = {"min": option.minimum, "max": option.maximum}
        return FloatProperty(**texts, **bounds, default=option.default, options=flags)
    if option.kind == "choice":
        # A file keeps the number of a choice: it follows from the value, so that the order may change.
        items = [(*choice, zlib.crc32(choice[0].encode()) >> 1) for choice in option.choices]
        return EnumProperty(**texts, items=items, default=option.default, options=flags)
    path_flags = flags | compat.RELATIVE_PATH
    return StringProperty(**texts, subtype="FILE_PATH", default=option.default, options=path_flags)


def _group(info: SystemInfo) -> type:
    properties = {option.name: _property(option) for option in info.options}
    return type(f"{_PREFIX}_{info.name}", (bpy.types.PropertyGroup,), {"__annotations__": properties})


GROUPS = {info.name: _group(info) for info in catalog.SYSTEMS if info.options}

# One pointer a system; each system's options stay as they are while another system is chosen.
UNDERSTUDY_PG_options = type(
    _PREFIX,
    (bpy.types.PropertyGroup,),
    {"__annotations__": {name: PointerProperty(type=group) for name, group in GROUPS.items()}},
)

CLASSES = (*GROUPS.values(), UNDERSTUDY_PG_options)


def options_of(settings: Any) -> dict[str, Any]:
    """The chosen system's options for the job. What an older file keeps that no longer fits counts as the default."""
    info = catalog.SYSTEMS_BY_NAME[settings.system]
    return {option.name: _value(option, getattr(settings.options, info.name)) for option in info.options}


def _value(option: Option, group: Any) -> Any:
    value = getattr(group, option.name)  # "" where a file's choice is no longer offered
    if option.kind == "number":
        value = float(f"{value:.6g}")  # Blender keeps single precision: 0.1 is 0.1, not 0.10000000149
    elif option.kind == "path" and value:
        value = bpy.path.abspath(value)
    try:
        return option.check(value)
    except catalog.OptionError:
        return option.default
