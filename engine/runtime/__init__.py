"""Networks, run by whatever is best here: :func:`open` gives a :class:`Session` that says what it really got."""

from engine.runtime.backend import TorchNetwork
from engine.runtime.kept import forget, kept
from engine.runtime.session import Session, open

__all__ = ["Session", "TorchNetwork", "forget", "kept", "open"]
