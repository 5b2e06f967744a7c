"""Notebooks executed in this process, cell by cell, and what they leave: the numbers, without parameters and timings."""

import inspect
import json
import re
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from traitlets.config import Config

from qnb import own
from qnb.config import StrictConfig
from qnb.runs import kernel
from qnb.runs.cells import INJECTED
from qnb.runs.recorder import Recorder

ROOT = Path(__file__).parents[1]
NOT_ITS_FINDINGS = {
    "manifest.json",
    "params.yaml",
    "best.yaml",
    "corrected.yaml",
    "checkpoint.npz",
    "model.json",
}  # what was asked, or a copy
TIMINGS = re.compile(r"second|_s$|time|per_s|compile")


@contextmanager
def recorded(reads):
    """Count in `reads`, by name, each parameter that code outside of qnb.config reads from a configuration."""

    def read(self, name):
        reader = sys._getframe(1)
        if isinstance(inspect.getattr_static(type(self), reader.f_code.co_name, None), property):
            reader = reader.f_back  # a property reads on behalf of whoever asks for it
        if name in type(self).model_fields and reader.f_globals["__name__"] != "qnb.config":
            reads[name] += 1
        return object.__getattribute__(self, name)

    StrictConfig.__getattribute__ = read
    try:
        yield
    finally:
        del StrictConfig.__getattribute__


def execute(notebook, overrides, project, monkeypatch):
    """The notebook, executed with these overrides: its run, its artefacts, and how often each parameter was read."""
    monkeypatch.chdir(project)
    for name, value in {"_current": None, "_attached": None, "_seen": 0}.items():
        monkeypatch.setattr(kernel, name, value)
    monkeypatch.setattr(own, "_default", None)
    monkeypatch.setattr(Recorder, "_store", lambda self: None)  # no report: what is looked at are the files beside it
    nb = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4)
    sources = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    injected = "\n".join([INJECTED, *(f"{name} = {value!r}" for name, value in overrides.items())])
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=Config(HistoryManager={"hist_file": ":memory:"}))
    reads, shown = Counter(), []
    try:
        with recorded(reads):
            for source in [sources[0], injected, *sources[1:]]:
                with capture_output():
                    result = shell.run_cell(source, store_history=True)
                result.raise_error()
                shown.append(numbers(result.result))
                plt.close("all")
        run = kernel._current
    finally:
        shell.reset(new_session=False)  # a shell lives as long as the process, and what a notebook made with it
        InteractiveShell.clear_instance()
    return run, [files(run.folder), shown], reads


def numbers(output):
    """What a displayed object shows, without its words: columns of a table, points of the lines of a figure."""
    if isinstance(output, Styler):
        output = output.data
    if isinstance(output, pd.DataFrame):
        return [] if "value" in map(str, output.columns) else findings(output.reset_index().astype(str).to_dict("list"))
    if isinstance(output, Figure):
        lines = [line.get_xydata().tolist() for axes in output.axes for line in axes.lines]
        bars = [patch.get_extents().bounds for axes in output.axes for patch in axes.patches]
        images = [np.asarray(image.get_array()).tolist() for axes in output.axes for image in axes.images]
        return [lines, bars, images]
    return []


def findings(value):
    """The same without what is timed; of the compilation, whether it came before the training."""
    if isinstance(value, dict):
        compiled = {"compiled_before": value["compile_seconds"] > 0} if "compile_seconds" in value else {}
        untimed = {k: findings(v) for k, v in value.items() if not TIMINGS.search(str(k)) and k != "config_hash"}
        return untimed | compiled
    return [findings(v) for v in value] if isinstance(value, list) else value


def files(folder):
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in NOT_ITS_FINDINGS):
        if path.suffix == ".json":
            found[path.name] = findings(json.loads(path.read_text()))
        elif path.suffix == ".csv":
            found[path.name] = findings(pd.read_csv(path).astype(str).to_dict("list"))
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                found[path.name] = {name: arrays[name].tolist() for name in arrays.files}
    return found
