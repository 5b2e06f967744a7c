"""A report: no script whatever the notebook brought, code folded, words for every figure."""

import re

import matplotlib.pyplot as plt
import nbformat.v4 as v4
import numpy as np
import pytest
from browser import chromium
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell

from qnb.reporting import plots
from qnb.runs import alt_text
from qnb.runs.html import as_html

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def image(**about):
    return v4.new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": about} if about else {})


def cell(source, *outputs):
    return v4.new_code_cell(source, execution_count=3, outputs=list(outputs))


def test_every_figure_says_what_it_shows():
    figure = plots.roc(np.array([0, 0, 1, 1]), {"circuit": np.array([0.1, 0.4, 0.3, 0.9])}, "SYNTHETIC data: bundled")
    words = alt_text.describe(figure)
    assert words == (
        "ROC on the test rows: true positive rate against false positive rate (circuit, AUC 0.750). SYNTHETIC data: bundled."
    )
    shell = InteractiveShell()
    alt_text.install(shell)
    data, metadata = shell.display_formatter.format(figure)
    assert metadata["image/png"]["alt"] == words and "image/png" not in data  # the inline backend, not we, draws it
    assert shell.display_formatter.format(3)[1] == {}


def test_panels_without_axes_or_labels_are_described_by_what_they_have():
    figure, (left, right) = plt.subplots(1, 2)
    plt.close(figure)
    left.set_title("The circuit")
    left.set(xlabel="hidden")
    left.set_axis_off()
    assert alt_text.describe(figure) == "The circuit."
    right.set_xlabel("epoch")
    assert alt_text.describe(figure) == "The circuit. epoch."


def test_images_have_their_own_words_or_their_place():
    nb = v4.new_notebook(
        cells=[
            cell("a", image()),
            v4.new_markdown_cell("# Top\ntext\n## Curves & <more>"),
            cell("b", image(alt='says "so" <b>'), image()),
        ]
    )
    page = as_html(nb, "t")
    alts = [found["alt"] for found in BeautifulSoup(page, "html.parser").find_all("img")]
    assert alts == ["Figure 1", 'says "so" <b>', "Figure 3, under the heading “Curves & <more>”"]
    assert page.count("<b>") == 0
    assert nb.cells[0].outputs[0].metadata == {}  # the notebook is as it was


def test_code_is_folded_but_where_it_raised():
    error = v4.new_output("error", ename="E", evalue="v", traceback=["E: v"])
    page = as_html(v4.new_notebook(cells=[cell("fine = 1"), cell("raise E", error)]), "t")
    assert [bool(opened) for opened in re.findall(r'<details class="code"( open="")?>', page)] == [False, True]
    assert page.count("<summary>Code [3]</summary>") == 2 and '<span class="n">fine</span>' in page


def hostile():
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "x", "version_major": 2, "version_minor": 0}}
    script = "document.title = 'owned'"
    nb = v4.new_notebook(
        cells=[
            cell("x", v4.new_output("display_data", widget | {"text/plain": "HBox()"})),
            cell("x", v4.new_output("display_data", {"application/javascript": script})),
            cell("x", v4.new_output("display_data", {"text/html": f'<script>{script}</script><img src=x onerror="{script}">'})),
            v4.new_markdown_cell(f"<script>{script}</script>"),
        ]
    )
    nb.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {"x": "</script>"}}}
    return nb


def test_a_report_brings_no_script_and_may_run_none():
    page = as_html(hostile(), "</title><script>alert(1)</script>")
    (policy,) = re.findall(r'content="(default-src[^"]*)"', page)
    assert " ".join(policy.split()).startswith("default-src 'none'; img-src data:") and "script-src" not in policy
    assert page.index("Content-Security-Policy") < page.index("owned")
    assert page.count("<script") == 2  # what the notebook itself wrote, forbidden by the policy
    assert "Live controls stand here" in page and "A script stood here" in page


@pytest.mark.slow
def test_a_browser_runs_nothing_and_folds_code(tmp_path):
    (tmp_path / "r.html").write_text(as_html(hostile(), "a report"))
    with chromium() as browser:
        page = browser.new_page(color_scheme="dark")
        page.goto((tmp_path / "r.html").as_uri())
        assert page.title() == "a report"
        code = page.locator(".highlight").first
        assert not code.is_visible()
        page.check("#all-code")
        assert code.is_visible()
        page.uncheck("#all-code")
        page.locator("summary").first.click()
        assert code.is_visible() and not page.locator(".highlight").nth(1).is_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 17, 17)"


def tagged(tag, source, *outputs):
    return v4.new_code_cell(source, execution_count=9, outputs=list(outputs), metadata={"tags": [tag]})


def text_output(text):
    return v4.new_output("display_data", {"text/markdown": text})


def test_the_summary_stands_below_the_title_and_before_everything_else():
    cells = [
        v4.new_markdown_cell("# Title\n\nIntroduction."),
        cell("a", text_output("the configuration")),
        tagged("summary", "b", text_output("the answer")),
    ]
    text = BeautifulSoup(as_html(v4.new_notebook(cells=cells), "t"), "html.parser").get_text()
    places = [text.index(part) for part in ("Title", "the answer", "Introduction.", "the configuration")]
    assert places == sorted(places)
    assert text.count("the answer") == 1


@pytest.mark.parametrize("without", ["title", "outputs"])
def test_a_notebook_that_did_not_reach_its_summary_keeps_its_order(without):
    answer = [text_output("the answer")] if without == "title" else []
    first = v4.new_markdown_cell("No title." if without == "title" else "# Title\n\nIntroduction.")
    cells = [first, cell("a", text_output("the configuration")), tagged("summary", "b", *answer)]
    text = BeautifulSoup(as_html(v4.new_notebook(cells=cells), "t"), "html.parser").get_text()
    assert text.index("the configuration") < text.index("the answer") if answer else "Introduction." in text


def test_reference_is_folded_and_the_rest_is_not():
    nb = v4.new_notebook(cells=[tagged("reference", "a", text_output("all rows")), cell("b", text_output("the finding"))])
    page = BeautifulSoup(as_html(nb, "t"), "html.parser")
    folded = [details.get_text() for details in page.select("details.folded")]
    assert len(folded) == 1 and "all rows" in folded[0] and "the finding" not in folded[0]
