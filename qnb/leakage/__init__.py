"""The arithmetic behind the leakage stress test: one suspicion per file, each ending in a `qnb.reporting.verdict.Verdict`.

A verdict is `leak`, `none found` or `not testable`, by a rule that stands in the file before any number: an effect of at least a
stated size, and a test that allows for everything it looked at. A column is not called a leak because it predicts well. Two more
words: `drop`, where the score falls without a leak (attack types never trained on), and `would leak`, for preprocessing that qnb does
not do.
"""
