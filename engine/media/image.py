"""Still images: any common file to RGB uint8, and RGB uint8 to a PNG that is on disk whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

MAX_SIDE = 16_384
# OpenCV reads these once, when it is first loaded: an image that lies about its size is refused before it fills memory.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_WIDTH", str(MAX_SIDE))
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_HEIGHT", str(MAX_SIDE))
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_SIDE * MAX_SIDE))

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from engine.errors import EngineError  # noqa: E402
from engine.media import colour_profile  # noqa: E402

_MAX_BYTES = 1 << 31
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".tga", ".psd"})
# On photographs as small as zlib's level 3 and twice as fast: run lengths catch the flat parts, the filter the rest.
_PNG = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG),
]


def read_image(path: Path) -> np.ndarray:
    """The image as (H, W, 3) uint8 sRGB, upright as its EXIF orientation says, without alpha; 16 bits become 8.

    An embedded colour profile is converted. Raises EngineError ``not_an_image`` for whatever cannot be read.
    """
    remedy = "Choose a PNG, JPEG, TIFF, WebP, BMP, TGA or PSD file that an image viewer can open."

    def refused(reason: str) -> EngineError:
        return EngineError("not_an_image", f"{path} {reason}.", remedy)

    try:
        # The bytes are read here and not by OpenCV, which cannot open every Unicode path on Windows.
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > _MAX_BYTES:  # a pipe or a device may never end
            raise refused("is larger than 2 GiB, or not a plain file")
        data = path.read_bytes()
    except OSError as fault:
        raise refused(f"cannot be read ({fault.strerror or fault})") from fault
    if not data:
        raise refused("is empty")
    too_large = f"is damaged or larger than {MAX_SIDE} pixels on a side"
    try:
        picture = colour_profile.opened(data, MAX_SIDE * MAX_SIDE)
        if picture is not None and colour_profile.is_for_pillow(picture):
            rgb = colour_profile.decoded(picture)
        else:
            rgb = _decoded(data)
    except (cv2.error, MemoryError, OSError, ValueError, SyntaxError) as fault:
        raise refused(too_large) from fault
    if rgb is None:
        raise refused("is not an image in a format that the engine reads")
    if max(rgb.shape[:2]) > MAX_SIDE:
        raise refused(too_large)
    if rgb.dtype != np.uint8:
        raise EngineError(
            "not_an_image", f"{path} holds scene-linear values ({rgb.dtype}).", "Convert it to sRGB, 8 or 16 bits."
        )
    return rgb if picture is None else colour_profile.to_srgb(rgb, picture)


def _decoded(data: bytes) -> np.ndarray | None:
    """(H, W, 3) RGB by OpenCV, 16 bits rounded to 8; None where it does not know the format."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is None:
        return None
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def encode_png(rgb: np.ndarray) -> bytes:
    """(H, W, 3) uint8 sRGB as the bytes of a PNG file."""
    _, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), _PNG)
    return data.tobytes()


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` as :func:`whole_file` does."""
    with whole_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write so that ``path`` is, at every moment and after a power cut, either absent, old or whole.

    It appears when the block ends without a fault. Raises EngineError ``disk_full`` or ``not_writable``.
    """
    # Opened by hand: tempfile would give files that only their owner can read, useless on a shared disk.
    temporary = path.with_name(f".{path.name[-100:]}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            retried(lambda: os.replace(temporary, path))
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as fault:
        raise write_fault(path.parent, fault) from fault
    _sync_folder(path.parent)


def retried(action: Callable[[], None]) -> None:
    """Do what Windows refuses while another process has the file open: replace, rename or remove it.

    Readers, virus scanners and indexers close it soon. Raises what ``action`` raises.
    """
    for pause in (0.05, 0.2, 0.5):
        try:
            return action()
        except PermissionError:
            time.sleep(pause)
    action()


def write_fault(folder: Path, fault: OSError) -> EngineError:
    """The error a user can act on for a failed write into ``folder``."""
    if fault.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return EngineError(
            "disk_full",
            f"The disk that holds {folder} is full.",
            "Free some space, then render again; finished frames stay.",
        )
    return EngineError(
        "not_writable",
        f"The folder {folder} cannot be written ({fault.strerror or fault}).",
        "Choose another output folder, or make this one writable.",
    )


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable. Windows cannot open folders and some network shares refuse: nothing is lost."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
