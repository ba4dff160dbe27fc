"""Speed and memory of a render. The import sets OPENBLAS_NUM_THREADS before NumPy reads it, here and in children."""

import engine.__main__  # noqa: F401
