"""Studies: comparisons of trainings, and analyses of a trained model.

In: a configuration with arms or trials, or a finished run.
Out: tables, decisions and figures for a notebook.
Open the file named after the notebook first: `ablation`, `tune`, `surrogate`, `explore`, `own_circuit`, most
with a file of figures next to it; `diagnosis/` is behind suspects.ipynb, and `sweep/` runs an ablation in
many processes.
"""
