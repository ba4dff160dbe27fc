"""The matting network in torch; :mod:`engine.face.network_matting` runs its ONNX file."""
