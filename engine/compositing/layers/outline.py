"""The mesh pulled out to the head's outline in the picture, so that ears and scalp turn with what they show."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.compositing.layers.fill import ellipse, nearest
from engine.compositing.layers.head_mask import head_mask
from engine.compositing.layers.materials import tightened
from engine.compositing.layers.relief import head_weights, relief
from engine.compositing.plate import background_plate
from engine.face.maths import smoothstep
from engine.geometry.flow import FlowBuilder
from engine.geometry.source_geometry import SourceGeometry

_REACH = 0.13  # of the face's diagonal: an outline further away is another thing's
_LOWEST = 4.5  # nominal cm above the chin; below it the jaw's own outline is right
_FLAT, _HARMONIC = 60, 150  # neighbour averages that flatten an ear, and that spread the outline's pull
_MOST = 3.0  # cm


@dataclass(frozen=True)
class HeadOutline:
    """What the outline of a portrait's head was found with.

    ``background`` (H, W, 3) float32 the plate, ``matte`` (H, W) float32 without background at its rim; ``mask`` (h, w)
    bool which pixels are head, at flow resolution; ``weights`` (N,) of the head against the neck, ``ear`` (N,) bool.
    """

    background: np.ndarray
    matte: np.ndarray
    mask: np.ndarray
    weights: np.ndarray
    ear: np.ndarray


def fit_outline(source: SourceGeometry, rgb: np.ndarray, matte: np.ndarray) -> HeadOutline:
    """Correct ``source`` so that its mesh follows the outline of the head in a portrait.

    ``rgb`` (H, W, 3) uint8, its person ``matte`` (H, W) float32 in 0…1.
    """
    background = background_plate(rgb, matte)
    build = FlowBuilder(source)
    matte = tightened(rgb, matte, background, build.shape, source.diagonal * build.scale)
    small_rgb, small_matte = (
        cv2.resize(image, build.shape[::-1], interpolation=cv2.INTER_AREA) for image in (rgb, matte)
    )
    weights = head_weights(source)
    mask = head_mask(small_rgb, small_matte, relief(build, weights))
    return HeadOutline(background, matte, mask, weights, follow_outline(source, weights, mask, build.scale))


def ears(source: SourceGeometry) -> np.ndarray:
    """(N,) bool: vertices of the ears, which smoothing the sides of the mean head moves most."""
    anatomy, vertices = source.anatomy, source.face.model.vertices
    beside = np.abs(vertices[:, 0]) > 4.5 * anatomy.unit
    side = anatomy.skin & (anatomy.height > 1) & (anatomy.height < 13) & beside & (anatomy.face_weight < 0.5)
    smooth = vertices.copy()
    for _ in range(40):
        smooth[side] = (anatomy.neighbours @ smooth)[side]
    ear = ((np.linalg.norm(vertices - smooth, axis=1) > 0.35 * anatomy.unit) & side).astype(np.float32)
    for _ in range(2):
        ear = np.maximum(ear, ((anatomy.neighbours @ ear) > 0.15) * side)
    return ear > 0


def follow_outline(source: SourceGeometry, weights: np.ndarray, mask: np.ndarray, scale: float) -> np.ndarray:
    """Flatten the ears of ``source`` and pull its scalp out to the head ``mask`` (h, w); returns :func:`ears`.

    ``weights`` (N,) of the head, ``scale`` pixels of the mask a portrait pixel. What lies between the outline and the
    face follows harmonically.
    """
    ear = ears(source)
    placed = source.as_portrayed()
    flat = placed.copy()
    for _ in range(_FLAT):
        flat[ear] = (source.anatomy.neighbours @ flat)[ear]
    source.correct(flat - placed)
    for _ in range(2):
        source.correct(_pull(source, weights, mask, scale))
    source.settle()
    return ear


def _pull(source: SourceGeometry, weights: np.ndarray, mask: np.ndarray, scale: float) -> np.ndarray:
    """(N, 3) cm towards the outline, in the head's frame."""
    anatomy, camera, pose = source.anatomy, source.camera, source.face.pose
    diagonal = source.diagonal * scale
    height, width = mask.shape
    placed = source.as_portrayed()
    camera_points = pose.apply(placed)
    pixels, depth = camera.project(camera_points)
    facing = -(anatomy.normals(camera_points) * camera_points).sum(axis=1) / np.linalg.norm(camera_points, axis=1)
    pinned = (anatomy.face_weight > 0.5) | (anatomy.skin & ((weights < 0.3) | (anatomy.height < 2)))
    rim = anatomy.skin & (weights > 0.5) & (anatomy.height > _LOWEST) & (np.abs(facing) < 0.3) & ~pinned
    inside = cv2.erode(mask.astype(np.uint8), ellipse(0.008 * diagonal)) > 0
    if not inside.any():
        return np.zeros_like(placed)
    distance, rows, columns = nearest(~inside)
    at = np.clip((pixels * scale).astype(int), 0, [width - 1, height - 1])
    away = distance[at[:, 1], at[:, 0]] / diagonal
    target = np.stack([columns[at[:, 1], at[:, 0]], rows[at[:, 1], at[:, 0]]], axis=1) + 0.5
    # The picture's own border is no outline of the head.
    cut = ((target < 3) | (target > np.array([width, height]) - 3)).any(axis=1)
    offset = (target / scale - pixels) * (smoothstep((_REACH - away) / (0.4 * _REACH)) * ~cut)[:, None]
    normals = anatomy.normals(source.vertices) @ pose.rotation.T  # those of round ears, before any correction
    outward = offset[:, 0] * normals[:, 0] - offset[:, 1] * normals[:, 1] > 0
    offset[~(rim & outward & (away > 0.004))] = 0
    pull = np.zeros((len(placed), 3), np.float32)
    pull[rim] = np.clip(camera.lift(offset, depth)[rim] @ pose.rotation, -_MOST, _MOST)
    anatomy.continue_harmonically(pull, rim, pinned, _HARMONIC)
    for _ in range(3):  # single vertices' noise
        smooth = 0.5 * pull + 0.5 * (anatomy.neighbours @ pull)
        pull = np.where((anatomy.skin & ~pinned)[:, None], smooth, pull).astype(np.float32)
    return pull
