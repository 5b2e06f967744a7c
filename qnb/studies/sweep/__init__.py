"""`qnb sweep`: every arm and seed of an ablation as a notebook run of its own, on the processes of a Dask cluster.

The run folders are the record: each says which sweep and arm it belongs to, so that what is done is known whatever became of the
sweep, of its workers or of its scheduler. `qnb.studies.sweep.load_sweep` reads it.
"""

from qnb.studies.sweep.folder import Sweep, load_sweep

__all__ = ["Sweep", "load_sweep"]
