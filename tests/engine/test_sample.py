"""The embedded driving clip is what the demo and other tests take it for: a face that talks, blinks and turns."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine.media.source import open_source
from engine.protocol import Driving
from engine.tracking.registry import create
from tests.engine.dense_signals import expression, pose

CLIP = Path(__file__).resolve().parents[1] / "data" / "driving_sample.mp4"


def test_the_sample_shows_a_face_that_moves_in_every_frame():
    source = open_source(Driving("movie", str(CLIP)), Fraction(24))
    assert source.fps == Fraction(24000, 1001) and source.count == 48
    with closing(create("builtin")) as detector:
        faces = [detector.track(rgb) for _, rgb in source.frames(0, source.count)]
    dense = np.stack([face.dense for face in faces if face is not None and face.dense is not None])
    assert len(dense) == source.count
    assert min(face.confidence for face in faces if face) > 0.7
    mouth, _, eyes, _ = expression(dense).T
    yaw, pitch, _ = pose(dense).T
    assert mouth.max() > 0.2 and mouth.min() < 0.02
    assert eyes.min() < 0.4 * np.median(eyes)
    assert np.ptp(yaw) > 25 and np.ptp(pitch) > 8
