"""Light that our renderer did not draw, taken through the studio's own lens: so that all pictures are of one camera."""

from __future__ import annotations

import numpy as np
import torch

from engine.training.studio.renderer import lens
from engine.training.studio.stage.scene import Scene


def photograph(scene: Scene, light: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """``light`` (S, S, 3) float32 linear, already weighted by its ``coverage`` (S, S) 0…1, over the scene's background:
    (S, S, 3) uint8."""
    behind = lens.backdrop(scene.background, len(light)).permute(1, 2, 0).numpy()
    linear = (light + behind * (1 - coverage[..., None])) * lens.gain(scene.lens)
    return lens.develop(lens.tone(torch.from_numpy(np.ascontiguousarray(linear, np.float32))).numpy(), scene.lens)
