"""A decoded picture as people see it: upright, with square pixels, in display-referred sRGB."""

from __future__ import annotations

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, ColorTrc, Interpolation

_UNSPECIFIED = 2  # AVColorSpace
# Without full chroma swscale darkens every pixel by 1 to 2 of 255, with accurate rounding even more than without.
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_PQ, _HLG = int(ColorTrc.SMPTE2084), int(ColorTrc.ARIB_STD_B67)
_WHITE = 203.0  # cd/m² of diffuse white in HDR (ITU-R BT.2408)
_PEAK = 1000.0  # cd/m² that tone mapping brings to the display's white
# Linear BT.2020 to linear BT.709 (ITU-R BT.2087).
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)


def is_hdr(picture: VideoFrame) -> bool:
    """Whether its values are PQ or HLG, which a display in sRGB cannot show as they are."""
    return int(picture.color_trc or 0) in (_PQ, _HLG)


def upright(picture: VideoFrame, pixel_aspect: float = 1.0) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of a decoded picture, turned and mirrored as its display matrix says.

    ``pixel_aspect`` is a pixel's width by its height; the picture is widened by it. HDR is tone-mapped.
    """
    matrix = None
    if picture.colorspace == _UNSPECIFIED:  # the industry's convention where a file is silent
        matrix = Colorspace.ITU709 if picture.height >= 720 else Colorspace.ITU601
    hdr = is_hdr(picture)
    rgb = picture.reformat(
        width=max(1, round(picture.width * pixel_aspect)),
        format="rgb48le" if hdr else "rgb24",
        src_colorspace=matrix,
        interpolation=_EXACT,
    ).to_ndarray()
    if hdr:
        rgb = tone_mapped(rgb.astype(np.float32) / 65535, int(picture.color_trc) == _HLG)
    return np.ascontiguousarray(_oriented(rgb, picture))


def _oriented(rgb: np.ndarray, picture: VideoFrame) -> np.ndarray:
    side_data = picture.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return rgb
    # FFmpeg: x' = a·x + c·y, y' = b·x + d·y, in 16.16 fixed point. Only multiples of a right angle are followed.
    a, b, _, c, d = np.frombuffer(bytes(side_data), "<i4")[:5].astype(np.float64)
    if max(abs(a), abs(d)) >= max(abs(b), abs(c)):
        flip_x, flip_y = a < 0, d < 0
    else:
        rgb, flip_x, flip_y = rgb.transpose(1, 0, 2), c < 0, b < 0
    return rgb[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def tone_mapped(signal: np.ndarray, hlg: bool) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of a BT.2020 ``signal`` (H, W, 3) float32 in 0…1: HLG, else PQ (ITU-R BT.2100).

    Diffuse white becomes nearly the display's white; what is brighter, up to 1000 cd/m², is compressed smoothly.
    """
    light = np.maximum((_hlg_light(signal) if hlg else _pq_light(signal)) @ _TO_709.T / _WHITE, 0)
    top = _PEAK / _WHITE
    brightest = np.maximum(light.max(axis=2, keepdims=True), 1e-6)
    # Reinhard's extended curve on the brightest channel keeps the hue; its slope is 1 in the dark.
    shown = light * (1 + brightest / top**2) / (1 + brightest) * (1 + 1 / top)
    curve = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * np.maximum(shown, 1e-9) ** (1 / 2.4) - 0.055)
    return cv2.convertScaleAbs(np.clip(curve, 0, 1), alpha=255)


def _pq_light(signal: np.ndarray) -> np.ndarray:
    """cd/m² of a PQ signal (SMPTE ST 2084)."""
    power = np.maximum(signal, 0) ** np.float32(1 / 78.84375)
    ratio = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    return (10_000 * ratio ** (1 / 0.1593017578125)).astype(np.float32)


def _hlg_light(signal: np.ndarray) -> np.ndarray:
    """cd/m² of an HLG signal on a display of 1000 cd/m² (BT.2100, system gamma 1.2)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
    return _PEAK * scene * np.maximum(luminance, 1e-6)[..., None] ** np.float32(0.2)
