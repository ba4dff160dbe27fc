"""A task of two groups: a generator of one number a channel, and a discriminator that looks at it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from engine.training.adversarial import lsgan_discriminator, lsgan_generator
from engine.training.batch import Batch
from engine.training.curves import grid
from engine.training.recipe import Stage
from engine.training.task import Task


class Duel(Task):
    fields = frozenset({"source_image", "driving_image"})

    def build(self) -> None:
        self.colour = self.add("colour", nn.Conv2d(3, 3, 1))
        self.helper = self.add("helper", nn.Conv2d(3, 1, 1), ships=False)
        self.judge = self.add("judge", nn.Conv2d(3, 1, 3), group="discriminator")

    def losses(self, batch: Batch, stage: Stage) -> dict[str, dict[str, Tensor]]:
        made = self.colour(batch["source_image"])
        return {
            "generator": {"gan": lsgan_generator(self.judge(made)), "helper": self.helper(made).square().mean()},
            "discriminator": {
                "gan": lsgan_discriminator(self.judge(batch["driving_image"]), self.judge(made.detach()))
            },
        }

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        return {"image": self.colour(batch["source_image"])}

    def measure(self, batch: Batch) -> dict[str, float]:
        return {"l1": float((self.predict(batch)["image"] - batch["driving_image"]).abs().mean())}

    def floor(self, batch: Batch) -> dict[str, float]:
        return {"l1": float((batch["source_image"] - batch["driving_image"]).abs().mean())}

    def preview(self, batch: Batch) -> np.ndarray:
        return grid([batch["source_image"], self.predict(batch)["image"]])
