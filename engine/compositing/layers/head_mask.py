"""Which pixels are head: the mesh's core, and beside it the ears, the hair and the beard."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import label

from engine.compositing.layers.fill import ellipse, nearest
from engine.compositing.layers.relief import Relief

FRINGE = 0.02  # of the diagonal: beard and contact shadow below the mesh's jaw that go with the head
_WORK_SIDE = 288  # px of the longer side: GrabCut needs no more
_ROUNDS = 4


def head_mask(rgb: np.ndarray, matte: np.ndarray, relief: Relief) -> np.ndarray:
    """(h, w) bool of a portrait ``rgb`` (h, w, 3) uint8 with its person ``matte`` (h, w) at flow resolution.

    GrabCut (Rother et al. 2004) inside the matte, seeded by what the mesh knows for sure.
    """
    person, core = matte > 0.3, relief.core
    seeds, fringe = _seeds(person, relief)
    scale = min(1.0, _WORK_SIDE / max(core.shape))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small_seeds = cv2.resize(seeds, small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    # The background must not teach what a body looks like, so it gets a colour of its own.
    small[cv2.resize(person.astype(np.uint8), small.shape[1::-1], interpolation=cv2.INTER_NEAREST) == 0] = (0, 255, 0)
    cut = _grab_cut(small, small_seeds)
    cut = cv2.resize(cv2.GaussianBlur(cut, (0, 0), 0.7), core.shape[::-1], interpolation=cv2.INTER_CUBIC) > 0.5
    mask = (cut & person) | core
    mask = (cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, ellipse(2)) > 0) | core
    mask = _joined(mask, core)
    # The matte's soft edge belongs to whatever is nearest.
    edge = (matte > 0.01) & ~person
    _, rows, columns = nearest(person)
    mask |= edge & mask[rows, columns]
    return mask & (core | (relief.follows(matte) > 0.06))


def _seeds(person: np.ndarray, relief: Relief) -> tuple[np.ndarray, np.ndarray]:
    core, height = relief.core.astype(np.uint8), relief.height
    fringe = cv2.dilate(core, ellipse(FRINGE * relief.diagonal)) > 0
    seeds = np.full(core.shape, cv2.GC_PR_BGD, np.uint8)
    seeds[person & (height > 1)] = cv2.GC_PR_FGD
    seeds[person & (height > 8.5) & (relief.away < 1.2)] = cv2.GC_FGD  # above the ear lobes: hair and ears
    seeds[fringe & person] = cv2.GC_PR_FGD
    seeds[cv2.dilate(core, ellipse(0.004 * relief.diagonal)) > 0] = cv2.GC_FGD
    seeds[relief.neck & ~fringe] = cv2.GC_BGD
    seeds[person & (height < -8)] = cv2.GC_BGD
    seeds[~person] = cv2.GC_BGD
    return seeds, fringe


def _grab_cut(rgb: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """(h, w) float32, 1 where foreground; the seeds' own word where they are all of one kind."""
    sure = (seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)
    if sure.any() and not sure.all():
        cv2.setRNGSeed(1)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        cv2.grabCut(bgr, seeds, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[arg-type]
    return ((seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)).astype(np.float32)


def _joined(mask: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Only those pieces of the mask that touch the core."""
    pieces, count = label(mask)
    if count < 2:
        return mask
    kept = np.unique(pieces[core & mask])
    return np.isin(pieces, kept[kept > 0])
