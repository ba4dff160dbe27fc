"""The matting network in torch; :mod:`engine.tracking.network_matte` runs its ONNX file."""
