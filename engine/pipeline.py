"""The one place where a frame's whole way can be read, top to bottom."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine import runtime
from engine.device import device_name
from engine.errors import Cancelled, EngineError
from engine.media.image import read_image
from engine.media.source import Player
from engine.media.writer import FrameWriter
from engine.progress import Emit, Progress
from engine.protocol import Job, frame_name
from engine.systems import create
from engine.systems.base import Portrait, Subject, System
from engine.takes import take as takes
from engine.takes.sidecar import Sidecar, Timings

if TYPE_CHECKING:
    from engine.face.subject import FaceFit
    from engine.geometry.frame_inputs import FrameInputs
    from engine.motion.motion import Motion
    from engine.motion.retarget import Retargeter
    from engine.motion.source import MotionSource
    from engine.tracking.detector import Detector


_KNOWN_FITS = 8
_fits: dict[Hashable, list[FaceFit]] = {}  # of the portraits of this process' last takes; used last, at the end


def render(job: Job, emit: Emit, cancelled: Callable[[], bool]) -> bool:
    """Make one take of ``job``; True when every frame asked for is on disk, False when cancelled before that.

    ``emit`` receives the protocol's messages (all but ``error``), from several threads. ``cancelled`` is asked between
    any two frames. Raises EngineError; frames already announced stay. A cancel that comes before the take's folder
    leaves nothing, and ``done`` then names no folder.
    """
    take = sidecar = detector = subject = player = None
    finished = False
    timings = Timings()

    def check() -> None:
        if cancelled():
            raise Cancelled

    try:
        # What can be refused is refused first, before anything slow and before there is a take.
        takes.prepare_output(Path(job.output))
        system = create(job.system, job.options)
        driving = _open_driving(job, system)
        player = _player(system, driving)
        portraits = [Portrait(Path(path), read_image(Path(path))) for path in job.portraits]
        check()
        if system.driven:
            with timings.stage("portraits"):
                detector = _detector(job, driving)
                portraits = fitted(portraits, detector)
            check()
        with timings.stage("prepare"):
            subject = system.prepare(portraits)
        check()
        inputs = _inputs(job, system, portraits, driving)

        take = takes.allocate(Path(job.output), job.shot)
        emit(_take_message(take, subject, len(job.frames)))
        with Sidecar(take, job, inputs, timings) as sidecar:
            retargeter = None
            if detector is not None and driving is not None:
                with timings.stage("analyse"):
                    motion = _perform(job, driving, portraits, detector, emit, check)
                    kept = take.folder / f"{take.name}.motion.npz"
                    motion.save(kept)
                    motion = motion.load(kept)  # as the file has it, so that it renders this very take again
                retargeter = _retarget(motion, portraits, sidecar, emit)
            with timings.stage("render"):
                _draw(subject, retargeter, player, sidecar, emit, check)
            if subject.networks:
                sidecar.notes["networks"] = subject.networks
            _prove(sidecar)
        finished = True
    except Cancelled:
        pass  # said by `done`, below
    finally:
        for opened in (detector, subject, player):
            if opened is not None:
                opened.close()
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


def _open_driving(job: Job, system: System) -> MotionSource | None:
    """The source of the motion; all source frames asked for are inside it."""
    if job.driving.kind == "none":
        if system.driven:
            raise EngineError(
                "no_driving", f"The system {job.system} needs motion.", "Choose a driving movie or sequence."
            )
        return None
    from engine.motion.registry import open_motion

    source = open_motion(job.driving, Fraction(*job.fps), job.analysed)
    neutral = [] if job.neutral_frame is None else [job.neutral_frame]
    source.check([frame for _, frame in job.frames] + neutral)
    return source


def _player(system: System, driving: MotionSource | None) -> Player | None:
    """The footage once more, for a system that reads the driver's own pixels."""
    if "driver_image" not in system.info.needs:
        return None
    from engine.motion.footage import Footage

    if not isinstance(driving, Footage):
        raise EngineError(
            "no_footage",
            f"The system {system.name} reads the driver's own pixels, and this driving has none.",
            "Choose the movie or the image sequence itself.",
        )
    return Player(driving.source)


def _detector(job: Job, driving: MotionSource | None) -> Detector:
    """The detector that the motion was tracked with, so that portraits have the same points; else the job's."""
    from engine.tracking.registry import create as create_detector

    return create_detector(driving.detector if driving and driving.detector else job.detector)


def fitted(portraits: list[Portrait], detector: Detector) -> list[Portrait]:
    """The portraits with their faces, remembered for further takes of the same pictures in this process."""
    from engine.face.subject import fit_portraits

    pictures = [
        (portrait.rgb.shape, hashlib.sha256(np.ascontiguousarray(portrait.rgb).data).digest()) for portrait in portraits
    ]
    key = (detector.name, *pictures)
    faces = _fits.pop(key, None) or fit_portraits([(portrait.path, portrait.rgb) for portrait in portraits], detector)
    _fits[key] = faces
    while len(_fits) > _KNOWN_FITS:
        del _fits[next(iter(_fits))]
    return [Portrait(portrait.path, portrait.rgb, face) for portrait, face in zip(portraits, faces, strict=True)]


