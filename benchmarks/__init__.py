"""Speed and memory of the main job. Before NumPy is imported, set what ``python -m engine`` sets for itself."""

import engine.__main__  # noqa: F401
