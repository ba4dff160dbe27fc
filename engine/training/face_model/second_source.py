"""The second source on our topology: registered once, its modes carried, the parts it lacks predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.face.detector import Detector
from engine.training.face_model import carry, correspondence, registration, render
from engine.training.face_model.assets import Head
from engine.training.face_model.closest import ClosestPoints
from engine.training.face_model.statistics import Population
from engine.training.face_model.topology import Topology

PLAIN_SKIN = (215, 165, 140)
LID_REACH, MOUTH_REACH = 2.2, 4.0  # cm around eyeballs and teeth whose skin they move with
SPREAD = 0.8  # of its modes: they were drawn from sliders more freely than people vary


@dataclass(frozen=True)
class Result:
    """The population, the registered vertices (N, 3), and residuals of the registration in cm."""

    population: Population
    surface_distance: float  # mean over matched skin vertices
    matched_share: float
    landmark_distance: float  # mean over the dense points


def detector_points(head: Head, detector: Detector) -> correspondence.Landing:
    """The dense points on the bare, plainly shaded head; its face is found by the first look from the front."""
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
    weight[list(correspondence.INNER_LIPS)] = 0  # its mouth was only seen shut
    scale, turn, shift = registration.similarity(theirs.position, landing.position, weight)
    target = scale * head.vertices @ turn.T + shift
    goal = scale * theirs.position @ turn.T + shift

    sheet_size = topology.sheet.operator.shape[0]
    sheet_triangles = topology.sheet.triangles
    skin = topology.triangles[topology.triangle_part == 0]
    follows = np.zeros(sheet_size, bool)
    follows[np.unique(skin)] = True
    follows[topology.part_vertices("mouth", "socket")] = False
    # Rims of the cavities are shared with the skin and follow it; inner lips that touch are left to smoothness.
    places = ClosestPoints(ours.mean, skin).query(landing.position)
    marks = places.operator(skin, len(topology.vertices))[:, :sheet_size]
    laid = registration.register(
        ours.mean[:sheet_size], sheet_triangles, follows, marks, goal, weight, target, head.triangles
    )
    operator = laid.where.operator(head.triangles, len(head.vertices))
    modes = scale * carry.apply(operator, head.identity) @ turn.T.astype(np.float32)
    flat = modes.transpose(1, 0, 2).reshape(sheet_size, -1)
    flat = registration.extend(flat, sheet_triangles, laid.matched)
    modes = flat.reshape(sheet_size, -1, 3).transpose(1, 0, 2).astype(np.float32)
    mean, modes = _predict_hidden(topology, ours, laid.vertices, modes, laid.matched)
    return Result(
        Population(mean, modes).scaled(SPREAD),
        float(laid.where.distance[laid.matched].mean()),
        float(laid.matched[follows].mean()),
        float(np.linalg.norm(marks @ laid.vertices - goal, axis=1).mean()),
    )


def _predict_hidden(
    topology: Topology, ours: Population, laid: np.ndarray, modes: np.ndarray, matched: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the second source does not have (eyes, teeth, cavities) as the first source's modes that explain its skin.

    Ridge regression of our modes onto the carried skin; eyes and teeth then move with what of it lies around them.
    """
    size = len(laid)
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

    mean = ours.mean + complete(laid - ours.mean[:size])
    return mean, np.stack([complete(mode) for mode in modes]).astype(np.float32)


def _around(points: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    return np.flatnonzero(np.linalg.norm(points - centre, axis=1) < radius)
