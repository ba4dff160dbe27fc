"""One press of Reenact: from the scene to a job, from the job's run to a strip. Every way in comes through here."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...engine import protocol
from ..core.fault import Fault
from ..core.frame_map import StripTiming, frame_map
from ..core.render_run import RenderRun, State
from . import compat, engine, sequencer
from .compat import Scene, Strip
from .scene import absolute_path, portraits, scene_by_uid
from .take import add_take


class Reenactment:
    """A run and the place in the sequencer where its take belongs; no bpy reference is kept between the two."""

    def __init__(self, scene: Scene, frames: str = "") -> None:
        """Start a take of ``scene``; ``frames`` is a range of scene frames such as ``1001-1100x2``, else the settings'.

        Raises :class:`Fault`, before anything is written, for whatever stands in the way.
        """
        driver = sequencer.driving_strip(scene)
        self.scene_uid: int = scene.session_uid
        self.driver: str = driver.name
        self.run = RenderRun(_job(scene, driver, frames), engine.engine_python(), engine.ROOT, engine.log_file())
        self._relative = scene.understudy.output.startswith("//")
        self._channel: int = driver.channel
        self._content_start = compat.content_start(driver)

    def land(self) -> Strip | None:
        """Once the run is over, add the strip of the frames it left, where the driver is by now; None without any.

        Raises :class:`Fault` when there is no place for it.
        """
        run = self.run
        if run.take is None or not run.frames:
            return None
        scene = scene_by_uid(self.scene_uid)
        if scene is None:
            text = f"The scene has gone meanwhile, so no strip was added for {run.take.folder}."
            raise Fault("no_scene", text, "Add that folder as an image sequence.")
        scene.sequence_editor_create()
        driver = getattr(scene.sequence_editor, compat.STRIPS).get(self.driver)
        shift = round(compat.content_start(driver) - self._content_start) if driver else 0
        note = {
            "take": run.take.name,
            "sidecar": str(run.take.folder / f"{run.take.name}.json"),
            "driving": self.driver,
            "complete": run.state is State.FINISHED,
        }
        return add_take(
            scene,
            run.take,
            run.frames,
            above=driver.channel if driver else self._channel,
            shift=shift,
            note=note,
            relative=self._relative,
        )


def frames_to_render(scene: Scene, timing: StripTiming, frames: str = "") -> list[int]:
    """The scene frames a take will have; raises :class:`Fault` ``frames``."""
    if frames:
        try:
            wanted = protocol.parse_frames(frames)
        except ValueError as error:
            raise Fault("frames", f"{error}.", "Frames are scene frames.") from error
        outside = [frame for frame in wanted if not timing.left <= frame < timing.right]
        if outside:
            shown = f"{timing.left}-{timing.right - 1}"
            text = f"The driving strip is not shown on frame {outside[0]}, only on {shown}."
            raise Fault("frames", text, f"Ask for frames of {shown}.")
    elif scene.understudy.range == "SCENE":
        wanted = list(timing.frames(scene.frame_start, scene.frame_end))
        if not wanted:
            text = f"The driving strip is not shown between the scene's frames {scene.frame_start}-{scene.frame_end}."
            raise Fault("frames", text, "Change the scene's range, or take the strip's.")
    else:
        wanted = list(timing.frames(timing.left, timing.right - 1))
    if wanted[0] < 0:
        remedy = "Move the strip to the right, or ask for fewer frames."
        raise Fault("frames", f"Frame {wanted[0]} is before frame 0, and files cannot be numbered so.", remedy)
    return wanted


def shot_name(scene: Scene) -> str:
    return protocol.clean_shot(scene.understudy.shot or Path(bpy.data.filepath).stem)


def _job(scene: Scene, driver: Strip, frames: str) -> protocol.Job:
    settings = scene.understudy
    for setting, what in (("system", "system"), ("detector", "face detector")):
        if not getattr(settings, setting):  # Blender's answer where a file's choice is not among those offered
            text = f"The {what} that the scene {scene.name} was saved with is not offered here."
            raise Fault(f"no_{setting}", text, "Choose another in the panel, under Take.")
    driving = sequencer.footage(driver)
    timing = sequencer.timing(scene, driver)
    pairs = frame_map(timing, frames_to_render(scene, timing, frames))
    sequencer.check_images(driver, driving, {source for _, source in pairs})
    return protocol.Job(
        system=settings.system,
        portraits=portraits(scene),
        driving=driving,
        frames=pairs,
        fps=sequencer.scene_fps(scene),
        output=str(absolute_path(settings.output, "The output folder")),
        shot=shot_name(scene),
        motion=settings.motion,
        neutral_frame=timing.source_frame(settings.neutral_frame) if settings.use_neutral_frame else None,
        detector=settings.detector,
        no_face=settings.no_face,
        identity=settings.identity,
    )
