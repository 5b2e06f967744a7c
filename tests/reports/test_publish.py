import base64
import io

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from qnb.reports import publish as reference

TRACES = ("/root/", "/work", "/tmp/", "/home/", "example.org", "papermill")


def executed():
    text = (
        "run /home/ada/executed/train/x and '/home/ada/.cache/qnb/a.so' from https://index.example.org/simple, 3/4 of 1e-3 s/row"
    )
    outputs = [
        new_output("stream", text=text),
        new_output("display_data", data={"text/html": f"<td>{text}</td>", "image/png": "aGk="}),
        new_output("execute_result", data={"text/plain": "/tmp/tmpab12/_lambda_.mlir', next"}),
    ]
    cell = new_code_cell(
        "open('data/x.csv')", outputs=outputs, metadata={"papermill": {"start_time": "now"}, "tags": ["parameters"]}
    )
    return new_notebook(cells=[cell], metadata={"papermill": {"input_path": "/home/ada/x"}, "qnb": {"config": "A"}})


def test_nothing_of_this_machine_is_left():
    nb = executed()
    scrubbed = reference.scrub(nb)
    text = nbformat.writes(scrubbed)
    for trace in TRACES:
        assert trace not in text
    assert "3/4 of 1e-3 s/row" in text and "run x and 'a.so'" in text and "_lambda_.mlir', next" in text
    assert scrubbed.metadata.qnb.config == "A" and scrubbed.cells[0].metadata.tags == ["parameters"]
    assert scrubbed.cells[0].outputs[1]["data"]["image/png"] == "aGk=" and scrubbed.cells[0].source == nb.cells[0].source
    assert "/home/" in nbformat.writes(nb)  # the original is as it was


def with_figures(*sizes, tags=("thumbnail",)):
    """A notebook whose last cell has those tags and shows figures of that many (columns, rows), all red, green, blue in turn."""
    outputs = [new_output("stream", text="before")]
    for size, colour in zip(sizes, ("red", "green", "blue"), strict=False):
        buffer = io.BytesIO()
        Image.new("RGB", size, colour).save(buffer, "PNG")
        outputs.append(new_output("display_data", data={"image/png": base64.b64encode(buffer.getvalue()).decode()}))
    return new_notebook(cells=[new_code_cell("first"), new_code_cell("second", outputs=outputs, metadata={"tags": list(tags)})])


@pytest.mark.parametrize(("size", "small"), [((1200, 600), (360, 180)), ((600, 1200), (180, 360)), ((100, 40), (100, 40))])
def test_a_thumbnail_is_the_first_figure_of_the_tagged_cell_made_small(size, small):
    image = Image.open(io.BytesIO(reference.thumbnail(with_figures(size, (50, 50)))))
    assert image.format == "PNG" and image.size == small
    assert (np.asarray(image.convert("RGB")) == (255, 0, 0)).all()


@pytest.mark.parametrize("nb", [with_figures(), with_figures((50, 50), tags=("other",))], ids=["no figure", "no tag"])
def test_a_notebook_without_a_tagged_figure_says_so(nb):
    with pytest.raises(ValueError, match="tagged 'thumbnail'"):
        reference.thumbnail(nb)
