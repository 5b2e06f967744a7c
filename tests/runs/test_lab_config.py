"""`make lab`: a notebook that was run and saved is, byte for byte, the one that is committed."""

import shutil
from pathlib import Path

import nbformat
import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from traitlets.config import PyFileConfigLoader

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("name", sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")))
def test_what_a_notebook_shows_is_not_saved(tmp_path, name):
    config = PyFileConfigLoader(str(NOTEBOOKS / "jupyter_lab_config.py")).load_config()
    shutil.copy(NOTEBOOKS / name, tmp_path)
    manager = LargeFileManager(root_dir=str(tmp_path), config=config)
    model = manager.get(name)
    nb = model["content"]
    nb.metadata.kernelspec.display_name = "Python 3 (ipykernel)"
    nb.metadata.language_info = {"name": "python", "version": "3.12.1", "file_extension": ".py"}
    nb.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    for count, cell in enumerate(cell for cell in nb.cells if cell.cell_type == "code"):
        cell.execution_count, cell.metadata.execution = count + 1, {"iopub.status.busy": "now"}
        cell.outputs = [nbformat.v4.new_output("stream", text="shown")]
    manager.save(model, name)
    assert (tmp_path / name).read_bytes() == (NOTEBOOKS / name).read_bytes()
