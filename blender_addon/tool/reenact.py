"""One press of Reenact: from the scene to a job, from the job's run to a strip. Panel, command and scripts use it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import bpy

from ...engine import catalog, protocol
from ..core.fault import Fault
from ..core.frame_map import StripTiming, frame_map
from ..core.interrupts import on_interrupt
from ..core.render_run import RenderRun, State
from ..core.takes import TakeFolder
from . import compat, engine, sequencer
from .compat import Scene, Strip
from .options import options_of
from .scene import output_folder, portraits, scene_by_uid
from .take import free_channel, lay_take

MARK = "understudy_driver"  # property of the strip that drives the run with this token; it survives a rename


class Reenactment:
    """A run and the place in the sequencer where its take belongs; no bpy reference is kept between the two."""

    def __init__(self, scene: Scene, frames: str = "", take: str = protocol.NEW, strict: bool = False) -> None:
        """Start a take of ``scene``, or resume one: ``take`` is ``new``, ``latest`` or a version such as ``v003``.

        ``frames`` is a range of scene frames such as ``1001-1100x2``, else the settings'. It is clipped to the driving
        strip with a warning, or refused if ``strict``. Raises :class:`Fault`, before anything is written, for whatever
        stands in the way.
        """
        driver = sequencer.driving_strip(scene)
        driving = sequencer.footage(driver)  # first: what is missing cannot be timed
        timing = sequencer.timing(scene, driver)
        wanted, warnings = frames_to_render(scene, timing, frames, strict)
        job = _job(scene, driver, driving, timing, wanted, take)
        if take == protocol.NEW:  # another take may have its strip already
            free_channel(scene, driver.channel, wanted[0], wanted[-1] + 1)
        self.scene_uid: int = scene.session_uid
        self.signal: int | None = None  # what interrupted the run, if anything did
        self.run = RenderRun(job, engine.engine_python(), engine.ROOT, engine.new_log_file())
        self.run.warnings += warnings
        self._token = driver[MARK] = uuid.uuid4().hex
        self._name: str = driver.name
        self._channel: int = driver.channel
        self._content_start = compat.content_start(driver)

    def wait(self, on_change: Callable[[RenderRun], None] | None = None) -> None:
        """Block until the run is over. Without a window, Ctrl-C or a request to end cancels it."""

        def cancel(number: int) -> None:
            self.signal = number
            self.run.cancel()

        if bpy.app.background:
            with on_interrupt(cancel):
                self.run.wait(on_change)
        else:
            self.run.wait(on_change)

    def land(self) -> Strip | None:
        """Once the run is over, show its take's frames on the timeline, where the driver is by now; None without any.

        If there is no place for the strip, that becomes a warning of the run: the frames are on disk.
        """
        run, scene = self.run, scene_by_uid(self.scene_uid)
        driver = self._take_driver(scene) if scene else None
        if run.take is None or not run.frames:
            return None
        try:
            if scene is None:
                raise Fault("no_scene", f"The scene of {run.take.name} was deleted.", "Choose another scene.")
            return add_to_timeline(
                scene,
                run.take,
                driving=driver.name if driver else self._name,
                above=driver.channel if driver else self._channel,
                shift=round(compat.content_start(driver) - self._content_start) if driver else 0,
                complete=run.state is State.FINISHED,
            )
        except Fault as fault:
            remedy = (
                f"{fault.remedy} The frames are in {run.take.folder}; press Add to Timeline in the panel, under Takes."
            )
            run.warnings.append(Fault(fault.code, fault.text, remedy.strip()))
            return None

    def _take_driver(self, scene: Scene) -> Strip | None:
        """The driving strip, even if it was moved or renamed; its mark is removed."""
        strips = list(compat.strips(scene))
        marked = [strip for strip in strips if strip.get(MARK) == self._token]
        for strip in marked:
            del strip[MARK]
        # A copy is marked too; after an undo perhaps none is.
        return next((strip for strip in marked or strips if strip.name == self._name), marked[0] if marked else None)


def add_to_timeline(
    scene: Scene, take: TakeFolder, *, driving: str, above: int, shift: int = 0, complete: bool
) -> Strip:
    """Show ``take``: :func:`take.lay_take` with the note by which we know its strip again."""
    note = {"take": take.name, "sidecar": str(take.sidecar), "driving": driving, "complete": complete}
    relative = scene.understudy.output.startswith("//")
    return lay_take(scene, take, above=above, shift=shift, note=note, relative=relative)


def frames_to_render(
    scene: Scene, timing: StripTiming, frames: str = "", strict: bool = False
) -> tuple[list[int], list[Fault]]:
    """The scene frames a take will have, and warnings about them; raises :class:`Fault` ``frames``."""
    shown, warnings = f"{timing.left}-{timing.right - 1}", []
    if frames:
        try:
            asked = protocol.parse_frames(frames)
        except ValueError as error:
            raise Fault("frames", f"{error}.", "Write scene frames.") from error
        wanted = [frame for frame in asked if timing.left <= frame < timing.right]
        if len(wanted) < len(asked):
            first = next(frame for frame in asked if not timing.left <= frame < timing.right)
            text = f"The driving strip is not shown on frame {first}, only on {shown}."
            if strict or not wanted:
                raise Fault("frames", text, f"Ask for frames of {shown}.")
            left_out = f"{len(asked) - len(wanted)} of {len(asked)} frames are left out."
            warnings.append(Fault("frames_clipped", f"{text} {left_out}"))
    elif scene.understudy.range == "SCENE":
        wanted = list(timing.frames(scene.frame_start, scene.frame_end))
        if not wanted:
            text = f"The driving strip is not shown between the scene's frames {scene.frame_start}-{scene.frame_end}."
            raise Fault("frames", text, "Change the scene's range, or take the strip's.")
    else:
        wanted = list(timing.frames(timing.left, timing.right - 1))
    if wanted[0] < 0:
        remedy = "Move the strip to the right, or ask for fewer frames."
        raise Fault("frames", f"Frame {wanted[0]} is negative, and files cannot have negative numbers.", remedy)
    return wanted, warnings


def shot_name(scene: Scene) -> str:
    return protocol.clean_shot(scene.understudy.shot or Path(bpy.data.filepath).stem)


def _job(
    scene: Scene, driver: Strip, driving: protocol.Driving, timing: StripTiming, wanted: list[int], take: str
) -> protocol.Job:
    settings = scene.understudy
    for setting, what in (("system", "system"), ("detector", "face detector")):
        if not getattr(settings, setting):  # Blender's answer where a file's choice is not among those offered
            text = f"The {what} that the scene {scene.name} was saved with is not available here."
            raise Fault(f"no_{setting}", text, "Choose another in the panel, under System.")
    pairs = frame_map(timing, wanted)
    # Whatever part of the strip is asked for, all of it is analysed, so that parts made apart join without a seam.
    start, stop = timing.sources()
    neutral = timing.source_frame(settings.neutral_frame) if settings.use_neutral_frame else None
    if neutral is not None:
        start, stop = min(start, neutral), max(stop, neutral + 1)
    driven = catalog.SYSTEMS_BY_NAME[settings.system].driven
    sequencer.check_images(driver, driving, range(start, stop) if driven else (source for _, source in pairs))
    job = protocol.Job(
        system=settings.system,
        portraits=portraits(scene),
        driving=driving,
        frames=pairs,
        fps=sequencer.scene_fps(scene),
        output=str(output_folder(scene)),
        shot=shot_name(scene),
        motion=settings.motion,
        neutral_frame=neutral,
        detector=settings.detector,
        no_face=settings.no_face,
        identity=settings.identity,
        options=options_of(settings),
        analysed=(start, stop),
        take=take,
    )
    try:
        job.check()
    except protocol.ProtocolError as error:
        raise Fault("job", f"This take cannot be made: {error}.") from error
    return job
