"""executed/index.html: what is in it, what cannot get out of it, and that a reader with a browser can filter, sort and compare."""

import base64
import hashlib
import json
import os
import re

import pytest
from browser import chromium

from qnb import cli
from qnb.config import TrainConfig
from qnb.runs import index
from qnb.runs.folder import create
from qnb.runs.project import RunError

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>&<!--"
HISTORY = "epoch,train_loss,val_auc,alpha\n1,0.7,0.6,1.0\n2,0.5,,1.5\n3,0.4,{auc},2.0\n"


def project(root):
    (root / "notebooks").mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    return root


def finished(root, auc, notebook="train", history=True, **parameters):
    run = create(root, notebook, TrainConfig(**parameters))
    run.note(data={"source": "bundled", "synthetic": True, "fingerprint": "f" * 64}, gate={"verdict": "pass"})
    if history:
        run.write_text("history.csv", HISTORY.format(auc=auc))
    run.write_text("report.html", "<p>a report")
    run.finish({"test_auc": auc, "baselines": {"logistic": {"test_auc": 0.75}}, "degen_reason": ""})
    return run


@pytest.fixture
def root(tmp_path):
    return project(tmp_path)


def built(root):
    """The page, and what it holds."""
    text = index.build(root).read_text("utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return text, json.loads(data)


def test_every_run_is_there_with_what_became_of_it(root):
    done = finished(root, 0.9, lr=0.1, seed=2**60 + 1)
    failed = create(root, "train", TrainConfig(seed=1))
    failed.close("failed", {"kind": "error", "message": "no label", "cell": 2})
    killed = create(root, "train", TrainConfig(seed=2))
    killed.unlock()  # as when its process is gone
    damaged = finished(root, 0.8, seed=3)
    (damaged.folder / "metrics.json").unlink()
    alive = create(root, "probe", None, {"data": "table.csv"})
    (root / "executed" / "train" / "empty").mkdir()
    _, data = built(root)
    runs = {run["id"]: run for run in data["runs"]}
    assert len(runs) == 6
    assert (runs[failed.id]["status"], runs[failed.id]["why"]) == ("failed", "error: no label")
    assert (runs[killed.id]["status"], runs[killed.id]["why"]) == ("killed", "its process ended without a final status")
    assert runs[killed.id]["resume"] == f"qnb run train --resume {killed.id}" and runs[done.id]["resume"] is None
    assert runs[done.id]["changed"] == "lr=0.1" and re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d · seed 1152921504606846977 · \w{4}", runs[done.id]["name"]
    )
    assert runs["empty"]["name"] == "empty"
    assert (runs[damaged.id]["status"], runs[damaged.id]["why"]) == ("broken", "missing: metrics.json")
    assert (runs["empty"]["status"], runs["empty"]["why"]) == ("broken", "no manifest.json")
    assert (runs[alive.id]["status"], runs[alive.id]["data"]) == ("running", "table.csv (not read)")
    run = runs[done.id]
    assert run["status"] == "done" and run["why"] is None and run["gate"] == "pass" and run["data"] == "bundled (SYNTHETIC)"
    assert run["parameters"]["lr"] == "0.1" and run["parameters"]["seed"] == str(2**60 + 1)  # JavaScript would round it
    assert run["metrics"] == {"test_auc": 0.9, "baselines.logistic.test_auc": 0.75, "degen_reason": ""}
    assert run["curves"] == {
        "epoch": [1, 2, 3], "train_loss": [0.7, 0.5, 0.4], "val_auc": [0.6, None, 0.9], "alpha": [1, 1.5, 2],
    }  # fmt: skip
    assert "Catalyst 0.15.0" in run["stack"] and runs[failed.id]["curves_why"].startswith("no history.csv")
    for name, address in run["links"].items():
        assert (root / "executed" / address).is_file(), name
    assert set(run["links"]) == {"report", "parameters", "metrics", "history", "manifest"}


def test_a_run_is_listed_with_its_decision_against_its_twin():
    twin = {"decision": "below", "difference": -0.02}
    assert index.decisions({"against_twin": twin}) == {"against the twin:": "below"}
    assert index.decisions({"decisions": {"a": "better"}, "against_twin": {"a": twin}}) == {"a": "better"}
    assert index.decisions({"against_twin": None}) == index.decisions({}) == {}
    assert index.flatten({"against_twin": twin})["against_twin.difference"] == -0.02


