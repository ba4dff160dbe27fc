"""Run by the engine's Python: footage whose every frame says its own index, and a portrait.

    python make_media.py FOLDER

Each frame is 160 × 120 and carries its index as eight bright or dark blocks along the top, so that any decoder, scaler
or colour transform on the way leaves it readable.
"""

import sys
from pathlib import Path

import av
import cv2
import numpy as np

LENGTH = 60


def index_frame(index: int) -> np.ndarray:
    """(120, 160, 3) uint8."""
    image = np.full((120, 160, 3), 60, np.uint8)
    for bit in range(8):
        image[10:30, bit * 20 + 2 : bit * 20 + 18] = 230 if index >> bit & 1 else 20
    image[60:110, 10 + index : 40 + index] = (200, 120, 40)
    return image


def write_movie(path: Path, fps: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12", "g": "8"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(LENGTH):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(index_frame(index), format="rgb24")))
        container.mux(stream.encode())


def write_png(path: Path, rgb: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())  # imwrite knows no Unicode on Windows


def main(folder: Path) -> None:
    images = folder / "images"
    images.mkdir(parents=True)
    for index in range(LENGTH):
        write_png(images / f"index.{index:04d}.png", index_frame(index))
    for fps in (24, 30):
        write_movie(folder / f"index_{fps}.mp4", fps)
    gradient = np.linspace(0, 255, 128, dtype=np.uint8)
    write_png(folder / "portrait.png", np.dstack(np.broadcast_arrays(gradient, gradient[:, None], np.uint8(90))))
    noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    write_png(folder / "large portrait.png", noise)  # slow to write, for what must happen in the middle of a take


if __name__ == "__main__":
    main(Path(sys.argv[1]))
