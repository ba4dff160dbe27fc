"""The commands of a manifest's row draw and train what its run did."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from engine.training import provenance, recipe, run, shard_writer, warped

DRAWN = (
    {},
    {"size": 64, "seed": 9, "sittings": 3, "negatives": 0.1, "loose": 0.25, "split": "held-out", "cross": True},
    {"fields": ("image", "matte"), "warp": warped.USUAL, "tracked": "builtin"},
    {"apart": True, "sittings": 1, "blinks": 0.2, "sources": 3},
    {"warp": ("flow", "landmark_image")},
)


def described(asked: dict[str, Any]) -> dict[str, Any]:
    """What the command leaves in an index for these arguments."""
    options = shard_writer.arguments().parse_args(["--out", "DIR", "--count", "10"])
    vars(options).update(asked)
    studio = shard_writer._unwarped(options)()
    kept = options.fields, options.cross, options.warp or (), options.sources
    plan = shard_writer.plan_of(studio, options.count, options.size, *kept).to_json()
    plan["source"] |= ({"warp": 1} if options.warp else {}) | ({"tracked": options.tracked} if options.tracked else {})
    return {"kind": "shards", "sha256": "0" * 64, **plan}


@pytest.mark.parametrize("asked", DRAWN)
def test_the_command_that_draws_shards_parses_to_what_drew_them(asked: dict[str, Any]):
    data = described(asked)
    told = provenance.origin({"recipe": {"name": "a"}, "data": data})
    program, arguments = told["shards"][0].split(" shards ")
    assert program == "python -m engine train" and told["studio"] == data["source"]["version"]
    again = vars(shard_writer.arguments().parse_args(arguments.split()))
    assert described({name: value for name, value in again.items() if name not in ("out", "data")}) == data
    assert told["held_out"] == ["the last sixteenth of the same shards"]


def test_assets_are_asked_for_where_the_studio_had_them():
    data = described({})
    data["source"]["library"] = "1" * 64
    (command,) = provenance.origin({"recipe": {"name": "a"}, "data": data})["shards"]
    assert command.endswith(" --assets HEADS")
    alone = provenance.origin({"recipe": {"name": "toy"}, "data": data["source"]})
    assert alone["recipe"] == "python -m engine train run toy --assets HEADS" and "shards" not in alone


def test_options_that_were_given_are_given_again():
    ran = recipe.read(Path("identity_matched_blinks"))
    changed = run.with_options(ran, ["network.gated_skip=false", "mask=0.2"])
    told = provenance.origin({"recipe": asdict(changed), "data": described({})})["recipe"]
    assert told == (
        "python -m engine train run identity_matched_blinks --data DIR "
        "--option mask=0.2 --option network.gated_skip=false"
    )
    spoken = {**asdict(changed), "options": {**changed.options, "look": 64, "gone": 1}}  # a default, and no option now
    assert provenance.origin({"recipe": spoken, "data": described({})})["recipe"] == told
    again = run.with_options(ran, [word for word in told.split() if "=" in word])
    assert (
        again == changed
        and "--option" not in provenance.origin({"recipe": asdict(ran), "data": described({})})["recipe"]
    )
