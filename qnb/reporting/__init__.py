"""What notebooks show: figures, tables, and verdicts.

In: histories, metrics, data cards, the figures of a probe.
Out: matplotlib figures, tables for display, and verdict.json. No result is computed here.
Open `plots` and `tables` for the report of a training, `verdict` for that of a probe.
"""
