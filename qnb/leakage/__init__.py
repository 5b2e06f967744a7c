"""The leakage stress test: could something other than the attack explain a high AUC?

In: a table as its source writes it (`raw`), and as training reads it.
Out: figures for each suspicion, and a `qnb.reporting.verdict.Verdict`.
Open `study` first (every suspicion in turn), then the file of a suspicion.

A verdict is `leak`, `none found` or `not testable`, by a rule that stands in the file before any number: an
effect of at least a stated size, and a test that allows for everything it looked at. A column is not called
a leak because it predicts well. Two more words: `drop`, where the score falls without a leak (attack types
never trained on), and `would leak`, for preprocessing that qnb does not do.
"""
