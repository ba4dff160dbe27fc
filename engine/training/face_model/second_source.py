"""The second source on our topology: registered once, with its modes transferred and missing parts predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.tracking.detector import Detector
from engine.training.face_model import carry, correspondence, registration, render
from engine.training.face_model.assets import Head
from engine.training.face_model.closest import ClosestPoints
from engine.training.face_model.statistics import Population
from engine.training.face_model.topology import Topology

PLAIN_SKIN = (215, 165, 140)
LID_REACH, MOUTH_REACH = 2.2, 4.0  # cm around eyeballs and teeth: skin that moves them
WALL_REACH = 0.4  # cm, over which hidden skin averages the motion of visible skin
HIDDEN_TRUST = 0.05  # weight of that average against smoothness; visible skin has 2
SPREAD = 0.8  # of its modes, which vary more than people do


@dataclass(frozen=True)
class Result:
    """The population, the registered vertices (N, 3), and residuals of the registration in cm."""

    population: Population
    surface_distance: float  # mean over matched skin vertices
    matched_share: float
    landmark_distance: float  # mean over the dense points


def detector_points(head: Head, detector: Detector) -> correspondence.Landing:
    """The dense points on the bare, plainly shaded head; its face is found in the first frontal view."""
    top = head.vertices[head.vertices[:, 1].argmax()]
    nose = head.vertices[head.vertices[:, 2].argmax()]
    aim = np.array([top[0], nose[1], (top[2] + nose[2]) / 2])
    colour = np.array(PLAIN_SKIN)

    def plain(view: render.View) -> np.ndarray:
        return np.broadcast_to(colour, (len(view.light), 3))

    sitting = correspondence.Sitting(head.vertices, head.triangles, plain, mouth_open=False)
    everywhere = np.ones(len(head.triangles), bool)
    return correspondence.land([sitting], everywhere, head.vertices, aim, detector, width_cm=34)


def learn(
    head: Head, topology: Topology, ours: Population, landing: correspondence.Landing, detector: Detector
) -> Result:
    """``landing`` are the detector's points on our own mean."""
    theirs = detector_points(head, detector)
    weight = 1 / (1 + ((landing.spread + theirs.spread) / 0.3) ** 2)
    weight[list(correspondence.INNER_LIPS)] = 0  # its mouth was only seen closed
    scale, turn, shift = registration.similarity(theirs.position, landing.position, weight)
    target = scale * head.vertices @ turn.T + shift
    goal = scale * theirs.position @ turn.T + shift

    sheet_size = topology.sheet.operator.shape[0]
    sheet_triangles = topology.sheet.triangles
    skin = topology.part_triangles("skin")
    follows = np.zeros(sheet_size, bool)
    follows[skin[render.seen_triangles(ours.mean, skin)]] = True
    follows[topology.part_vertices("mouth", "socket")] = False
    shown = np.zeros(len(target), bool)
    shown[head.triangles[render.seen_triangles(target, head.triangles)]] = True
    outside = head.triangles[shown[head.triangles].any(axis=1)]  # one ring more: registration ignores the boundary
    places = ClosestPoints(ours.mean, skin).query(landing.position)
    marks = places.operator(skin, len(topology.vertices))[:, :sheet_size]
    laid = registration.register(ours.mean[:sheet_size], sheet_triangles, follows, marks, goal, weight, target, outside)
    operator = laid.where.operator(outside, len(head.vertices))
    modes = scale * carry.apply(operator, head.identity) @ turn.T.astype(np.float32)
    fields = np.concatenate([(laid.vertices - ours.mean[:sheet_size])[None], modes])
    fields = _into_hollows(topology, ours.mean[:sheet_size], fields, laid.matched)
    mean, modes = _predict_hidden(topology, ours, fields, laid.matched)
    return Result(
        Population(mean, modes).scaled(SPREAD),
        float(laid.where.distance[laid.matched].mean()),
        float(laid.matched[follows].mean()),
        float(np.linalg.norm(marks @ laid.vertices - goal, axis=1).mean()),
    )


def _into_hollows(topology: Topology, rest: np.ndarray, fields: np.ndarray, matched: np.ndarray) -> np.ndarray:
    """Fields (K, n, 3), known where ``matched``, on the whole sheet.

    Skin out of sight, as in nostrils and behind lids, goes with the skin nearest in space, so that thin walls keep
    their two sides; the cavities go on smoothly from their rims.
    """
    size = len(rest)
    skin = topology.part_vertices("skin")
    hidden = np.setdiff1d(skin, np.flatnonzero(matched))
    walls = carry.moving_affine(rest[matched], rest[hidden], WALL_REACH, neighbours=80, ridge=0.1)
    trust = np.zeros(size)
    trust[skin], trust[hidden] = 2.0, HIDDEN_TRUST
    filled = fields.astype(np.float32)
    filled[:, hidden] = carry.apply(walls, filled[:, matched])
    flat = filled.transpose(1, 0, 2).reshape(size, -1)
    flat = registration.extend(flat, topology.sheet.triangles, trust)
    return flat.reshape(size, -1, 3).transpose(1, 0, 2).astype(np.float32)


def _predict_hidden(
    topology: Topology, ours: Population, fields: np.ndarray, matched: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and modes of whole heads from ``fields`` (1 + K, n, 3), the sheet's displacement to the mean and the modes.

    What the second source does not have (eyes, teeth, tongue) is what our modes that explain its skin say of it (ridge
    regression), moved with the skin that lies around it.
    """
    size = fields.shape[1]
    count = len(ours.modes)
    basis = ours.modes[:, :size][:, matched].reshape(count, -1).T.astype(np.float64)
    gram = basis.T @ basis + np.eye(count) * 0.02 * matched.sum()

    def complete(displacement: np.ndarray) -> np.ndarray:
        coefficients = np.linalg.solve(gram, basis.T @ displacement[matched].ravel())
        full = np.einsum("k,knd->nd", coefficients, ours.modes)
        error = displacement - full[:size]
        full[:size] = displacement  # cavities hang on their rims already
        for name, (where, _) in topology.pieces.items():
            reach = LID_REACH if name.startswith("eye") else MOUTH_REACH
            full[where] += error[_around(ours.mean[:size], ours.mean[where].mean(axis=0), reach)].mean(axis=0)
        return full

    mean = ours.mean + complete(fields[0])
    return mean, np.stack([complete(mode) for mode in fields[1:]]).astype(np.float32)


def _around(points: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    return np.flatnonzero(np.linalg.norm(points - centre, axis=1) < radius)
