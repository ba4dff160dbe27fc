"""The one place where a frame's whole way can be read, top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine import takes
from engine.device import device_name
from engine.errors import Cancelled, EngineError
from engine.media.image import read_image
from engine.media.writer import FrameWriter
from engine.progress import Emit, Progress
from engine.protocol import Job, frame_name
from engine.sidecar import Sidecar, Timings
from engine.systems import create
from engine.systems.base import Portrait


def render(job: Job, emit: Emit, cancelled: Callable[[], bool]) -> bool:
    """Make one take of ``job``; True when every frame asked for is on disk, False when cancelled before that.

    ``emit`` receives the protocol's messages (all but ``error``), from several threads. ``cancelled`` is asked between
    any two frames. Raises EngineError; frames already announced stay.
    """
    take: takes.Take | None = None
    sidecar: Sidecar | None = None
    timings = Timings()

    def check() -> None:
        if cancelled():
            raise Cancelled

    try:
        takes.prepare_output(Path(job.output))
        system = create(job.system, job.options)
        with timings.stage("portraits"):
            portraits = [Portrait(Path(path), read_image(Path(path))) for path in job.portraits]
        check()
        with timings.stage("prepare"):
            subject = system.prepare(portraits)
        check()

        take = takes.allocate(Path(job.output), job.shot)
        width, height = subject.size
        emit(
            {
                "type": "take",
                "folder": str(take.folder),
                "name": take.name,
                "width": width,
                "height": height,
                "total": len(job.frames),
            }
        )
        inputs = [("portrait", portrait.path) for portrait in portraits]
        with Sidecar(take, job, inputs, timings) as sidecar:
            record = sidecar
            progress = Progress(emit, "render", len(job.frames))

            def written(frame: int, name: str, status: str) -> None:
                record.frame_written(frame, status)
                emit({"type": "frame", "frame": frame, "file": name, "status": status})
                progress.update(record.written)

            writer = FrameWriter(take.folder, written)
            with timings.stage("render"), writer:
                for output, _source in job.frames:
                    check()
                    with timings.stage("draw"):
                        rgb = subject.draw(None)
                    writer.put(output, frame_name(take.name, output), rgb, "ok")
            timings.seconds["write"] = writer.seconds
            missing = [output for output, _ in job.frames if not take.frame(output).is_file()]
            if missing:
                raise EngineError(
                    "frames_missing",
                    f"{len(missing)} frames of {take.folder} have gone since they were written, first {missing[0]}.",
                    "Check what else writes or cleans that folder, then render again.",
                )
    except Cancelled:
        finished = False
    else:
        finished = True
    emit(
        {
            "type": "done",
            "frames": sidecar.written if sidecar else 0,
            "cancelled": not finished,
            "folder": str(take.folder) if take else "",
            "sidecar": str(take.sidecar) if take else "",
            "device": device_name(),
        }
    )
    return finished
