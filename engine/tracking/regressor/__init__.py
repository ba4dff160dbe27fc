"""The project's own face network: a crop in, landmarks, pose, expression, gaze, confidence and a matte out."""
