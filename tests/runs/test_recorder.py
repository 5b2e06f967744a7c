"""A run in a live kernel, or under bare papermill, gets its notebook and its report, of what its cells displayed."""

import json

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat import v4

from qnb.runs.listing import list_runs

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PARAMETERS = "# Parameters of train.ipynb\nepochs = 8"
BEGIN = "run = kernel.begin('train', config.TrainConfig)\ndisplay('begun')"
FIGURE = f"import base64; display({{'image/png': base64.b64decode('{PIXEL}')}}, raw=True)"
FINISH = "run.finish({'test_auc': 0.9})\ndisplay('the answer')"


@pytest.fixture
def notebook(root):
    """train.ipynb of this project: the cells that the tests run, with text between them."""
    cells = [
        v4.new_markdown_cell("# Train\n\nIntroduction."),
        v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        v4.new_markdown_cell("## Begin"),
        v4.new_code_cell(BEGIN),
        v4.new_markdown_cell("## Figure"),
        v4.new_code_cell(FIGURE, metadata={"tags": ["thumbnail"]}),
        v4.new_markdown_cell("## Conclusion"),
        v4.new_code_cell(FINISH, metadata={"tags": ["summary"]}),
        v4.new_code_cell("'the files'"),
    ]
    nbformat.write(v4.new_notebook(cells=cells), root / "notebooks" / "train.ipynb")
    return [cell.source for cell in cells if cell.cell_type == "code"]


def files(root):
    """The stored notebook, the text of the report, and the run's entry."""
    (entry,) = list_runs(root)
    folder = root / entry["folder"]
    nb = nbformat.read(folder / "notebook.ipynb", as_version=4)
    nbformat.validate(nb)
    return nb, BeautifulSoup((folder / "report.html").read_text(), "html.parser"), entry


def test_cells_run_one_by_one_leave_the_report_that_qnb_run_would(root, shell, notebook):
    for source in notebook:
        shell(source)
    nb, page, entry = files(root)
    text = page.get_text()
    places = [text.index(part) for part in ("Train", "the answer", "Introduction.", "Begin", "begun", "Figure", "the files")]
    assert places == sorted(places)  # the summary first, the text of the notebook between its cells
    assert [cell.source for cell in nb.cells if cell.cell_type == "code"][-5:] == notebook
    assert len(page.select("img")) == 2 and PIXEL in page.select("img")[0]["src"]  # in its place, and below the title
    assert entry["status"] == "done" and {"notebook.ipynb", "report.html"} <= set(entry["files"])


def test_what_is_tried_after_the_run_is_no_part_of_it(root, shell, notebook):
    for source in [*notebook, "display('tried later')", notebook[-1]]:
        shell(source)
    nb, page, _ = files(root)
    assert "tried later" not in page.get_text() and sum(cell.source == notebook[-1] for cell in nb.cells) == 2


def test_a_cell_that_raised_is_in_the_report_and_the_one_that_went_on_too(root, shell, notebook):
    for source in [*notebook[:2], "raise errors.QnbError('no label')"]:
        shell(source)
    _, page, entry = files(root)
    assert entry["status"] == "failed" and "no label" in page.get_text()
    for source in notebook[2:]:
        shell(source)
    _, page, entry = files(root)
    assert entry["status"] == "done" and "the answer" in page.get_text()


def test_an_updated_display_is_stored_as_its_last_state(root, shell, notebook):
    live = "shown = display('epoch 1', display_id='curve'); run.seed = run.config.seed; shown.update('epoch 2')"
    for source in [*notebook[:2], live, *notebook[2:]]:
        shell(source)
    _, page, _ = files(root)
    assert "epoch 2" in page.get_text() and "epoch 1'" not in page.get_text().replace("display('epoch 1'", "")


def test_a_second_run_in_one_kernel_has_a_report_of_its_own(root, shell, notebook):
    for source in [*notebook, *notebook[:1], notebook[1].replace("begun", "begun anew"), *notebook[2:]]:
        shell(source)
    first, second = (root / entry["folder"] for entry in list_runs(root))
    assert "begun anew" not in (first / "report.html").read_text() and "begun anew" in (second / "report.html").read_text()
    for folder in (first, second):
        shown = [o for cell in json.loads((folder / "notebook.ipynb").read_text())["cells"] for o in cell.get("outputs", [])]
        assert sum("the answer" in str(output) for output in shown) == 1
