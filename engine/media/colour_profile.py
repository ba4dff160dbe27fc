"""Colour profiles of stills: whatever a file's numbers mean becomes sRGB, by Little CMS through Pillow."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

log = logging.getLogger("understudy")

PILLOW_FORMATS = ("TGA", "PSD")  # OpenCV does not read them; of a PSD Pillow reads the flattened picture
_SRGB = ImageCms.createProfile("sRGB")
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION


def opened(data: bytes, max_pixels: int) -> Image.Image | None:
    """The picture with its header read and no pixel decoded; None where Pillow does not know the format.

    Raises ValueError for more than ``max_pixels``.
    """
    try:
        picture = Image.open(io.BytesIO(data))
    except (Image.UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError):
        return None
    if picture.width * picture.height > max_pixels:
        raise ValueError(f"it has {picture.width}×{picture.height} pixels")
    return picture


def is_for_pillow(picture: Image.Image) -> bool:
    """Whether Pillow must decode it: a format that OpenCV lacks, or CMYK, which OpenCV converts by a rule of thumb."""
    return picture.format in PILLOW_FORMATS or picture.mode == "CMYK"


def decoded(picture: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 in the picture's own RGB, or in sRGB where it is CMYK; upright. Raises OSError when damaged."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode == "CMYK":
        profile = _profile(picture)
        if profile is not None:
            converted = ImageCms.profileToProfile(upright, profile, _SRGB, _INTENT, "RGB", flags=_FLAGS)
            if converted is not None:
                return np.array(converted)
    return np.array(upright.convert("RGB"))


def to_srgb(rgb: np.ndarray, picture: Image.Image) -> np.ndarray:
    """``rgb`` (H, W, 3) uint8 converted from the picture's embedded RGB or grey profile; as it is without one."""
    profile = _profile(picture)
    space = "" if profile is None else _space(profile)
    if profile is None or space not in ("RGB", "GRAY") or "srgb" in ImageCms.getProfileDescription(profile).lower():
        return rgb
    image = Image.fromarray(rgb[..., 0] if space == "GRAY" else rgb)
    converted = ImageCms.profileToProfile(image, profile, _SRGB, _INTENT, "RGB", flags=_FLAGS)
    return rgb if converted is None else np.array(converted)


def _profile(picture: Image.Image) -> ImageCms.ImageCmsProfile | None:
    data = picture.info.get("icc_profile")
    if not data:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(data))
    except (OSError, ImageCms.PyCMSError) as fault:
        log.warning("a colour profile cannot be read, so the image is taken as sRGB: %s", fault)
        return None


def _space(profile: Any) -> str:
    """The colour space that a profile converts from: ``RGB``, ``GRAY``, ``CMYK`` …"""
    return profile.profile.xcolor_space.strip()
