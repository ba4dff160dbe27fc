"""Pixel similarity of two pictures, RGB uint8 (H, W, 3) of equal size; the data range is 1. Arrays only, no metrics."""

from __future__ import annotations

import cv2
import numpy as np

_PEAK = 255.0
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest first


def l1(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference."""
    return float(cv2.absdiff(a, b).mean()) / _PEAK


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """10 log₁₀(1 / MSE) in dB; equal pictures count as 90 dB."""
    difference = cv2.absdiff(a, b).astype(np.float64) / _PEAK
    return float(-10 * np.log10(max(np.mean(difference**2), 1e-9)))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean SSIM (Wang et al. 2004) of two images of at least 11×11: σ 1.5, K₁ .01, K₂ .03, population covariance.

    Only whole windows count, as in the paper, so a border of 5 pixels is left out.
    """
    # Plane by plane, which fits the caches; float64, because variances are differences of nearly equal numbers.
    planes = zip(cv2.split(a), cv2.split(b), strict=True)
    return float(np.mean([_similarity(x / _PEAK, y / _PEAK)[0] for x, y in planes]))


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float | None:
    """Multi-scale SSIM (Wang et al. 2003), five scales halved by 2×2 means; None where the coarsest is below 11×11.

    Channels are averaged at every scale and negative means count as 0, as torchmetrics does.
    """
    if min(a.shape[:2]) < 11 * 2 ** (len(_SCALES) - 1):
        return None
    x, y = a / _PEAK, b / _PEAK
    product = 1.0
    for scale, weight in enumerate(_SCALES):
        if scale:
            x, y = _halved(x), _halved(y)
        planes = [_similarity(p, q) for p, q in zip(cv2.split(x), cv2.split(y), strict=True)]
        coarsest = scale == len(_SCALES) - 1
        product *= max(float(np.mean([whole if coarsest else structure for whole, structure in planes])), 0.0) ** weight
    return product


def resized_to(shape: tuple[int, ...], image: np.ndarray) -> np.ndarray:
    """``image`` resampled by area to ``shape`` (H, W, 3); itself if the sizes agree."""
    if image.shape == shape:
        return image
    return cv2.resize(image, shape[1::-1], interpolation=cv2.INTER_AREA)


def _similarity(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """SSIM of two planes in 0…1, and SSIM without its luminance term, both averaged over all whole windows."""
    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y = _window(x), _window(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = _window(x * y) - product
    variances = _window(x * x + y * y) - squares
    whole = np.mean((2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2)))
    return float(whole), float(np.mean((2 * covariance + c2) / (variances + c2)))


def _window(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (11, 11), 1.5)[5:-5, 5:-5]


def _halved(image: np.ndarray) -> np.ndarray:
    height, width = (side // 2 for side in image.shape[:2])
    return cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
