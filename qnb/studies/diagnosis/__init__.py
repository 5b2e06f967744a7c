"""Diagnosis by intervention: what keeps a run from learning?

One component of the run is replaced by its reference, everything else (rows, seed, batches) stays, and it is
trained again on the exact engine: what the change restores of the validation AUC is what the fault cost.

In: a run, or a configuration that never ran, as `qnb.probes.subject.Subject`.
Out: a `Diagnosis`: a finding for each component, those to blame, and parameters that are corrected.
Open `components` first (the references), then `search` (the order of the interventions) and `decision` (the
rule). `reproduce` comes before any intervention: does the run come out again?
"""

from qnb.studies.diagnosis.search import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
