"""A Blender of its own, without a window, in which the command runs: python headless.py FILE.blend ARGUMENTS…"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.blender.addon import MODULE, addon, bpy

bpy.ops.preferences.addon_enable(module=MODULE)
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
sys.exit(addon("cli").main(sys.argv[2:]))
