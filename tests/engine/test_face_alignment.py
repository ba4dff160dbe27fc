"""The optional detector: refused clearly when it is not installed, loaded from a real server when it is."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.tracking import registry as detectors

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venvs" / "training" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

# Networks of the right shape with random weights, offered by a server on this machine, then the detector as it is.
LOADING = """
import sys, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
root, work = map(Path, sys.argv[1:])
sys.path.insert(0, str(root))
import cv2, numpy as np, torch
from face_alignment.detection.sfd.net_s3fd import s3fd
from face_alignment.models import FAN
from engine.download import digest
from engine.errors import EngineError
from engine.tracking import face_alignment_detector as module

torch.manual_seed(0)
torch.hub.set_dir(str(work / "hub"))
published = work / "published"
published.mkdir()
torch.save(FAN(4).state_dict(), published / module.FAN[0])
torch.save(s3fd().state_dict(), published / module.S3FD[0])
files = tuple((name, digest(published / name)) for name, _ in (module.FAN, module.S3FD))
quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(published)))
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"

try:
    module.FaceAlignmentDetector(url)  # the published checksums are not those of random networks
    sys.exit("a file with the wrong checksum was taken")
except EngineError as fault:
    assert fault.code == "checksum", fault
found = module.FaceAlignmentDetector(url, files)
server.shutdown()
server.server_close()
again = module.FaceAlignmentDetector(url, files)  # from disk: nobody serves any more
image = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
observation = again._observe(image, np.array([20.0, 20.0, 76.0, 76.0, 0.8]))
assert observation.landmarks68.shape == (68, 2) and observation.dense is None and observation.confidence == 0.8
print("loaded")
"""


@pytest.mark.skipif(importlib.util.find_spec("face_alignment") is not None, reason="it is installed here")
def test_a_missing_package_is_one_clear_error():
    with pytest.raises(EngineError) as caught:
        detectors.create("face-alignment")
    assert caught.value.code == "missing_package"
    assert "requirements-face-alignment.lock" in caught.value.remedy and "builtin" in caught.value.remedy


def test_every_detector_says_its_terms():
    assert all(f"{name}: " in detectors.terms() for name in detectors.names())
    assert "BSD-3-Clause" in detectors.terms()


@pytest.mark.skipif(not PYTHON.is_file(), reason="made by scripts/setup training")
def test_its_networks_are_fetched_verified_and_reused(folder):
    run = subprocess.run(
        [PYTHON, "-I", "-X", "utf8", "-c", LOADING, ROOT, folder], capture_output=True, encoding="utf-8", timeout=300
    )
    assert run.returncode == 0 and run.stdout.strip().endswith("loaded"), run.stderr[-2000:]
