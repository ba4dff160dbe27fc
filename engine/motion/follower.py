"""One person's face through footage: cuts begin anew, and no other face takes over."""

from __future__ import annotations

import numpy as np

from engine.face import model as face_model
from engine.face.camera import Camera
from engine.face.fitting import Fitter
from engine.motion.cuts import PictureChange
from engine.tracking.detector import Detector, MultiFaceDetector, Observation

_WARM_UP = 2  # looks at a frame in which a face is new: the crop settles
_REACH, _REACH_GROWS = 0.6, 0.05  # diagonals of the face that it may move in a frame, and more for each frame lost
_RESIZED = 1.7  # a face does not grow or shrink more between two frames
_UNLIKE = 1.8  # identity distance from which a face that returns is someone else
_SAMPLES = 6  # observations that decide what a face is like
_DOUBT, _BETTER = 0.85, 0.08  # confidence below which the picture is turned, and the gain that shows an inverted face
_LEAST_CONFIDENCE = 0.3
_NEW = 0.6  # share of the tiles around a face that change where it was not there before


class Follower:
    """Frames must come in order. ``cuts`` and ``others`` are counted from the first frame: those that begin a shot
    after the first, and those in which only someone else is seen."""

    def __init__(self, detector: Detector) -> None:
        self.cuts: list[int] = []
        self.others: list[int] = []
        self._detector = detector
        self._change = PictureChange()
        self._frame = -1

    def look(self, rgb: np.ndarray) -> Observation | None:
        """The person's face in the next frame, (H, W, 3) uint8; None where it is not seen well enough."""
        self._frame += 1
        self._change.look(rgb)
        if self._frame == 0 or self._change.is_cut:
            self._begin(rgb)
        seen = self._next(rgb)
        if seen is not None and self._is_elsewhere(seen) and self._is_new(rgb, seen):
            self._begin(rgb)  # the face jumps to where there was none
            seen = self._next(rgb)
        if seen is not None and not self._several and not self._is_own(rgb, seen):
            self.others.append(self._frame)
            seen = None
        if seen is None:
            self._lose(rgb)
            return None
        self._known.append(seen)
        self._returning = []
        self._lost = 0
        return seen

    def _begin(self, rgb: np.ndarray) -> None:
        """A shot: whoever is most prominent in it is followed."""
        if self._frame > 0:
            self.cuts.append(self._frame)
        self._known: list[Observation] = []
        self._returning: list[Observation] = []  # of a face in the person's place that is not yet like it
        self._lost = 0
        self._several = False  # whether all faces are followed, since the person's was lost
        self._index: int | None = None
        self._strangers: set[int] = set()
        self._detector.restart()
        for _ in range(_WARM_UP):
            self._detector.track(rgb)

    def _next(self, rgb: np.ndarray) -> Observation | None:
        """The face that is followed, or the one that may be it."""
        if self._several:
            return self._among_several(rgb)
        seen = self._upright(rgb, self._detector.track(rgb))
        for _ in range(_WARM_UP if seen is not None and self._lost else 0):
            seen = self._detector.track(rgb)
        return seen

    def _among_several(self, rgb: np.ndarray) -> Observation | None:
        assert isinstance(self._detector, MultiFaceDetector)
        faces = {face.index: face.observation for face in self._detector.track_faces(rgb)}
        if self._index is not None:
            seen = self._upright(rgb, faces.get(self._index))
            return seen if seen is not None and self._is_own(rgb, seen) else None
        for index, observation in faces.items():
            if index in self._strangers:
                continue
            seen = self._upright(rgb, observation)
            if seen is not None and self._is_own(rgb, seen):
                self._index = index
                for _ in range(_WARM_UP):
                    faces = {face.index: face.observation for face in self._detector.track_faces(rgb)}
                return faces.get(index, seen)
            if seen is not None and self._is_elsewhere(seen):
                self._strangers.add(index)
        if faces:
            self.others.append(self._frame)
        return None

    def _lose(self, rgb: np.ndarray) -> None:
        self._lost += 1
        self._index = None
        if self._known and not self._several and isinstance(self._detector, MultiFaceDetector):
            self._several = True
            self._detector.restart()
            stranger = self.others[-1:] == [self._frame]
            self._strangers = {face.index for face in self._detector.track_faces(rgb)} if stranger else set()

    def _upright(self, rgb: np.ndarray, seen: Observation | None) -> Observation | None:
        """``seen`` unless it is too doubtful, or a face seen better with the picture turned by 180°: landmarks of an
        inverted face are those of an upright one that is not there."""
        if seen is None or seen.confidence < _LEAST_CONFIDENCE:
            return None
        if seen.confidence < _DOUBT:
            turned = self._detector.detect(np.ascontiguousarray(rgb[::-1, ::-1]))
            if turned is not None and turned.confidence > seen.confidence + _BETTER:
                return None
        return seen

    def _is_own(self, rgb: np.ndarray, seen: Observation) -> bool:
        """By place, and after a gap by likeness too."""
        if not self._known:
            return True
        return not self._is_elsewhere(seen) and (self._lost == 0 or self._is_alike(rgb, seen))

    def _is_elsewhere(self, seen: Observation) -> bool:
        if not self._known:
            return False
        last = self._known[-1]
        away = float(np.linalg.norm(_centre(seen) - _centre(last))) / max(last.diagonal, 1.0)
        ratio = seen.diagonal / max(last.diagonal, 1.0)
        resized = self._lost == 0 and not 1 / _RESIZED < ratio < _RESIZED
        return resized or away > _REACH + _REACH_GROWS * self._lost

    def _is_new(self, rgb: np.ndarray, seen: Observation) -> bool:
        """Whether there was something else before where the face is; a face that was there is someone else's."""
        size = np.array(rgb.shape[1::-1])
        points = seen.landmarks68 / size
        return self._lost == 0 and self._change.within(points.min(axis=0), points.max(axis=0)) > _NEW

    def _is_alike(self, rgb: np.ndarray, seen: Observation) -> bool:
        """One frame says little about an identity, so a face that is refused is judged by more of them."""
        self._returning = [*self._returning, seen][-_SAMPLES:]
        fitter = Fitter(face_model.load(), Camera(rgb.shape[1], rgb.shape[0]), seen.dense is not None)
        chosen = np.unique(np.linspace(0, len(self._known) - 1, _SAMPLES).astype(int))
        own = fitter.subject([self._known[k] for k in chosen])
        return float(np.linalg.norm(fitter.subject(self._returning) - own)) < _UNLIKE


def _centre(observation: Observation) -> np.ndarray:
    return observation.landmarks68.mean(axis=0)
