"""Networks, run by the best runtime available: :func:`open` gives a :class:`Session`."""

from engine.runtime.backend import TorchNetwork
from engine.runtime.kept import forget, kept
from engine.runtime.session import Session, open

__all__ = ["Session", "TorchNetwork", "forget", "kept", "open"]
