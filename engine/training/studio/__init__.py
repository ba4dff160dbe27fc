"""The studio renders labelled pictures of people, to train and to measure on.

Rooms; each imports only rooms listed before it:

    stage       one scene and its place: scene.py (meshes, textures, light, lens), environment, backdrop, stage
    renderer    a scene → picture and labels: surfaces, shading, shadow, layers, lens; on CPU or GPU
    body        the mean head and body: anatomy, texture layout, skin regions, bust, pieces that follow a head, colour
    library     what people and places are made from: the user's assets (from_assets) or procedures (builtin)
    hair        hair and beards: where it grows (scalp), cards, strands, fitted meshes
    wardrobe    garments, glasses, headwear
    people      one sitter: traits, skin, eyes, mouth, outfit (dressing); and what they do (acting, speech)

On top of them:

    assembly.py     a sitter at a moment on a stage → scene
    dataset.py      numbered pairs for training; everything follows from seed, split and number
    sheet.py        a contact sheet of people and labels
    cycles          the same scenes drawn by Cycles, to measure on another renderer's pictures
    randomness.py   one random stream per seed and name

A picture of a seed never changes unless ``dataset.VERSION`` does.
"""
