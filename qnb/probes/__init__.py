"""The diagnostic notebooks: why does a model not learn? One file per question.

In: a model under test, described by parameters or taken from a finished run (`subject`).
Out: tables of numbers, figures, and a `qnb.reporting.verdict.Verdict` for each question.
Open `subject` first, then the file of a notebook: `audit`, `alpha`, `focal`, `geometry`, `zvec`,
`suspects`, `throughput`; `suite` runs them in turn.
"""
