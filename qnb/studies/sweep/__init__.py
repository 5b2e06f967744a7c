"""`qnb sweep`: every arm and seed of an ablation as a run of its own, on a Dask cluster.

In: a YAML file with arms and seeds.
Out: one run folder per training, and executed/sweep/<sweep_id>/ that lists them.
The run folders are the record: each names its sweep and arm, so that what is done is known whatever happened
to the sweep, its workers or its scheduler. Open `plan` first (the trainings), then `cohort` (which of them
train together), `dispatch` (handing them to workers) and `folder` (the results).
"""
