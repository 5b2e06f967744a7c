import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

from qnb import reference

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
