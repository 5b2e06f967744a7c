"""The leakage stress test: could something other than the attack explain a high AUC?

In: a table as its source writes it (`raw`), and as training reads it.
Out: figures for each suspicion, and a `verdict.LeakVerdict`.
Open `study` first (every suspicion in turn), then the file of a suspicion.

A verdict is `yes`, `no` or `inconclusive`, by a rule that stands in the file before any number: an effect of
at least a stated size, and a test corrected for the number of comparisons. A column is not called a leak
because it predicts well. For each leak the verdict says whether it reaches the model as it is: an identifier
that training drops does not, nor does a preprocessing error that qnb does not make.
"""
