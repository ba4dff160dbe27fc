"""Blender's own numpy writes motion that the engine reads, and reads what the engine writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from engine.motion import format as motion_format
from tests.blender.addon import ENGINE_PYTHON

ROOT = Path(__file__).resolve().parents[2]
READ_AND_WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from engine.motion.motion import Motion
Motion.load(Path(sys.argv[2])).save(Path(sys.argv[3]))
"""


def test_motion_goes_from_blender_to_the_engine_and_back(project: Path) -> None:
    ours, theirs = project / "rig.motion.npz", project / "engine.motion.npz"
    header = {"frames": 2, "start": 5, "rate": [24000, 1001], "neutral_frame": 5, "expressions": ["jawOpen"]}
    arrays = {
        "expression": np.array([[0.0], [0.75]]),
        "rotation": np.tile(np.eye(3), (2, 1, 1)),
        "translation": np.tile([0.0, 0.0, -60.0], (2, 1)),
        "gaze": np.zeros((2, 2, 2)),
        "valid": np.ones(2, bool),
    }
    ours.write_bytes(motion_format.pack(motion_format.MOTION, header | {"tracked": None}, arrays))
    subprocess.run([ENGINE_PYTHON, "-X", "utf8", "-c", READ_AND_WRITE, ROOT, ours, theirs], check=True)
    again, found = motion_format.unpack(theirs, motion_format.MOTION)
    assert {name: again[name] for name in header} == header and again["tracked"] is None
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.astype(float).tolist() for name, array in arrays.items()
    }
