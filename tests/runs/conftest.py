"""A project of its own for each test, and a live IPython in it."""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from qnb import own
from qnb.runs import kernel, project


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shell(root, monkeypatch):
    monkeypatch.setattr(kernel, "_current", None)
    monkeypatch.setattr(kernel, "_attached", None)
    monkeypatch.setattr(kernel, "_seen", 0)
    monkeypatch.setattr(project, "attached", None)
    monkeypatch.setattr(own, "_default", None)
    instance = InteractiveShell.instance(config=Config(HistoryManager={"hist_file": ":memory:"}))
    instance.run_cell("from qnb import config, errors\nfrom qnb.runs import kernel", store_history=True)
    yield lambda source: instance.run_cell(source, store_history=True)
    instance.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.fixture
def shell_without_history(shell):
    """The same, as %run and nbval use it: no cell is remembered."""
    instance = InteractiveShell.instance()
    instance.history_manager.input_hist_parsed[:] = [""]
    return lambda source: instance.run_cell(source, store_history=False)