def ablated(root, decisions):
    run = create(root, "ablation", TrainConfig())
    run.write_text("histories.csv", "epoch,arm\n1,a\n")
    run.finish({"decisions": decisions})
    return run


def test_an_ablation_is_told_from_what_trains_nothing_and_shows_its_decisions(root):
    run = ablated(root, {"fast": "better", "same": "identical"})
    search = create(root, "tune", TrainConfig())
    search.write_text("trials.csv", "number\n0\n")
    search.finish({"decisions": "none"})  # of another shape
    _, data = built(root)
    runs = {record["id"]: record for record in data["runs"]}
    assert runs[run.id]["decisions"] == {"fast": "better", "same": "identical"} and runs[search.id]["decisions"] == {}
    assert runs[run.id]["curves_why"].startswith("an ablation: many trainings") and "histories" in runs[run.id]["links"]
    assert runs[search.id]["curves_why"].startswith("a search: many trainings") and "trials" in runs[search.id]["links"]


def test_hostile_names_stay_text(root):
    run = finished(root, 0.9)
    folder = root / "executed" / "javascript:alert(1)" / "a#b?c=<script>%2e"
    folder.parent.mkdir()
    os.rename(run.folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"parameters": {HOSTILE: HOSTILE, "__proto__": "x"}, "failure": {"kind": HOSTILE, "message": "\u2028"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    text, data = built(root)
    assert text.count("<script") == 2 and text.count("</script") == 2 and "<img" not in text and "\u2028" not in text
    (held,) = data["runs"]
    assert held["parameters"][HOSTILE] == HOSTILE and held["why"].startswith(HOSTILE) and held["id"] == folder.name
    assert held["links"]["report"] == "./javascript%3Aalert%281%29/a%23b%3Fc%3D%3Cscript%3E%252e/report.html"


@pytest.mark.parametrize("name", ["parameters", "versions", "data", "git"])
def test_a_manifest_of_another_shape_is_a_broken_run_that_says_so(root, name):
    run = finished(root, 0.9)
    run.note(**{name: [HOSTILE]})
    _, data = built(root)
    assert data["runs"][0]["status"] == "broken" and data["runs"][0]["why"] == f"manifest.json: {name}: no object"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"epoch,val_auc\n1,high\n", "history.csv cannot be read: could not convert string to float: 'high'"),
        (b"\xff\xfe", "history.csv cannot be read: 'utf-8' codec"),
        (b"a,b\n1,2\n", "history.csv has no epochs"),
        (b"", "history.csv has no epochs"),
    ],
)
def test_a_history_that_cannot_be_read_is_told(root, content, why):
    run = finished(root, 0.9)
    (run.folder / "history.csv").write_bytes(content)
    _, data = built(root)
    assert data["runs"][0]["curves"] == {} and data["runs"][0]["curves_why"].startswith(why)


