"""How a take is made, top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from engine import runtime
from engine.device import device_name
from engine.errors import Cancelled, EngineError
from engine.media.hashes import Hashes
from engine.media.image import read_image
from engine.media.source import Player
from engine.media.writer import FrameWriter
from engine.progress import Emit, Progress
from engine.protocol import Job, frame_name
from engine.systems import create
from engine.systems.base import Portrait, Subject, System
from engine.takes.fingerprint import content_hash, fingerprint_of
from engine.takes.frame import KEYWORD
from engine.takes.take import prepare_output
from engine.takes.writer import TakeWriter
from engine.timings import Timings

if TYPE_CHECKING:
    from engine.geometry.frame_inputs import FrameInputs
    from engine.motion.motion import Motion
    from engine.motion.retarget import Retargeter
    from engine.motion.source import MotionSource
    from engine.tracking.detector import Detector

_HASH_SECONDS = 2.0  # that a take whose frames are all drawn waits for the hashes of its footage


def render(job: Job, emit: Emit, cancelled: Callable[[], bool]) -> bool:
    """Draw the frames of ``job`` into its take; True when all are on disk, False when cancelled before that.

    ``emit`` receives the protocol's messages (all but ``error``), from several threads. ``cancelled`` is asked between
    any two frames. Raises EngineError; frames already announced stay. A cancel or fault before a new take's first frame
    leaves no folder, and ``done`` then names none.
    """
    take: TakeWriter | None = None
    hashes = detector = subject = player = motion = retargeter = None
    finished = False
    timings = Timings()

    def check() -> None:
        if cancelled():
            raise Cancelled

    try:
        # Refuse what can be refused before anything slow, and before there is a take.
        prepare_output(Path(job.output))
        system = create(job.system, job.options)
        driving = _open_driving(job, system)
        player = _player(system, driving)
        portraits = [Portrait(Path(path), read_image(Path(path))) for path in job.portraits]
        check()
        if system.driven:
            detector = _detector(job, driving)
        if detector is not None:
            with timings.stage("portraits"):
                portraits = fitted(portraits, detector)
            check()
        with timings.stage("prepare"):
            subject = system.prepare(portraits)
        check()
        if detector is not None and driving is not None:
            with timings.stage("analyse"):
                motion = _perform(job, driving, portraits, detector, emit, check)
        hashes = Hashes(_inputs(job, system, driving, detector))  # the analysis has hashed the footage already
        pictures = [portrait.rgb for portrait in portraits]
        fingerprint = fingerprint_of(job, system, pictures, detector and detector.name, motion, hashes, check)
        with TakeWriter(job, fingerprint, hashes, timings, check) as take:
            emit(_take_message(take.folder, subject, len(job.frames)))
            for remark in driving.remarks if driving else ():
                emit(take.warn(remark.code, remark.text, remark.remedy))
            if motion is not None:
                retargeter = _retarget(_stored(motion, take), portraits, take, emit)
            with timings.stage("render"):
                _draw(subject, retargeter, player, take, emit, check)
            if subject.networks:
                take.notes["networks"] = subject.networks
            take.check_complete()
            hashes.finish(_HASH_SECONDS, cancelled)
        finished = True
    except Cancelled:
        pass  # said by `done`, below
    finally:
        if hashes is not None:
            hashes.stop()
        for opened in (detector, subject, player):
            if opened is not None:
                opened.close()
    emit(_done_message(take, cancelled=not finished))
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
            f"The system {system.name} reads the driver's own pixels, and there is no footage.",
            "Choose the movie or the image sequence itself.",
        )
    return Player(driving.source)


def _detector(job: Job, driving: MotionSource | None) -> Detector:
    """The detector that the motion was tracked with, so that portraits have the same points; else the job's."""
    from engine.tracking.registry import create as create_detector

    return create_detector(driving.detector if driving and driving.detector else job.detector)


def fitted(portraits: list[Portrait], detector: Detector) -> list[Portrait]:
    """The portraits with their faces."""
    from engine.face.portrait_fits import fit_once

    faces = fit_once([(portrait.path, portrait.rgb) for portrait in portraits], detector)
    return [Portrait(portrait.path, portrait.rgb, face) for portrait, face in zip(portraits, faces, strict=True)]


def forget() -> None:
    """Free what this process keeps of earlier takes: faces of portraits and open networks."""
    from engine.face import portrait_fits

    portrait_fits.forget()
    runtime.forget()


def _inputs(
    job: Job, system: System, driving: MotionSource | None, detector: Detector | None
) -> list[tuple[str, Path]]:
    """Every file the frames depend on, with its role."""
    inputs = [("portrait", Path(path)) for path in job.portraits]
    if driving is not None:
        frames = range(driving.start, driving.stop) if system.driven else [source for _, source in job.frames]
        inputs += [("driving", path) for path in driving.files(frames)]
    models = []
    if detector is not None:
        from engine.face import model as face_model
        from engine.tracking import networks

        models = [face_model.load().path, *detector.weights, networks.FOLDER / "selfie_segmentation.onnx"]  # the matte
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


