"""A reference image of the person who is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.face.subject import FaceFit


@dataclass(frozen=True)
class Portrait:
    """``rgb`` (H, W, 3) uint8 sRGB, the file it came from, and the fitted face, None where no system needs one."""

    path: Path
    rgb: np.ndarray
    face: FaceFit | None = None