def test_a_long_history_keeps_its_ends(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,val_auc\n" + "".join(f"{k},{k / 3000:.12f}\n" for k in range(1, 1002)))
    curves, why = index.learning_curves(tmp_path / "history.csv")
    assert why is None and len(curves["epoch"]) <= index.POINTS + 1
    assert curves["epoch"][0] == 1 and curves["epoch"][-1] == 1001 and curves["val_auc"][-1] == 0.333667
    assert len(set(curves["epoch"])) == len(curves["epoch"])


def test_the_page_may_load_nothing_and_run_its_own_script_alone(root):
    finished(root, 0.9)
    text, _ = built(root)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|\bsrc=|<iframe", text)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and policy.startswith("default-src 'none'") and "unsafe" not in policy


def test_the_index_is_replaced_whole_and_nothing_else_is_touched(root, monkeypatch, capsys):
    run = finished(root, 0.9)
    assert cli.main(["report", "--root", str(root)]) == 0
    path = root / "executed" / "index.html"
    assert capsys.readouterr().out.strip() == str(path)
    first, before = path.read_bytes(), {p: p.read_bytes() for p in run.folder.iterdir()}
    finished(root, 0.8)
    monkeypatch.setattr("qnb.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(RunError, match=r"Cannot write .*index.html: No space left on device"):
        index.build(root)
    assert path.read_bytes() == first and not list(path.parent.glob(".*"))
    monkeypatch.undo()
    assert len(built(root)[1]["runs"]) == 2
    assert {p: p.read_bytes() for p in run.folder.iterdir()} == before


def test_no_runs_is_an_index_too(root):
    assert built(root)[1]["runs"] == []


# ---- with a browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def site(root):
    for k, auc in enumerate((0.9, 0.7, 0.8)):
        finished(root, auc, seed=k, lr=0.1 * (k + 1))
    create(root, "train", TrainConfig(seed=9)).close("failed", {"kind": "error", "message": HOSTILE, "cell": 2})
    finished(root, 0.6, "other", history=False, seed=7, split_seed=4)
    index.build(root)
    return root


@pytest.fixture
def page(browser, site):
    opened = browser.new_page()
    opened.problems = []
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.on("console", lambda message: opened.problems.append(message.text))
    address = (site / "executed" / "index.html").as_uri()
    opened.on("request", lambda request: request.url.startswith(address) or opened.problems.append(request.url))
    opened.goto(address)
    yield opened
    assert opened.problems == [] and opened.title() == "Runs · qnb"
    opened.close()


def column(page, name):
    return page.locator(f"#runs tbody td.{name}").all_inner_texts()


@pytest.mark.slow
def test_a_reader_filters_and_sorts(page):
    assert page.inner_text("#count") == "5 runs" and HOSTILE in page.inner_text("#runs")
    page.focus("[data-sort=metric]")
    page.keyboard.press("Enter")  # by keyboard alone
    assert column(page, "metric") == ["0.9000", "0.8000", "0.7000", "0.6000", "–"]
    page.keyboard.press("Enter")
    assert column(page, "metric") == ["0.6000", "0.7000", "0.8000", "0.9000", "–"]
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("test_auc")
    page.select_option("[name=status]", "done")
    page.select_option("[name=notebook]", "train")
    page.select_option("[name=parameter]", "lr")
    assert column(page, "parameter") == ["0.2", repr(0.1 * 3), "0.1"] and page.inner_text("#count") == "3 of 5 runs"
    page.fill("[name=min]", "0.75")
    assert column(page, "metric") == ["0.8000", "0.9000"]
    page.reload()  # the address keeps it
    assert column(page, "metric") == ["0.8000", "0.9000"] and page.input_value("[name=min]") == "0.75"
    page.click("text=Reset filters")
    page.fill("[name=q]", "other split_seed=4")
    assert column(page, "notebook") == ["other"]


@pytest.mark.slow
def test_a_value_that_is_asked_for_is_that_value_and_none_that_begins_like_it(browser, root):
    for epochs in (2, 20, 21):
        finished(root, 0.9, epochs=epochs)
    index.build(root)
    page = browser.new_page()
    page.goto((root / "executed" / "index.html").as_uri())
    for asked, shown in (("epochs=2", ["epochs=2"]), ("epochs=20", ["epochs=20"]), ("epochs=", []), ("epoch=2", [])):
        page.fill("[name=q]", asked)
        assert column(page, "changed") == shown, asked
    page.fill("[name=q]", "train")
    assert sorted(column(page, "changed")) == ["epochs=2", "epochs=20", "epochs=21"]
    page.close()


@pytest.mark.slow
def test_back_leaves_the_comparison_and_seeds_of_one_configuration_are_a_band(browser, root):
    for lr, seed, auc in ((0.1, 0, 0.9), (0.1, 1, 0.7), (0.2, 0, 0.6)):
        finished(root, auc, seed=seed, lr=lr)
    index.build(root)
    page = browser.new_page()
    page.goto((root / "executed" / "index.html").as_uri())
    page.click("[data-sort=metric]")
    for k in range(3):
        page.locator("[data-choose]").nth(k).check()
    page.click("text=Compare")
    assert "3 runs side by side" in page.inner_text("#comparison")
    assert "AB (mean of 2 seeds" in page.inner_text("#comparison")
    said = [c.get_attribute("aria-label") for c in page.locator("#comparison svg").all()]
    auc = next(text for text in said if text.startswith("Validation AUC"))
    assert "AB goes from 0.6000 at epoch 1 to 0.8000 at epoch 3; C goes from 0.6000 at epoch 1 to 0.6000" in auc  # means
    panel = page.locator("#comparison svg").nth(said.index(auc))
    assert (panel.locator(".band").count(), panel.locator(".line").count()) == (1, 2)
    page.go_back()
    assert page.locator("#comparison").is_hidden() and page.locator("[data-choose]:checked").count() == 3
    page.go_forward()
    assert "3 runs side by side" in page.inner_text("#comparison")
    page.close()


@pytest.mark.slow
def test_a_reader_sees_the_interval_of_an_auc_and_the_decision_against_the_twin(browser, root):
    run = create(root, "train", TrainConfig())
    against = {"decision": "below", "difference": -0.02}
    twin = {"test_auc": 0.92, "test_auc_interval": {"low": 0.91, "high": 0.93}}
    interval = {"low": 0.85, "high": 0.94, "method": "DeLong"}
    run.finish({"test_auc": 0.9, "test_auc_interval": interval, "baselines": {"twin": twin}, "against_twin": against})
    index.build(root)
    page = browser.new_page()
    page.goto((root / "executed" / "index.html").as_uri())
    assert column(page, "metric") == ["0.9000 (0.8500 to 0.9400)"] and column(page, "decisions") == ["against the twin: below"]
    page.select_option("[name=metric]", "baselines.twin.test_auc")
    assert column(page, "metric") == ["0.9200 (0.9100 to 0.9300)"]
    page.close()


@pytest.mark.slow
def test_a_reader_filters_by_decision(browser, root):
    for decision in ("better", "undecided"):
        ablated(root, {"fast": decision, "same": "identical"})
    finished(root, 0.9)
    index.build(root)
    page = browser.new_page()
    page.goto((root / "executed" / "index.html").as_uri())
    page.select_option("[name=decision]", "undecided")
    assert column(page, "decisions") == ["fast undecided, same identical"]
    page.reload()  # the address keeps it
    assert page.inner_text("#count") == "1 of 3 runs"
    page.select_option("[name=decision]", "identical")
    assert len(column(page, "decisions")) == 2
    page.close()


@pytest.mark.slow
def test_a_reader_sets_two_runs_side_by_side(page):
    page.select_option("[name=notebook]", "train")
    page.select_option("[name=status]", "done")
    page.click("[data-sort=metric]")
    for k in (0, 2):
        page.locator("[data-choose]").nth(k).check()
    page.click("text=Compare")
    shown = page.locator("#comparison")
    differ = shown.locator("table[aria-label=Parameters]").first.locator("tr").all_inner_texts()
    assert [line.split() for line in differ] == [["parameter", "A", "B"], ["seed", "0", "1"], ["lr", "0.1", "0.2"]]
    metrics = [line.split("\t") for line in shown.locator("table[aria-label=Metrics] tr").all_inner_texts()]
    assert ["test_auc", "0.9000", "0.7000", "-0.2000"] in metrics
    curves = {c.get_attribute("aria-label"): c for c in shown.locator("svg[role=img]").all()}
    said = [name for name in curves if name.startswith("Validation AUC (AUC) against epoch")]
    assert "A goes from 0.6000 at epoch 1 to 0.9000 at epoch 3; B goes from 0.6000 at epoch 1 to 0.7000 at epoch 3" in said[0]
    drawn = curves[said[0]].locator("polyline").evaluate_all("all => all.map(line => [line.points.length, line.points[1].y])")
    assert [count for count, _ in drawn] == [2, 2] and drawn[0][1] < drawn[1][1]  # the higher AUC is drawn higher
    assert "SYNTHETIC data" in shown.inner_text() and shown.locator(".caution").count() == 0
    address = page.url
    page.click("text=Clear selection")
    assert shown.is_hidden()
    page.goto(address)
    page.reload()
    assert "2 runs side by side" in page.inner_text("#comparison")


@pytest.mark.slow
def test_runs_on_different_rows_are_not_compared_without_a_word(page):
    for key in ("other/", "train/"):
        page.locator(f"[data-choose^='{key}']").last.check()
    page.click("text=Compare")
    assert "The split differs (split_seed), so the metrics are of different rows." in page.inner_text(".caution >> nth=0")
    assert "no history.csv" in page.inner_text("#comparison")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_the_dark(browser, site, scheme):
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page.goto((site / "executed" / "index.html").as_uri())
    for k in (1, 2):
        page.locator("[data-choose]").nth(k).check()
    page.click("text=Compare")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    ink, ground = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    bright = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 765 for colour in (ink, ground)]
    assert (bright[1] > 0.9 > 0.2 > bright[0]) if scheme == "light" else (bright[0] > 0.8 > 0.2 > bright[1])
    page.close()
