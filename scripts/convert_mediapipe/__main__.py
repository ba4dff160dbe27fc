"""Convert MediaPipe's face and selfie networks (.tflite, Apache-2.0) to the ONNX files in weights/mediapipe.

    python -m venv /tmp/convert
    /tmp/convert/bin/pip install -r scripts/convert_mediapipe/requirements.txt
    pip download --no-deps mediapipe==0.10.21
    /tmp/convert/bin/python scripts/convert_mediapipe mediapipe-0.10.21-*.whl [--output FOLDER]

Run by the project, never by users. It needs neither TensorFlow nor the mediapipe package. It checks the hash of every
source file, writes the same bytes each time, and prints the rows for weights/manifest.toml.

The ONNX files take ``image`` (1, H, W, 3) float32 in 0…255. Inside, activations are NCHW. Weights stay in fp16, as in
the source; a Cast to fp32 follows each, which the runtime folds away. Changes beside the format: PReLU becomes Relu and
two depthwise convolutions, which ONNX Runtime runs faster; scores pass through the sigmoid; the face mesh holds the
attention model's refinement, so that it gives all 478 points at once.
"""

from __future__ import annotations

import argparse
import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from converter import Converter

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """One .tflite file in mediapipe/modules; ``low`` and ``high`` are what its network takes black and white as."""

    file: str
    sha256: str
    low: float
    high: float
    card: str


SOURCES = {
    "face_short_range": Source(
        "face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        -1,
        1,
        "https://mediapipe.page.link/blazeface-mc",
    ),
    "face_full_range": Source(
        "face_detection/face_detection_full_range_sparse.tflite",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        -1,
        1,
        "https://mediapipe.page.link/blazeface-back-sparse-mc",
    ),
    "face_mesh": Source(
        "face_landmark/face_landmark_with_attention.tflite",
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
        0,
        1,
        "https://mediapipe.page.link/attentionmesh-mc",
    ),
    "selfie_segmentation": Source(
        "selfie_segmentation/selfie_segmentation.tflite",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        0,
        1,
        "https://mediapipe.page.link/selfiesegmentation-mc",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="mediapipe-0.10.21-….whl")
    parser.add_argument("--output", type=Path, default=ROOT / "weights" / "mediapipe", metavar="FOLDER")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(options.wheel) as wheel:
        for name, source in SOURCES.items():
            data = wheel.read(f"mediapipe/modules/{source.file}")
            if (found := hashlib.sha256(data).hexdigest()) != source.sha256:
                raise SystemExit(f"{source.file} has the SHA-256 {found}, not {source.sha256}: use mediapipe 0.10.21")
            model = Converter(data, source.low, source.high).finish(name).SerializeToString(deterministic=True)
            (options.output / f"{name}.onnx").write_bytes(model)
            print(f'["mediapipe/{name}.onnx"]')
            print(f'size = {len(model)}\nsha256 = "{hashlib.sha256(model).hexdigest()}"\nuse = "rendering"')
            print('licence = "Apache-2.0"\ncopyright = "The MediaPipe Authors"')
            print(f'source = "mediapipe 0.10.21, mediapipe/modules/{source.file}"\nsource_sha256 = "{source.sha256}"')
            print(f'card = "{source.card}"\nrecipe = "scripts/convert_mediapipe WHEEL"\n')


if __name__ == "__main__":
    main()
