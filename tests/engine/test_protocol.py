"""A job as JSON: what goes through unchanged, what an older file means, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.protocol import Driving, Job, ProtocolError


def job(**fields: Any) -> Job:
    base: dict[str, Any] = {
        "system": "mesh_warp",
        "portraits": ("/a/portrait.png",),
        "driving": Driving("movie", "/a/clip.mp4"),
        "frames": ((1001, 0), (1002, 3)),
        "fps": (24000, 1001),
        "output": "/a/out",
        "shot": "sh010",
    }
    return Job(**base | fields)


def through_json(asked: Job) -> dict[str, Any]:
    return json.loads(json.dumps(asked.to_json()))


@pytest.mark.parametrize("identity", ["portrait", "driver"])
def test_a_job_goes_through_json_unchanged(identity: str) -> None:
    asked = job(identity=identity, motion={"rotation": "absolute"}, neutral_frame=3, options={"a": [1]})
    assert Job.from_json(through_json(asked)) == asked


def test_a_job_written_before_there_was_a_choice_moves_the_portrait_s_head() -> None:
    record = through_json(job())
    del record["identity"]
    assert Job.from_json(record).identity == "portrait"


@pytest.mark.parametrize("identity", ["stranger", "", None, ["driver"], 1])
def test_whose_head_moves_is_one_of_two(identity: object) -> None:
    with pytest.raises(ProtocolError, match="identity: .* portrait, driver"):
        Job.from_json(through_json(job()) | {"identity": identity})


def test_without_a_driver_there_is_no_driver_s_head() -> None:
    job(driving=Driving("none")).check()
    with pytest.raises(ProtocolError, match="identity: there is no driver"):
        job(driving=Driving("none"), identity="driver").check()
