"""JupyterLab for real: a person opens a notebook, runs all cells, and sees figures and no error."""

import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from browser import chromium

ROOT = Path(__file__).parents[2]
PATIENCE = 900  # seconds for a notebook, on a machine that has other work
SMALL = {"sample": 2000, "epochs": 2, "wires": 4, "layers": 2, "batch": 64}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab on a copy of the project, its token, and the copy; with settings and workspaces of its own."""
    with chromium() as browser:
        project, own = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("jupyter")
        (project / "notebooks").mkdir()
        (project / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        token, address = secrets.token_hex(16), f"http://127.0.0.1:{port}"
        options = {
            "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.port_retries": 0, "IdentityProvider.token": token,
            "ServerApp.root_dir": project / "notebooks", "ServerApp.allow_root": True, "ServerApp.open_browser": False,
            "LabApp.user_settings_dir": own / "settings", "LabApp.workspaces_dir": own / "workspaces",
            "LabApp.news_url": None,
        }  # fmt: skip
        command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
        with open(own / "log", "wb") as log, subprocess.Popen(command, cwd=project, stdout=log, stderr=log) as server:
            try:
                _wait(lambda: server.poll() is not None or _answers(f"{address}/api/status?token={token}"), 120)
                assert server.poll() is None, (own / "log").read_text()
                yield browser, address, token, project
            finally:
                server.terminate()


def _answers(address):
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def _wait(true, seconds):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.3)
    return found


def _copy(project, name, parameters):
    """The notebook in the copied project, its parameters changed as a person would: in the cell."""
    nb = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    (cell,) = [c for c in nb.cells if "parameters" in c.metadata.get("tags", [])]
    for key, value in parameters.items():
        cell.source, count = re.subn(rf"^{key} = \S+", f"{key} = {value!r}", cell.source, flags=re.M)
        assert count == 1, key
    path = project / "notebooks" / f"{name}.ipynb"
    nbformat.write(nb, path)
    return path


def _run_all_cells(page):
    """Run > Run All Cells; whether a cell is waiting or has run within ten seconds (a kernel that is just starting drops the request)."""
    if page.locator(".jp-Dialog").count():  # which kernel? asked where a slow machine has not started it yet
        page.click(".jp-Dialog .jp-mod-accept")
    page.click(".lm-MenuBar-itemLabel >> text=/^Run$/")
    page.click(".lm-Menu-itemLabel >> text=/^Run All Cells$/")
    taken = page.locator(".jp-InputPrompt", has_text=re.compile(r"\[[*\d]+\]"))
    deadline = time.monotonic() + 10
    while not taken.count() and time.monotonic() < deadline:
        time.sleep(0.2)
    return taken.count() > 0


def _open_and_run_all(page, address):
    page.goto(address)
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=120_000)
    page.locator(".jp-Toolbar-kernelName", has_text="Python 3").wait_for(timeout=120_000)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=120_000)
    _wait(lambda: _run_all_cells(page), 120)


@pytest.fixture
def opened(lab):
    """A function that opens a notebook in JupyterLab and runs all cells; returns the page, the saved notebook and its run folder."""
    browser, address, token, project = lab
    page = browser.new_page(viewport={"width": 1400, "height": 1000})

    def run_all(name, parameters):
        path = _copy(project, name, parameters)
        _open_and_run_all(page, f"{address}/lab/tree/{name}.ipynb?token={token}&reset")
        last = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"][-1]

        def ended():
            page.keyboard.press("Control+s")
            time.sleep(2)
            try:
                found = nbformat.read(path, as_version=4)
            except nbformat.reader.NotJSONError:  # it is being saved
                return None
            cells = {c.id: c for c in found.cells if c.cell_type == "code"}
            failed = any(o.output_type == "error" for c in cells.values() for o in c.outputs)
            return found if failed or cells[last.id].execution_count else None

        nb = _wait(ended, PATIENCE)
        (folder,) = (project / "executed" / name).iterdir()
        return page, nb, folder

    yield run_all
    page.close()


def outputs(nb, kind):
    return [o for c in nb.cells for o in c.get("outputs", []) if o.output_type == kind or kind in o.get("data", {})]


def seen(page):
    """Figures on the screen while scrolling from top to bottom, by their source."""
    found = set()
    for cell in page.locator(".jp-Notebook .jp-CodeCell").all():
        cell.scroll_into_view_if_needed()
        sources = cell.locator(".jp-RenderedImage img").evaluate_all(
            "all => all.filter(i => i.naturalWidth > 100).map(i => i.src)"
        )
        found |= set(sources)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters", "figures"),
    [
        ("train", SMALL | {"engine": "exact"}, 6),
        ("focal_fixed_point", {"steps": 20, "data": "breast_cancer", "sample": None}, 2),
    ],
)
def test_run_all_cells_shows_the_figures_and_no_error(opened, name, parameters, figures):
    page, nb, folder = opened(name, parameters)
    assert outputs(nb, "error") == []
    assert len(outputs(nb, "image/png")) == figures and len(seen(page)) == figures
    assert (
        page.locator(
            "[data-mime-type='application/vnd.jupyter.error'], .jp-RenderedText[data-mime-type$=stderr] >> text=Traceback"
        ).count()
        == 0
    )
    assert '"status": "done"' in (folder / "manifest.json").read_text()


@pytest.mark.slow
def test_the_controls_of_explore_follow_the_keyboard(opened):
    page, nb, folder = opened("explore", {"epochs": 2, "data": "breast_cancer", "sample": None, "batch": 32})
    assert outputs(nb, "error") == [] and len(seen(page)) == 3
    box = page.locator(".jp-OutputArea-output:has(.widget-slider)").first
    box.scroll_into_view_if_needed()
    said, picture = box.locator("p").first, box.locator("img").first
    _wait(lambda: said.inner_text().startswith("label "), 60)
    before, drawn = said.inner_text(), picture.get_attribute("src")
    assert before.startswith("label ") and picture.get_attribute("alt").startswith("Score s:")
    gamma = box.locator(".widget-slider:has-text('gamma') [role=slider], .widget-slider:has-text('gamma') .noUi-handle").first
    gamma.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    _wait(lambda: said.inner_text() != before and picture.get_attribute("src") != drawn, 60)
    value = float(re.search(r"loss = ([\d.]+)", said.inner_text())[1])
    assert 0 < value < float(re.search(r"loss = ([\d.]+)", before)[1])  # focal loss is below cross-entropy
    assert '"status": "done"' in (folder / "manifest.json").read_text()


@pytest.mark.slow
def test_the_stop_button_ends_a_training_in_one_line_and_its_cell_resumes(lab):
    browser, address, token, project = lab
    parameters = SMALL | {"engine": "catalyst", "epochs": 200}
    path = _copy(project, "train", parameters).rename(project / "notebooks" / "stopped.ipynb")
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    _open_and_run_all(page, f"{address}/lab/tree/{path.name}?token={token}&reset")
    cell = page.locator(".jp-CodeCell", has_text="result = train(")
    text = lambda: cell.locator(".jp-OutputArea").inner_text()  # noqa: E731
    epochs = []
    for _ in range(2):
        reached = epochs[-1] + 1 if epochs else 2
        _wait(lambda n=reached: any(int(epoch) >= n for epoch in re.findall(r"epoch (\d+)", text())), PATIENCE)
        page.click("[data-command='notebook:interrupt-kernel']")
        found = _wait(lambda: re.search(r"Stopped after epoch (\d+) of 200\. Run it again to resume", text()), 60)
        epochs.append(int(found[1]))
        assert "Traceback" not in text()
        # what is asked of the kernel before it has answered the stop is dropped, with the cells below
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
        page.wait_for_timeout(1000)
        cell.locator(".jp-InputArea-editor").click()
        page.keyboard.press("Control+Enter")
        _wait(lambda: "Stopped" not in text(), 60)  # the cell runs again, in the same kernel
    page.click("[data-command='notebook:interrupt-kernel']")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
    assert 2 <= epochs[0] < epochs[1]
    folder = max((project / "executed" / "train").iterdir())
    assert '"status": "interrupted"' in (folder / "manifest.json").read_text()
    page.close()