def _retarget(motion: Motion, portraits: list[Portrait], take: TakeWriter, emit: Emit) -> Retargeter:
    """The motion on the portraits' faces; what was chosen or lost on the way goes into the take's record."""
    from engine.motion.retarget import Retargeter

    job, faces = take.job, [portrait.face for portrait in portraits if portrait.face]
    retargeter = Retargeter(motion, faces, job.motion, job.neutral_frame, job.no_face, job.identity)
    take.notes["neutral_frame"] = retargeter.neutral_frame
    take.notes["motion"] = retargeter.modes
    take.notes["identity"] = retargeter.identity
    take.notes["portrait_residual_percent"] = [round(face.residual, 3) for face in faces]
    if retargeter.unknown_expressions:
        emit(
            take.warn(
                "unknown_expressions",
                f"The face model lacks expressions of the motion: {', '.join(retargeter.unknown_expressions[:8])}.",
                "They are left out; rename them as the face model does.",
            )
        )
    if motion.shots:
        cuts = [shot.start for shot in motion.shots[1:]]
        take.notes["cuts"] = cuts
        take.notes["neutral_frames"] = [shot.neutral for shot in motion.shots]
        emit(
            take.warn(
                "cuts",
                f"Cuts in the footage: {len(cuts)}, the first at source frame {cuts[0]}.",
                "Identity, smoothing and neutral frame begin anew at each; drive with one shot if that is not meant.",
            )
        )
    others = motion.tracked.others if motion.tracked else None
    other = [] if others is None else [source for _, source in job.frames if others[source - motion.start]]
    if other:
        take.notes["someone_else"] = other
        emit(
            take.warn(
                "someone_else",
                f"{len(other)} of {len(job.frames)} frames show only someone else, the first is source "
                f"frame {other[0]}.",
                "They count as frames without a face.",
            )
        )
    lost = [source for _, source in job.frames if not motion.valid[source - motion.start]]
    if lost:
        emit(
            take.warn(
                "frames_without_face",
                f"{len(lost)} of {len(job.frames)} frames show no face, the first is source frame {lost[0]}.",
                f"They follow the policy {job.no_face!r}; the sidecar lists them.",
            )
        )
    return retargeter


def _stored(motion: Motion, take: TakeWriter) -> Motion:
    """The motion in the precision of the take's own file, so that this file draws the same take again."""
    from engine.motion.motion import SUFFIX

    file = take.folder / f"{take.name}{SUFFIX}"
    with suppress(EngineError):  # missing, or damaged
        stored = motion.load(file)
        if content_hash(stored) == content_hash(motion):
            return stored
    motion.save(file)
    return motion.load(file)


def _frame_inputs(subject: Subject, retargeter: Retargeter | None, player: Player | None, source: int) -> FrameInputs:
    """What the subject is told of a source frame."""
    if retargeter is None:
        return subject.inputs()
    reach, motion = subject.window, retargeter.frame(source)
    first, last = retargeter.motion.span(source)
    around = (min(max(source + k, first), last) for k in range(-reach, reach + 1))
    window = [motion if frame == source else retargeter.frame(frame) for frame in around]
    return subject.inputs(motion, window, player.frame(source) if player else None)


def _draw(
    subject: Subject,
    retargeter: Retargeter | None,
    player: Player | None,
    take: TakeWriter,
    emit: Emit,
    check: Callable[[], None],
) -> None:
    """Every frame that is not there yet: retarget, draw, hand to the writer."""
    job, timings = take.job, take.timings
    for frame, status in take.kept.items():
        take.frame_done(frame, status)
        emit(_frame_message(take, frame, "kept"))
    progress = Progress(emit, "render", len(job.frames), done=take.written)

    def on_disk(frame: int, status: str, announced: str) -> None:
        take.frame_done(frame, status)
        emit(_frame_message(take, frame, announced))
        progress.update(take.written)

    writer = FrameWriter(take.folder, lambda frame, _, status: on_disk(frame, status, status), KEYWORD)
    try:
        with writer:
            for output, source in job.frames:
                check()
                if output in take.kept:
                    continue
                if status := take.find(output, source):  # another process has drawn it meanwhile
                    on_disk(output, status, "kept")
                    continue
                with timings.stage("draw"):
                    inputs = _frame_inputs(subject, retargeter, player, source)
                    rgb = subject.draw(inputs)
                tag = take.tag(source, inputs.status)
                writer.put(output, frame_name(take.name, output), rgb, inputs.status, tag)
    finally:
        timings.seconds["write"] = writer.seconds


def _take_message(folder: Path, subject: Subject, total: int) -> dict[str, object]:
    width, height = subject.size
    return {
        "type": "take",
        "folder": str(folder),
        "name": folder.name,
        "width": width,
        "height": height,
        "total": total,
    }


def _frame_message(take: TakeWriter, frame: int, status: str) -> dict[str, object]:
    return {"type": "frame", "frame": frame, "file": frame_name(take.name, frame), "status": status}


def _done_message(take: TakeWriter | None, cancelled: bool) -> dict[str, object]:
    on_disk = take if take and not take.removed else None
    return {
        "type": "done",
        "frames": take.written if take else 0,
        "cancelled": cancelled,
        "folder": str(on_disk.folder) if on_disk else "",
        "sidecar": str(on_disk.sidecar) if on_disk else "",
        "device": device_name(),
    }
