"""Before any test imports numpy: the engine's own setting, without which small solves crawl on a busy machine."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
