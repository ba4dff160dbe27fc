"""A portrait taken apart into layers: background plate, body, shell of hair and ears, and the head's mesh.

Read :mod:`portrait` first: it composites them. The others prepare one layer each, once a portrait:

    relief.py     where each pixel lies on the head, and which vertices are head rather than neck
    head_mask.py  which pixels are head: skin, ears, hair and beard
    outline.py    the mesh pulled out to the head's outline in the picture
    body.py       what lies under the head: neck, collar, hair that hangs behind
    shell.py      hair and ears as a relief that turns with the head
    atlas.py      the mesh's texture completed: seen, mirrored, diffused
"""
