"""Adversarial losses. ``real`` and ``fake`` are the discriminator's answers D(·), of any shape, or a sequence of them,
one per scale, which are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

Answers = Tensor | Sequence[Tensor]


def lsgan_discriminator(real: Answers, fake: Answers) -> Tensor:
    """E[(1 − D(real))²] + E[D(fake)²] (Mao et al. 2017, a = 0, b = c = 1)."""
    return _mean([((1 - r) ** 2).mean() + (f**2).mean() for r, f in zip(_each(real), _each(fake))])


def lsgan_generator(fake: Answers) -> Tensor:
    """E[(1 − D(fake))²] (Mao et al. 2017, c = 1)."""
    return _mean([((1 - f) ** 2).mean() for f in _each(fake)])


def hinge_discriminator(real: Answers, fake: Answers) -> Tensor:
    """E[max(0, 1 − D(real))] + E[max(0, 1 + D(fake))] (Lim and Ye 2017)."""
    pairs = zip(_each(real), _each(fake))
    return _mean([functional.relu(1 - r).mean() + functional.relu(1 + f).mean() for r, f in pairs])


def hinge_generator(fake: Answers) -> Tensor:
    """−E[D(fake)] (Lim and Ye 2017)."""
    return _mean([-f.mean() for f in _each(fake)])


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Mean over layers of mean |D_i(real) − D_i(fake)| (Wang et al. 2018, eq. 4); no gradient through ``real``."""
    return _mean([(r.detach() - f).abs().mean() for r, f in zip(real, fake)])


def _each(answers: Answers) -> Sequence[Tensor]:
    return [answers] if isinstance(answers, Tensor) else answers


def _mean(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).mean()
