"""A sample at a smaller size: each label is reduced as its kind says (:mod:`engine.geometry.fields`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.geometry import frame_inputs
from engine.geometry.fields import Field, smaller_flow
from engine.training.sample import LABELS, Frame, Pair


def smaller_pair(pair: Pair, size: int) -> Pair:
    """``pair`` reduced to ``size`` pixels, which must not be more than it has."""
    flow, visible, before = pair.flow, pair.flow_visible, len(pair.source.image)
    if before == size:
        return pair
    if flow is not None:
        flow, visible = smaller_flow(flow, visible, size)
    return Pair(
        source=smaller_frame(pair.source, size),
        driving=smaller_frame(pair.driving, size),
        flow=flow,
        flow_visible=visible,
        cross_source=pair.cross_source and smaller_frame(pair.cross_source, size),
        cross=pair.cross and smaller_frame(pair.cross, size),
        inputs=None if pair.inputs is None else _smaller(pair.inputs, frame_inputs.FIELDS, size, before),
        others=tuple(smaller_frame(frame, size) for frame in pair.others),
    )


def smaller_frame(frame: Frame, size: int) -> Frame:
    """``frame`` reduced to ``size`` pixels."""
    before = len(frame.image)
    if size == before:
        return frame
    if size > before:
        raise ValueError(f"a frame of {before} pixels has no {size}")
    labels = {name: getattr(frame, name) for name in LABELS}
    return replace(frame, **_smaller(labels, LABELS, size, before))


def _smaller(arrays: Mapping[str, Any], fields: dict[str, Field], size: int, before: int) -> dict[str, Any]:
    return {
        name: None if value is None else fields[name].kind.smaller(value, size, before)
        for name, value in arrays.items()
    }
