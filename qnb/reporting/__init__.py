"""What notebooks show: figures, tables, and verdicts.

In: histories, metrics, data cards, a probe's numbers.
Out: matplotlib figures, tables for display, and verdict.json. Nothing is trained or decided here.
Open `plots` and `tables` for the report of a training, `verdict` for that of a probe.
"""
