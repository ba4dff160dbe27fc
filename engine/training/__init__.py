"""Training: makes the networks and the face model in ``weights/``. Rendering never imports it.

cli.py                     the commands of ``python -m engine train``
recipe.py, recipes/        a run as a TOML file, which may extend another
run.py, loop.py            one loop for all tasks; checkpoint.py, report.py, curves.py, watch.py serve it
task.py, tasks/            what is trained: networks, losses, figures
losses.py, adversarial.py, perceptual.py, patch_discriminator.py, augment.py
                           shared by tasks
sample.py, batch.py        a pair of frames with labels; a batch of them as tensors
feed.py, workers.py        batches made ahead of the loop
studio/                    pairs from rendered people
footage.py, portrait.py    pairs from the user's clips
warped.py                  pairs with what systems know of a frame
shards.py, shard_writer.py, records.py
                           pairs on disk
export.py, manifest.py, provenance.py
                           weights as files that ship, and how to make them again
face_model/                the 3-D face model from head assets
throughput.py              how fast all this is
"""
