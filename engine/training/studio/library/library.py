"""Opens a library: from the user's folder of assets (``from_assets``), or from the shipped face model and procedures
(``builtin``)."""

from __future__ import annotations

import functools
from pathlib import Path

from engine.face import model as face_model
from engine.training.studio.library import builtin, from_assets
from engine.training.studio.library.items import Library


def load(assets: Path | None = None) -> Library:
    """The library of a folder of assets, or the built-in one. Raises EngineError for assets that cannot be used.

    The first time, assets are transferred to our topology, which takes about a minute; the result stays in the user's
    cache folder.
    """
    return _load(assets.resolve() if assets is not None else None)


@functools.lru_cache(maxsize=2)
def _load(assets: Path | None) -> Library:
    model = face_model.load()
    return builtin.library(model) if assets is None else from_assets.library(model, assets)
