"""What a difference is worth: intervals, tests, power, and a decision by a rule stated beforehand.

In: arrays of scores and labels, or one metric per arm and seed. This room knows no circuits, runs or tables.
Out: intervals, a Comparison with a decision for each arm, and its words.
Open `compare` first; its arithmetic is in `paired` and `power`, its sentences are in `words`; `auc` gives
the interval of one AUC, and `bootstrap` resamples rows and seeds.
"""
