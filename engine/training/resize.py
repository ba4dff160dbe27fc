"""A sample at a smaller size: pictures are averaged over areas, every label that is in pixels is scaled with them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from engine.training.sample import Frame, Pair, Warp

_COVERED = 0.5  # share of a new pixel's area that must be labelled for the pixel to be


def smaller_pair(pair: Pair, size: int) -> Pair:
    """``pair`` reduced to ``size`` pixels, which must not be more than it has."""
    flow, visible = pair.flow, pair.flow_visible
    if len(pair.source.image) == size:
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
        warp=pair.warp and smaller_warp(pair.warp, size),
    )


def smaller_frame(frame: Frame, size: int) -> Frame:
    """``frame`` reduced to ``size`` pixels. Angles, centimetres and the focal length in widths stay as they are."""
    before = len(frame.image)
    if size == before:
        return frame
    if size > before:
        raise ValueError(f"a frame of {before} pixels has no {size}")
    scale = np.float32(size / before)
    pncc, depth = frame.pncc, frame.depth
    if pncc is not None:
        pncc = _smaller_code(pncc, size)
    if depth is not None:
        far = depth.astype(np.float32)
        near = np.isfinite(far)
        far[~near] = 0
        depth = _average_where(far, near, size, empty=np.inf)
    return replace(
        frame,
        image=_average(frame.image, size),
        matte=None if frame.matte is None else _average(frame.matte, size),
        parsing=None if frame.parsing is None else _nearest(frame.parsing, size),
        pncc=pncc,
        depth=depth,
        landmarks68=None if frame.landmarks68 is None else frame.landmarks68 * scale,
        dense=None if frame.dense is None else frame.dense * scale,
    )


def smaller_warp(warp: Warp, size: int) -> Warp:
    """``warp`` reduced to ``size`` pixels; its stretch is a ratio and stays."""
    return Warp(
        image=_average(warp.image, size),
        pncc=_smaller_code(warp.pncc, size),
        source_pncc=_smaller_code(warp.source_pncc, size),
        flow=smaller_flow(warp.flow, None, size)[0],
        hidden=_average(warp.hidden, size),
        stretch=_average(warp.stretch.astype(np.float32), size).astype(np.float16),
        part=_nearest(warp.part, size),
    )


def smaller_flow(flow: np.ndarray, visible: np.ndarray | None, size: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(S, S, 2) offsets in pixels and where they hold, averaged where they hold and scaled to the new pixels."""
    scale = np.float32(size / len(flow))
    flow = flow.astype(np.float32)
    everywhere = _average(flow, size) * scale
    if visible is None:
        return everywhere.astype(np.float16), None
    share = _average(visible.astype(np.float32), size)
    seen = _average(flow * visible[..., None], size)
    holds = share >= _COVERED
    seen *= (scale / np.maximum(share, 1e-6))[..., None]
    return np.where(holds[..., None], seen, everywhere).astype(np.float16), holds


def _smaller_code(pncc: np.ndarray, size: int) -> np.ndarray:
    code = pncc.astype(np.float32)
    return _average_where(code, code[..., 0] + code[..., 1] + code[..., 2] > 0, size, empty=0.0)


def _average_where(values: np.ndarray, known: np.ndarray, size: int, empty: float) -> np.ndarray:
    """The mean of what is ``known`` under each new pixel, ``empty`` where that is less than half of it, as float16;
    ``values`` float32 are 0 where they are not known."""
    share = _average(known.astype(np.float32), size)
    total = _average(values, size)
    if values.ndim == 3:
        share = share[..., None]
    return np.where(share >= _COVERED, total / np.maximum(share, 1e-6), np.float32(empty)).astype(np.float16)


def _average(image: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def _nearest(image: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
