"""Run by the engine's Python (test_extension.py), without a line of the engine: MediaPipe alone looks at the frames.

python measure_mouth.py portrait FILE       write the public-domain portrait
python measure_mouth.py mouths FOLDER|MOVIE  print the gap between the lips in each frame, over the eyes' distance
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

UPPER_LIP, LOWER_LIP, RIGHT_EYE, LEFT_EYE = 13, 14, 33, 263


def portrait(path: Path) -> None:
    from skimage.data import astronaut

    head = cv2.resize(astronaut()[0:264, 92:356], (512, 512), interpolation=cv2.INTER_CUBIC)
    path.write_bytes(cv2.imencode(".png", head[..., ::-1])[1].tobytes())


def mouths(path: Path) -> None:
    import mediapipe

    solutions: Any = getattr(mediapipe, "solutions")
    with solutions.face_mesh.FaceMesh(static_image_mode=False, refine_landmarks=True) as mesh:
        print(json.dumps([gap(mesh, frame) for frame in frames(path)]))


def gap(mesh: Any, rgb: np.ndarray) -> float:
    faces = mesh.process(rgb).multi_face_landmarks
    assert faces, "every frame shows a face"
    height, width = rgb.shape[:2]
    points = np.array([(point.x * width, point.y * height) for point in faces[0].landmark])
    lips = np.linalg.norm(points[LOWER_LIP] - points[UPPER_LIP])
    return float(lips / np.linalg.norm(points[LEFT_EYE] - points[RIGHT_EYE]))


def frames(path: Path) -> list[np.ndarray]:
    if path.is_dir():
        files = sorted(path.glob("*.png"))
        return [read_png(file) for file in files]
    import av

    with av.open(str(path)) as movie:
        return [frame.to_ndarray(format="rgb24") for frame in movie.decode(video=0)]


def read_png(path: Path) -> np.ndarray:
    bgr = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None, path
    return bgr[..., ::-1].copy()


{"portrait": portrait, "mouths": mouths}[sys.argv[1]](Path(sys.argv[2]))
