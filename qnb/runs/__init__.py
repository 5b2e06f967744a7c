"""A run as files and processes: its folder, its manifest, its notebook executed and published.

In: a notebook with parameters, from JupyterLab, papermill or `qnb run`.
Out: executed/<notebook>/<run_id>/ with notebook, report, parameters, metrics and manifest; the list and the
page of all runs.
Nothing is trained here. Open `kernel` first (`begin`, the call in each notebook), then `folder` (the files
of a run) and `headless` (how `qnb run` executes a notebook).
"""
