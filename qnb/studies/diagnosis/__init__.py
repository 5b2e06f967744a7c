"""Diagnosis by intervention: what keeps a run from learning?

One component of the run is replaced by its reference while everything else (rows, seed, batches) stays the
same, and the model is trained again on the exact engine: the gain in validation AUC is what the fault cost.

In: a run, or a configuration that never ran, as `qnb.probes.subject.Subject`.
Out: a `Diagnosis`: a finding for each component, those to blame, and corrected parameters.
Open `components` first (the references), then `search` (the order of the interventions) and `decision` (the
rule). `reproduce` comes before any intervention: is the run reproducible?
"""

from qnb.studies.diagnosis.search import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
