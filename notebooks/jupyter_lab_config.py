"""JupyterLab as `make lab` starts it: what cells show is not saved, so that exploring leaves git clean.

A run keeps its executed notebook, with everything that it showed, in its run folder.
"""

from typing import Any


def without_outputs(model: dict[str, Any], **_: Any) -> None:
    """Jupyter's pre_save_hook: of a notebook, keep the source, the tags of cells, and what names the kernel."""
    if model["type"] != "notebook":
        return
    notebook = model["content"]
    for cell in notebook["cells"]:
        cell["metadata"] = {name: value for name, value in cell["metadata"].items() if name == "tags"}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    about = notebook["metadata"]
    about.pop("widgets", None)
    if about.get("kernelspec", {}).get("name") == "python3":
        about["kernelspec"]["display_name"] = "Python 3"  # JupyterLab appends (ipykernel)
        about["language_info"] = {"name": "python"}  # and the version of Python


c = get_config()  # type: ignore[name-defined]  # noqa: F821
c.FileContentsManager.pre_save_hook = without_outputs
