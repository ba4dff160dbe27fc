"""The generator of `identity_matched` in torch; inference runs its ONNX halves and never imports this."""
