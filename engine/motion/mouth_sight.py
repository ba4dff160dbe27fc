"""What a mouth shows between its lips, measured in the picture: rows of teeth, tongue and darkness.

Landmarks only say how far lips are apart. Whether teeth are in view is seen in the pixels, relative to the face's own
skin and lips, so that light and complexion cancel out.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import median_filter

from engine.face.fitting import INNER_LIPS
from engine.face.maths import smoothstep
from engine.motion.smoothing import interpolate, smooth

CURVES = ("lipGap", "teethUpper", "teethLower", "tongueUp", "tongueLight", "mouthDark", "mouthFlesh")
"""In the order of :meth:`SeenMouth.curves`; a motion may have any of them.

``lipGap`` distance of the inner lips as a share of the face's diagonal; ``teethUpper`` and ``teethLower`` how much of
that distance the rows of teeth cover from above and below; ``tongueUp`` how high flesh reaches, 0 nothing … 1 to the
upper lip; ``tongueLight`` and ``mouthDark`` brightness of that flesh and of the dark, lips are 1; ``mouthFlesh`` how
much of what no tooth covers is lit flesh, 0…1.
"""
UPPER_LIP = INNER_LIPS[:11]  # from the subject's right corner to its left, like the lower lip
LOWER_LIP = (INNER_LIPS[0], *INNER_LIPS[:10:-1], INNER_LIPS[10])
PARTED = 0.012  # lip gap below which nothing inside can be seen
DARK, TONGUE_LIGHT = 0.3, 0.9  # what mouthDark and tongueLight are where nothing says otherwise

_OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
_OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
_SKIN = (50, 280, 205, 425, 4, 9, 187, 411, 36, 266)
_SIDE = 33  # samples of the straightened mouth, from lip to lip and from corner to corner
_SOFT_DIAGONAL, _SOFT = 200, 2.0  # px: the face's diagonal, and the blur, at which colours of skin and lips are read
_ROW = 0.45  # paleness from which samples belong to a row of teeth
_MEET = 0.8  # rows that both cover more than this touch, and where is not to be seen …
_MEET_UPPER = 0.6  # … so the upper row takes this share
_CROWN = 0.048  # height of the upper row, a share of the face's diagonal
_FEW = 12  # samples: fewer have no colour
_MEDIAN, _SIGMA = 5, 0.8  # frames


class SeenMouth:
    """The mouth in a picture, straightened: rows from the upper to the lower lip, columns from corner to corner.

    ``skin`` and ``lip`` (3,) sRGB; ``gap`` between the lips, a share of the face's diagonal; ``colours`` (33, 33, 3);
    ``tooth``, ``dark`` and ``flesh`` (33, 33) 0…1 add up to 1.
    """

    def __init__(self, rgb: np.ndarray, dense: np.ndarray) -> None:
        """``rgb`` (H, W, 3) uint8, ``dense`` (468, 3) landmarks in its pixels."""
        points = dense[:, :2]
        diagonal = max(float(np.linalg.norm(np.ptp(points, axis=0))), 1.0)
        self.skin, self.lip = _complexion(rgb, points, diagonal)
        self.gap = float(np.linalg.norm(points[13] - points[14])) / diagonal
        self.colours = _straightened(rgb, points)
        self.tooth, self.dark, self.flesh = classified(self.colours, self.skin, self.lip)

    @property
    def enamel(self) -> np.ndarray | None:
        """sRGB (3,) of the brighter quarter of teeth in view, None where there are none."""
        teeth = self.colours[self.tooth > 0.6]
        if len(teeth) <= _FEW:
            return None
        brightness = teeth.sum(axis=1)
        return np.median(teeth[brightness >= np.percentile(brightness, 75)], axis=0)

    def curves(self) -> np.ndarray:
        """(7,) values of :data:`CURVES`."""
        upper, lower = self._rows()
        down = np.linspace(0, 1, _SIDE)
        between = (down > upper) & (down < 1 - lower)
        flesh = self.flesh[:, _middle(0.3)].mean(axis=1)
        share = float(flesh[between].mean()) if between.any() else 0.0
        # The tongue begins at the first flesh below which flesh prevails.
        begins = (down[k] for k in np.flatnonzero(between & (flesh > 0.5)) if flesh[k:][between[k:]].mean() > 0.5)
        top = next(begins, upper if share > 0.5 else 1.0)
        shown = np.broadcast_to(between[:, None], self.dark.shape)
        return np.array(
            [
                *(self.gap, upper, lower, 1 - top),
                self._brightness(shown & (self.flesh > 0.6), TONGUE_LIGHT),
                self._brightness(shown & (self.dark > 0.6), DARK),
                share,
            ]
        )

    def _rows(self) -> tuple[float, float]:
        """How much of the gap the upper and the lower row of teeth cover."""
        if self.gap < PARTED:
            return 0.0, 0.0
        # Heads turn: the half of the columns that shows most counts. A glint on lip or tongue is narrow, a row is wide.
        columns = np.sort(self.tooth[:, _middle(0.3)], axis=1)
        upper = _row_end(columns[:, columns.shape[1] // 2 :].mean(axis=1), 0.45)
        lower = _row_end(np.percentile(self.tooth[::-1, _middle(0.2)], 45, axis=1), 0.33)
        if upper >= _MEET and lower >= _MEET:
            return _MEET_UPPER, 1 - _MEET_UPPER
        longest = _CROWN / self.gap
        if upper > max(longest, 0.5):  # no upper row is so high: below it the lower one begins
            lower = 1 - longest if upper >= _MEET else lower
            upper = longest
        if upper < 0.5 or lower < 0.5:
            lower = min(lower, 0.45)
        return upper, min(lower, 1 - upper)

    def _brightness(self, where: np.ndarray, default: float) -> float:
        if where.sum() <= _FEW:
            return default
        return float(self.colours[where].mean() / max(self.lip.mean(), 1))


def classified(colours: np.ndarray, skin: np.ndarray, lip: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much sRGB ``colours`` (…, 3) are tooth, dark and lit flesh, each 0…1, in the mouth of a face whose ``skin``
    and ``lip`` (3,) are known."""
    brightness = colours.mean(axis=-1) / max(float(skin.mean()), 1)
    redness = _redness(colours)
    of_skin, of_lip = float(_redness(skin)), float(_redness(lip))
    pale_to = of_skin + (0.12 * (of_lip - of_skin) if of_lip > of_skin + 0.05 else 0)
    pale = 1 - smoothstep((redness - (pale_to - 0.05)) / 0.16)
    # Teeth are the brightest in a mouth. On very dark skin all flesh is pale.
    least = max(0.46, 0.5 * min(float(np.percentile(brightness, 95)), 2.5))
    tooth = pale * smoothstep((brightness - least) / 0.2)
    dark = (1 - smoothstep((brightness - 0.3) / 0.22)) * (1 - tooth)
    return tooth, dark, 1 - tooth - dark


