"""Fit the face model to detector landmarks: Gauss–Newton with robust weights and expressions kept inside a box.

Residuals are in percent of the face's diagonal, so every constant below is independent of image size. The identity is
shared by all observations of a subject; poses are projected out of its step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.face.camera import Camera, Pose
from engine.face.maths import rotation_from_vector
from engine.face.model import Anchors, FaceModel
from engine.tracking.detector import Observation

LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
)
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
LIDS_RIGHT = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LIDS_LEFT = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
BROWS = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 336, 296, 334, 293, 300, 276, 283, 282, 295, 285)

_DATA_WEIGHT = 120.0  # of all landmarks together, against the priors below
_STILL = 0.7  # cm that expressions may move a point that is used for the pose
_DEPTH_WEIGHT = 1.5  # of a point's depth against each of its picture coordinates, in the pose
_HUBER = 3.0  # percent of the face's diagonal
_RIDGE, _SPARSE = 0.35, 0.06  # default L2 and L1 on an expression weight
_FREE = {"eyeBlink_L", "eyeBlink_R", "jawOpen"}
_SHY = {  # shapes that explain almost anything without a strong prior
    *("jawForward", "mouthShrugLower", "mouthShrugUpper", "mouthRollUpper", "mouthRollLower", "mouthFunnel"),
    *("mouthPress_L", "mouthPress_R", "mouthDimple_L", "mouthDimple_R", "mouthClose"),
}
_UPPER = {
    **{"jawOpen": 1.2, "eyeBlink_L": 1.15, "eyeBlink_R": 1.15},
    **{"cheekPuff_L": 0.4, "cheekPuff_R": 0.4, "cheekPuff": 0.4, "mouthClose": 0.4},
}


@dataclass
class FrameFit:
    """``expression`` (E,), ``pose``, and the mean landmark ``residual`` in percent of the face's diagonal."""

    expression: np.ndarray
    pose: Pose
    residual: float = 0.0


