"""Decoded colours are those that the file's numbers mean, without a shift."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from engine.media.movie import MovieSource


@pytest.mark.parametrize(("size", "red", "blue"), [((64, 64), 0.299, 0.114), ((64, 720), 0.2126, 0.0722)])
def test_untagged_video_is_decoded_without_a_shift_of_colour(
    tmp_path: Path, size: tuple[int, int], red: float, blue: float
) -> None:
    width, height = size
    luma, u, v = 30 + np.arange(height) % 180, 120, 140
    planes = [np.repeat(luma[:, None], width, axis=1), *(np.full((height // 2, width // 2), c) for c in (u, v))]
    frame = av.VideoFrame.from_ndarray(
        np.concatenate([p.ravel() for p in planes]).astype(np.uint8).reshape(-1, width), "yuv420p"
    )
    path = tmp_path / "ramp.mkv"
    with av.open(str(path), "w") as movie:
        stream = movie.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"  # type: ignore[attr-defined]
        movie.mux(stream.encode(frame))  # type: ignore[attr-defined]
        movie.mux(stream.encode())  # type: ignore[attr-defined]
    (_, rgb), *_ = MovieSource(path).frames(0, 1)

    y, cb, cr = (luma - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    exact = np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b], axis=-1).clip(0, 255)
    difference = rgb[:, width // 2] - exact
    assert np.abs(difference.mean(axis=0)).max() < 0.15
    assert np.abs(difference).max() < 1