def filtered(curves: np.ndarray) -> np.ndarray:
    """The values (T, 7) of consecutive frames' :meth:`SeenMouth.curves`, freed of outliers and noise. The inside of
    shut mouths is interpolated between its neighbours, 0 where none is open."""
    gap, inside = curves[:, :1], _filled(curves[:, 1:], curves[:, 0] >= PARTED)
    calm = median_filter(np.hstack([gap, inside]), size=(_MEDIAN, 1), mode="nearest")
    return smooth(calm, _SIGMA)


def _filled(values: np.ndarray, trusted: np.ndarray) -> np.ndarray:
    if trusted.sum() == 1:
        return np.broadcast_to(values[trusted], values.shape)
    return interpolate(values, trusted) if trusted.any() else np.zeros_like(values)


def _complexion(rgb: np.ndarray, points: np.ndarray, diagonal: float) -> tuple[np.ndarray, np.ndarray]:
    """Median colour of skin and lips, (3,) each, read off a small picture of the face."""
    low = np.clip(np.floor(points.min(axis=0)).astype(int), 0, np.array(rgb.shape[1::-1]) - 1)
    high = np.maximum(np.ceil(points.max(axis=0)).astype(int), low + 1)
    scale = min(1.0, _SOFT_DIAGONAL / diagonal)
    face = rgb[low[1] : high[1], low[0] : high[0]]
    width, height = (max(1, round(length * scale)) for length in face.shape[1::-1])
    soft = cv2.GaussianBlur(cv2.resize(face, (width, height), interpolation=cv2.INTER_AREA), (0, 0), _SOFT)

    def median(places: np.ndarray) -> np.ndarray:
        x, y = np.clip(((places - low) * scale).astype(int), 0, [width - 1, height - 1]).T
        return np.median(soft[y, x], axis=0)

    lips = [
        (points[list(outer)] + points[list(inner)])[2:-2] / 2
        for outer, inner in ((_OUTER_UPPER, UPPER_LIP), (_OUTER_LOWER, LOWER_LIP))
    ]
    return median(points[list(_SKIN)]), median(np.concatenate(lips))


def _straightened(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(33, 33, 3) float32 colours between the inner lips."""
    upper, lower = (_evenly(points[list(lip)]) for lip in (UPPER_LIP, LOWER_LIP))
    down = np.linspace(0, 1, _SIDE)[:, None, None]
    x, y = np.moveaxis((upper + down * (lower - upper)).astype(np.float32) - np.float32(0.5), -1, 0)
    return cv2.remap(rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)


def _evenly(line: np.ndarray) -> np.ndarray:
    """33 points in equal steps along a ``line`` (n, 2)."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    steps = np.linspace(0, length[-1], _SIDE)
    return np.stack([np.interp(steps, length, line[:, k]) for k in range(2)], axis=1)


def _row_end(paleness: np.ndarray, start: float) -> float:
    """Where a row of teeth ends that begins within the first ``start`` of ``paleness`` (33,); 0 where none begins.

    It may begin below a shaded lip or a gum.
    """
    first = round(start * _SIDE)
    pale = paleness > _ROW
    if not pale[:first].any():
        return 0.0
    begin = int(np.argmax(pale[:first]))
    ends = np.flatnonzero(~pale[begin:])
    last = begin + int(ends[0]) - 1 if len(ends) else _SIDE - 1
    return (last + 0.5) / (_SIDE - 1)


def _middle(margin: float) -> slice:
    return slice(round(margin * _SIDE), _SIDE - round(margin * _SIDE))


def _redness(colours: np.ndarray) -> np.ndarray:
    return np.log((colours[..., 0] + 4) / (colours[..., 1] + 4))