class Fitter:
    """Fits observations of one kind (468 dense points, or 68) in images of one size."""

    def __init__(self, model: FaceModel, camera: Camera, dense: bool) -> None:
        self.model, self.camera, self.is_dense = model, camera, dense
        self.anchors: Anchors = model.dense if dense else model.landmarks68
        self.weights = _dense_weights(model) if dense else np.ones(68)
        self.mean = self.anchors.at(model.vertices).astype(np.float64)
        self.identity_basis = self.anchors.at(model.identity).astype(np.float64)
        self.expression_basis = self.anchors.at(model.expression).astype(np.float64)
        names = model.expression_names
        self.upper = np.array([0.0 if n.startswith("eyeLook") else _UPPER.get(n, 1.0) for n in names])
        self._ridge = 3 * np.array([0.08 if n in _FREE else 0.8 if n in _SHY else _RIDGE for n in names])
        self._sparse = 3 * np.array([0.01 if n in _FREE else _SPARSE for n in names])
        reach = np.linalg.norm(self.expression_basis, axis=2).max(axis=0)
        self._rigid_weights = np.exp(-((reach / _STILL) ** 2))

    def points(self, observation: Observation) -> np.ndarray:
        """The observed points that this fitter explains, (P, 2) pixels."""
        if self.is_dense:
            assert observation.dense is not None
            return observation.dense[:, :2]
        return observation.landmarks68

    def subject(self, observations: list[Observation]) -> np.ndarray:
        """Identity coefficients (K,) shared by several observations of one person."""
        count = len(self.identity_basis)
        identity = np.zeros(count)
        fits = [self.start(o, self.mean) for o in observations]
        for _ in range(5):
            neutral = self.mean + np.tensordot(identity, self.identity_basis, 1)
            normal, gradient = np.eye(count), -identity
            for k, observation in enumerate(observations):
                fits[k] = self._solve(observation, neutral, fits[k], iterations=3)
                a, b = self._identity_equations(observation, neutral, fits[k])
                normal, gradient = normal + a / len(observations), gradient + b / len(observations)
            identity = identity + np.linalg.solve(normal, gradient)
        return identity

    def neutral_points(self, identity: np.ndarray) -> np.ndarray:
        """The subject's expressionless landmarks in the head's frame, (P, 3)."""
        return self.mean + np.tensordot(identity, self.identity_basis, 1)

    def frame(self, observation: Observation, neutral: np.ndarray, previous: FrameFit | None) -> FrameFit:
        """Expression and pose of one observation; ``previous`` starts the search and is a weak prior."""
        if previous is None:
            fit = self._solve(observation, neutral, self.start(observation, neutral), iterations=12)
        else:
            fit = self._solve(observation, neutral, previous, iterations=4, prior=previous.expression)
        return self._rigid(observation, neutral, fit)

    def offsets(self, observation: Observation, neutral: np.ndarray, fit: FrameFit) -> np.ndarray:
        """The fit's residual as 3-D offsets (P, 3) cm in the head's frame, parallel to the image."""
        pixels, depth = self.camera.project(fit.pose.apply(self._deformed(neutral, fit.expression)))
        return self.camera.lift(self.points(observation) - pixels, depth) @ fit.pose.rotation

    def start(self, observation: Observation, neutral: np.ndarray) -> FrameFit:
        """A pose from the detector's own depth (dense) or from a frontal guess (68), no expression."""
        points = self.points(observation)
        if self.is_dense:
            assert observation.dense is not None
            seen = observation.dense * [1, -1, -1]
            rotation, scale = _procrustes(seen, neutral, self.weights)
        else:
            rotation = np.eye(3)
            scale = np.linalg.norm(points - points.mean(0)) / np.linalg.norm((neutral - neutral.mean(0))[:, :2])
        depth = self.camera.focal / scale
        offset = self.camera.lift(points.mean(axis=0) - self.camera.centre, np.asarray(depth))
        translation = offset + [0, 0, -depth] - rotation @ neutral.mean(axis=0)
        return FrameFit(np.zeros(len(self.upper)), Pose(rotation, translation))

    def _deformed(self, neutral: np.ndarray, expression: np.ndarray) -> np.ndarray:
        return neutral + np.tensordot(expression, self.expression_basis, 1)

    def _residual(
        self, observation: Observation, head: np.ndarray, pose: Pose
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Residuals (P, 2) in percent, their derivative by camera-space position (P, 2, 3) and by pose (P, 2, 6)."""
        points = self.points(observation)
        camera_points = pose.apply(head)
        pixels, depth = self.camera.project(camera_points)
        percent = 100 / observation.diagonal
        by_position = np.zeros((len(head), 2, 3))
        scale = self.camera.focal * percent / depth
        by_position[:, 0, 0], by_position[:, 1, 1] = scale, -scale
        by_position[:, 0, 2] = scale * camera_points[:, 0] / depth
        by_position[:, 1, 2] = -scale * camera_points[:, 1] / depth
        arm = camera_points - pose.translation
        by_rotation = np.cross(arm[:, None, :], by_position)
        return (points - pixels) * percent, by_position, np.concatenate([by_rotation, by_position], axis=2)

    def _solve(
        self,
        observation: Observation,
        neutral: np.ndarray,
        start: FrameFit,
        iterations: int,
        prior: np.ndarray | None = None,
    ) -> FrameFit:
        expression, pose = start.expression, start.pose
        count = len(expression)
        root = np.repeat(np.sqrt(self.weights), 2)
        diagonal = np.arange(count)
        residual = np.zeros((0, 2))
        for _ in range(iterations):
            head = self._deformed(neutral, expression)
            residual, by_position, by_pose = self._residual(observation, head, pose)
            in_head = by_position @ pose.rotation
            by_expression = np.einsum("pac,epc->pae", in_head, self.expression_basis, optimize=True)
            jacobian = np.concatenate([by_expression, by_pose], axis=2).reshape(-1, count + 6) * root[:, None]
            error = residual.reshape(-1) * root
            weighted = jacobian.T * (_robust(error) * (_DATA_WEIGHT / len(error)))
            normal, gradient = weighted @ jacobian, weighted @ error
            normal[diagonal, diagonal] += self._ridge
            gradient[:count] -= self._ridge * expression + self._sparse
            if prior is not None:
                normal[diagonal, diagonal] += 0.6
                gradient[:count] += 0.6 * (prior - expression)
            normal[np.arange(count + 6), np.arange(count + 6)] += 1e-6
            step = _boxed_step(normal, gradient, expression, self.upper)
            expression = expression + step[:count]
            pose = Pose(
                rotation_from_vector(step[count : count + 3]) @ pose.rotation, pose.translation + step[count + 3 :]
            )
            if np.abs(step[:count]).max() < 2e-3:
                break
        return FrameFit(expression, pose, float(np.linalg.norm(residual, axis=1).mean()))

    def _rigid(self, observation: Observation, neutral: np.ndarray, fit: FrameFit) -> FrameFit:
        """The pose again, from points that expressions hardly move, so that strong expressions do not leak into it.

        A grin and a head tipped back look alike in the picture, and the fitted expression moves still points too. Dense
        points are many and have depth, so they are compared with the expressionless head; 68 points are too few.
        """
        head = self._deformed(neutral, fit.expression)
        still = neutral if self.is_dense else head
        pose, root = fit.pose, np.sqrt(self._rigid_weights)[:, None]
        for _ in range(4):
            residual, _, by_pose = self._residual(observation, still, pose)
            if self.is_dense:
                depth, by_depth = self._depth_residual(observation, still, pose)
                residual = np.concatenate([residual, depth[:, None]], axis=1)
                by_pose = np.concatenate([by_pose, by_depth[:, None]], axis=1)
            jacobian = (by_pose * root[..., None]).reshape(-1, 6)
            error = (residual * root).reshape(-1)
            weighted = jacobian.T * _robust(error)
            step = np.linalg.lstsq(weighted @ jacobian, weighted @ error, rcond=None)[0]
            pose = Pose(rotation_from_vector(step[:3]) @ pose.rotation, pose.translation + step[3:])
        residual, _, _ = self._residual(observation, head, pose)
        return FrameFit(fit.expression, pose, float(np.linalg.norm(residual, axis=1).mean()))

    def _depth_residual(self, observation: Observation, head: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Residual (P,) of the detector's depth, which has no origin, and its derivative by pose (P, 6), weighted."""
        assert observation.dense is not None
        percent = 100 / observation.diagonal
        camera_points = pose.apply(head)
        arm = (camera_points - pose.translation) * self.camera.focal * percent / -camera_points[:, 2].mean()
        residual = -observation.dense[:, 2] * percent - arm[:, 2]
        by_pose = np.zeros((len(head), 6))
        by_pose[:, 0], by_pose[:, 1] = arm[:, 1], -arm[:, 0]
        weights, root = self._rigid_weights, np.sqrt(_DEPTH_WEIGHT)
        residual = residual - np.average(residual, weights=weights)
        return root * residual, root * (by_pose - np.average(by_pose, axis=0, weights=weights))

    def _identity_equations(
        self, observation: Observation, neutral: np.ndarray, fit: FrameFit
    ) -> tuple[np.ndarray, np.ndarray]:
        residual, by_position, by_pose = self._residual(observation, self._deformed(neutral, fit.expression), fit.pose)
        root = np.repeat(np.sqrt(self.weights), 2)
        in_head = by_position @ fit.pose.rotation
        jacobian = np.einsum("pac,kpc->pak", in_head, self.identity_basis, optimize=True)
        jacobian = jacobian.reshape(len(root), -1) * root[:, None]
        error = residual.reshape(-1) * root
        pose_space, _ = np.linalg.qr(by_pose.reshape(-1, 6) * root[:, None])
        jacobian -= pose_space @ (pose_space.T @ jacobian)
        error = error - pose_space @ (pose_space.T @ error)
        scale = _DATA_WEIGHT / len(error)
        return jacobian.T @ jacobian * scale, jacobian.T @ error * scale


def _robust(error: np.ndarray) -> np.ndarray:
    """Huber's weights: beyond the threshold the pull of a point does not grow."""
    return 1 / np.maximum(1, np.abs(error) / _HUBER)


def _dense_weights(model: FaceModel) -> np.ndarray:
    """Points that slide over the surface count less; lips, lids and brows, which carry the expression, count more."""
    weights = 1 / (1 + (model.dense_spread.astype(np.float64) / 0.3) ** 2)
    weights[list(LIPS + LIDS_LEFT + LIDS_RIGHT)] = 3
    weights[list(BROWS)] = np.maximum(weights[list(BROWS)], 2)
    return weights


def _procrustes(seen: np.ndarray, model: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Rotation and scale that take centred ``model`` (P, 3) to centred ``seen`` (P, 3) best."""
    seen, model = seen - seen.mean(axis=0), model - model.mean(axis=0)
    u, singular, vt = np.linalg.svd((seen * weights[:, None]).T @ model)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return u @ np.diag(sign) @ vt, float((singular * sign).sum() / ((model**2) * weights[:, None]).sum())


def _boxed_step(normal: np.ndarray, gradient: np.ndarray, x: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Minimise ½ dᵀNd − gᵀd with 0 ≤ x + d ≤ upper on the first len(x) unknowns, by an active set."""
    count = len(x)
    fixed = np.zeros(len(gradient), bool)
    step = np.zeros(len(gradient))
    for _ in range(8):
        free = ~fixed
        step[free] = np.linalg.solve(
            normal[np.ix_(free, free)], gradient[free] - normal[np.ix_(free, fixed)] @ step[fixed]
        )
        target = x + step[:count]
        outside = ((target < -1e-9) | (target > upper + 1e-9)) & free[:count]
        if not outside.any():
            break
        step[:count][outside] = np.clip(target[outside], 0, upper[outside]) - x[outside]
        fixed[:count] |= outside
    step[:count] = np.clip(x + step[:count], 0, upper) - x
    return step