def forget() -> None:
    """Let go of what this process remembers of earlier takes: faces of portraits and open networks."""
    _fits.clear()
    runtime.forget()


def _inputs(
    job: Job, system: System, portraits: list[Portrait], driving: MotionSource | None
) -> list[tuple[str, Path]]:
    """Every file the frames depend on, with its role."""
    inputs = [("portrait", portrait.path) for portrait in portraits]
    if driving is not None:
        inputs += [("driving", path) for path in driving.files([source for _, source in job.frames])]
    models = {portrait.face.model.path for portrait in portraits if portrait.face}
    return inputs + [("weights", path) for path in (*models, *system.weights)]


def _perform(
    job: Job,
    driving: MotionSource,
    portraits: list[Portrait],
    detector: Detector,
    emit: Emit,
    check: Callable[[], None],
) -> Motion:
    """The motion of the whole driver, or of the range that the job states; footage is analysed once for all takes."""
    from engine.motion.footage import FOLDER

    faces = [portrait.face for portrait in portraits if portrait.face]
    return driving.motion(faces, detector, Path(job.output) / FOLDER, emit, check)


def _retarget(motion: Motion, portraits: list[Portrait], sidecar: Sidecar, emit: Emit) -> Retargeter:
    """The motion on the portraits' faces; what was chosen or lost on the way goes into the sidecar."""
    from engine.motion.retarget import Retargeter

    job, faces = sidecar.job, [portrait.face for portrait in portraits if portrait.face]
    retargeter = Retargeter(motion, faces, job.motion, job.neutral_frame, job.no_face, job.identity)
    sidecar.notes["neutral_frame"] = retargeter.neutral_frame
    sidecar.notes["motion"] = retargeter.modes
    sidecar.notes["identity"] = retargeter.identity
    sidecar.notes["portrait_residual_percent"] = [round(face.residual, 3) for face in faces]
    if retargeter.unknown_expressions:
        emit(
            sidecar.warn(
                "unknown_expressions",
                f"The face model lacks expressions of the motion: {', '.join(retargeter.unknown_expressions[:8])}.",
                "They are left out; rename them as the face model does.",
            )
        )
    lost = [source for _, source in job.frames if not motion.valid[source - motion.start]]
    if lost:
        emit(
            sidecar.warn(
                "frames_without_face",
                f"{len(lost)} of {len(job.frames)} frames show no face, the first is source frame {lost[0]}.",
                f"They follow the policy {job.no_face!r}; the sidecar lists them.",
            )
        )
    return retargeter


def _frame_inputs(subject: Subject, retargeter: Retargeter | None, player: Player | None, source: int) -> FrameInputs:
    """What the subject is told of a source frame."""
    if retargeter is None:
        return subject.inputs()
    reach, motion = subject.window, retargeter.frame(source)
    first, last = retargeter.motion.start, retargeter.motion.stop - 1
    around = (min(max(source + k, first), last) for k in range(-reach, reach + 1))
    window = [motion if frame == source else retargeter.frame(frame) for frame in around]
    return subject.inputs(motion, window, player.frame(source) if player else None)


def _draw(
    subject: Subject,
    retargeter: Retargeter | None,
    player: Player | None,
    sidecar: Sidecar,
    emit: Emit,
    check: Callable[[], None],
) -> None:
    """Every frame: retarget, draw, hand to the writer. However it ends, what was drawn is written."""
    job, take, timings = sidecar.job, sidecar.take, sidecar.timings
    progress = Progress(emit, "render", len(job.frames))

    def written(frame: int, name: str, status: str) -> None:
        sidecar.frame_written(frame, status)
        emit({"type": "frame", "frame": frame, "file": name, "status": status})
        progress.update(sidecar.written)

    writer = FrameWriter(take.folder, written)
    try:
        with writer:
            for output, source in job.frames:
                check()
                with timings.stage("draw"):
                    inputs = _frame_inputs(subject, retargeter, player, source)
                    rgb = subject.draw(inputs)
                writer.put(output, frame_name(take.name, output), rgb, inputs.status)
    finally:
        timings.seconds["write"] = writer.seconds


def _prove(sidecar: Sidecar) -> None:
    """Done means that every frame asked for is on disk, whoever else works in that folder."""
    take = sidecar.take
    missing = [output for output, _ in sidecar.job.frames if not take.frame(output).is_file()]
    if missing:
        raise EngineError(
            "frames_missing",
            f"{len(missing)} frames have gone from {take.folder} since they were written, the first is {missing[0]}.",
            "See what else writes to or cleans that folder, then render again.",
        )


def _take_message(take: takes.Take, subject: Subject, total: int) -> dict[str, object]:
    width, height = subject.size
    return {
        "type": "take",
        "folder": str(take.folder),
        "name": take.name,
        "width": width,
        "height": height,
        "total": total,
    }
