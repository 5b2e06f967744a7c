"""`qnb sweep`: every arm and seed of an ablation as a notebook run of its own, on a Dask cluster.

In: a YAML file with arms and seeds.
Out: one run folder per training, and executed/sweep/<sweep_id>/ that names them.
The run folders are the record: each says which sweep and arm it belongs to, so that what is done is known
whatever became of the sweep, of its workers or of its scheduler.
Open `plan` first (what is to be done), then `dispatch` (who does it) and `folder` (what was done).
"""
