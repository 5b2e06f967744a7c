"""Trainings set beside each other, and looks into what a training found.

In: a configuration with arms or trials, or a finished run.
Out: tables, decisions and figures for a notebook.
Open the file named after the notebook first: `ablation`, `tune`, `surrogate`, `explore`, each with its
figures beside it; `sweep/` runs an ablation on many processes.
"""
