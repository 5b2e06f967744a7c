"""The audit: its laws and verdicts on gradients made for the purpose, its child processes, and the real formulations."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
from circuits import brickwork, dense
from reference import dense_score, loss_and_grad, random_params

from qnb.core.child import child
from qnb.core.circuit import ANSATZE, MEASUREMENTS, CircuitSpec, Measurement
from qnb.core.objective import Objective
from qnb.probes import audit, audit_figures, audit_verdicts, forks, formulations, stacks
from qnb.probes.audit import CHAIN, NONE, NOTES, OWN, REPEATED, SAME, STRIDES, SUM, ZERO, Law, Outcome

HERE = Path(sys.executable)
SPEC = CircuitSpec(2, 1)


def rows_of(spec, count=40, seed=3):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, np.pi, (count, spec.features)), (np.arange(count) % 3 > 0).astype(float)


@pytest.fixture(scope="module")
def right():
    return audit.reference(SPEC, audit.batch_of(SPEC, *rows_of(SPEC), 5, 0))


def test_batch_lets_no_wrong_gradient_pass():
    X, y = rows_of(SPEC)
    arrays = audit.batch_of(SPEC, np.vstack([X, X]), np.concatenate([y, y]), 5, 0)
    assert len(np.unique(arrays["X"], axis=0)) == len(np.unique(arrays["w"])) == 5
    assert set(arrays["y"]) == {0.0, 1.0}


def test_reference_is_the_gradient_of_the_batch(right):
    a = right.arrays
    _, expected = loss_and_grad(
        SPEC, Objective(), {k: a[k] for k in ("weights", "readout", "bias", "alpha")}, a["X"], a["y"], a["w"]
    )
    for group, gradient in right.gradient.items():
        np.testing.assert_allclose(gradient, expected[group], atol=1e-12)
    np.testing.assert_allclose(np.diag(right.d_same), right.d_scores, atol=1e-14)


def test_a_trained_scaling_is_held_fixed_and_written_out_for_the_engines_alone():
    spec = replace(SPEC, scaling=True)
    arrays = audit.batch_of(spec, *rows_of(spec), 5, 0)
    params = {group: arrays[group] for group in spec.shapes}
    _, expected = loss_and_grad(spec, Objective(), params, arrays["X"], arrays["y"], arrays["w"])
    found = audit.reference(spec, arrays).gradient
    assert set(found) == set(expected) - {"scaling"}
    for group, gradient in found.items():
        np.testing.assert_allclose(gradient, expected[group], atol=1e-12)


def made(law, k, right, group="weights"):
    """A wrong gradient of one group."""
    rows, d = right.d_rows[group], right.d_scores
    return {
        SUM: d.sum() * rows[k], OWN: d[k] * rows[k], REPEATED: len(d) * d[k] * rows[k], SAME: right.d_same[k].sum() * rows[k],
        CHAIN: np.tensordot(right.d_same[k], rows, 1), ZERO: 0 * rows[0],
        NONE: np.random.default_rng(0).normal(size=rows[0].shape),
    }[law]  # fmt: skip


@pytest.mark.parametrize("k", [0, 2, 4])
@pytest.mark.parametrize("law", [SUM, OWN, REPEATED, SAME, CHAIN])
def test_law_and_row_are_named(law, k, right):
    found = audit.fit_law(made(law, k, right), right.d_scores, right.d_same, right.d_rows["weights"])
    assert (found.name, found.k) == (law, k) and found.residual < 1e-12
    assert {0: "first", 2: "neither end", 4: "last"}[k] in str(found)


@pytest.mark.parametrize("law", [ZERO, NONE])
def test_laws_without_a_row(law, right):
    found = audit.fit_law(made(law, 0, right), right.d_scores, right.d_same, right.d_rows["weights"])
    assert (found.name, found.k) == (law, None)


def test_law_needs_its_tolerance(right):
    bent = made(SUM, 4, right) * (1 + 1e-5)
    assert audit.fit_law(bent, right.d_scores, right.d_same, right.d_rows["weights"]).name == NONE


def test_judge_flips(right):
    verdict, errors, laws = audit.compare_with_reference(right.gradient, right)
    assert verdict == "right" and max(errors.values()) < 1e-12 and not laws
    for group in right.gradient:
        verdict, errors, _ = audit.compare_with_reference(right.gradient | {group: 1.01 * right.gradient[group] + 1e-4}, right)
        assert verdict == "wrong" and errors[group] > 1e-4
    for broken in (np.full(right.gradient["weights"].shape, np.nan), np.zeros(3)):
        assert audit.compare_with_reference(right.gradient | {"weights": broken}, right)[0] == "wrong"


def test_memory_order_is_what_strides_hide():
    X = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(audit.in_memory_order(X), X)
    np.testing.assert_array_equal(audit.in_memory_order(np.asfortranarray(X)).ravel(), X.T.ravel())
    np.testing.assert_array_equal(audit.in_memory_order(np.repeat(X, 2, axis=1)[:, ::2]).ravel(), np.repeat(X.ravel(), 2)[:12])


@pytest.mark.parametrize("ansatz", ANSATZE)
@pytest.mark.parametrize("measurement", MEASUREMENTS)
@pytest.mark.parametrize("options", [{}, {"encoder": "angle_xy", "reupload": True}, {"hadamard": True}, {"encoder": "amplitude"}])
def test_circuit_is_restated_faithfully(ansatz, measurement, options, rng):
    spec = CircuitSpec(3, 3, ansatz=ansatz, measurement=measurement, **options)
    params, x = random_params(spec, rng), rng.uniform(0.1, 3, spec.features)
    circuit = formulations.Circuit(spec.to_dict(), rot=False)
    score = qml.QNode(circuit.score, qml.device("default.qubit", wires=3))(params["weights"], params["readout"], x)
    assert float(score) == pytest.approx(dense_score(spec, params, x), abs=1e-12)


BAD_FORMULATIONS = """
import json, os, time
import numpy as np

def work(folder, job):
    name, key = job["name"], job["key"]
    if key == "loss_scan":  # aborts, as a compiler linked into the process would
        print("Assertion `x' failed.", flush=True)
        os.abort()
    if key == "sum_scan":
        time.sleep(60)
    if key == "loss_vmap":
        (folder / f"{name}.json").write_text(json.dumps({"kind": "CompileError", "message": "no"}))
        return
    if key == "inside_scan":
        raise SystemExit(3)
    a = dict(np.load(folder / job["inputs"]))
    factor = 2.0 if key == "loss_unrolled" else 1.0
    np.savez(folder / f"{name}.npz", **{g: factor * a["right_" + g] for g in ("weights", "readout", "bias", "alpha")})
"""


def test_every_way_to_end_is_told_apart(right, tmp_path):
    """A child that aborts is `crashed`, one that hangs `timed out`, one that lies `wrong`; the others go on."""
    file = tmp_path / "bad.py"
    file.write_text(BAD_FORMULATIONS)
    with_answers = with_more(right, {f"right_{g}": v for g, v in right.gradient.items()})
    pairs = [(key, SPEC.measurement) for key in (NOTES, "sum_scan", "loss_vmap", "inside_scan", "loss_unrolled", "row_by_row")]
    done = []
    outcomes = audit.audit(
        "here", HERE, {SPEC.measurement: with_answers}, pairs, on_done=lambda: done.append(1), file=str(file), limit=3
    )
    by_key = {o.key: o for o in outcomes}
    assert {k: o.verdict for k, o in by_key.items()} == {
        NOTES: "crashed", "sum_scan": "timed out", "loss_vmap": "does not compile", "inside_scan": "crashed",
        "loss_unrolled": "wrong", "row_by_row": "right",
    }  # fmt: skip
    assert by_key[NOTES].message == "SIGABRT. Assertion `x' failed." and "exit code" in by_key["inside_scan"].message
    assert len(done) == len(pairs) and list(audit.outcomes_table(outcomes)["verdict"]) == [o.verdict for o in outcomes]
    assert audit.counts(outcomes).loc["here", "crashed"] == 2


def with_more(right, more):
    return audit.Reference(right.spec, right.arrays | more, right.gradient, right.d_scores, right.d_same, right.d_rows)


def test_a_program_that_never_starts_is_a_crash(right, tmp_path):
    file = tmp_path / "empty.py"
    file.write_text("import module_that_does_not_exist\n")
    (outcome,) = audit.audit("here", HERE, {SPEC.measurement: right}, [("row_by_row", SPEC.measurement)], file=str(file))
    assert outcome.verdict == "crashed" and "module_that_does_not_exist" in outcome.message


def test_interrupted_program_leaves_no_process_behind(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import os, time\ndef work(folder, job):\n    (folder / 'pid').write_text(str(os.getpid()))\n    time.sleep(60)\n"
    )
    program = forks_process(tmp_path)
    with program.stdin as jobs:
        jobs.write(json.dumps([{"name": "a"}]).encode())
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert program.poll() is None
    program.terminate()
    program.wait(10)
    pid = int((tmp_path / "pid").read_text())
    status = Path(f"/proc/{pid}/status")
    assert not status.exists() or "zombie" in status.read_text()


def forks_process(folder):
    return subprocess.Popen(
        [sys.executable, "-I", forks.__file__, str(folder / "slow.py"), str(folder), "1", "60"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )


def outcome(key=NOTES, verdict="wrong", law=SUM, measurement="mean_z", stack="0.0.0"):
    laws = {"weights": Law(law, 0.0, np.zeros(5), 4)} if verdict == "wrong" else {}
    errors = {"weights": 1.0 if verdict == "wrong" else 0.0} if verdict in ("right", "wrong") else {}
    return Outcome(stack, key, measurement, verdict, "", errors, laws)


@pytest.mark.parametrize(
    "outcomes, verdict",
    [
        ([outcome()], "yes"),
        ([outcome(), outcome(verdict="does not compile", measurement="z_vec")], "yes"),
        ([outcome(law=ZERO)], "no"),
        ([outcome(verdict="does not compile")], "inconclusive"),
        ([outcome(verdict="right")], "no"),
        ([outcome(verdict="right"), outcome(verdict="does not compile", measurement="z_vec")], "no"),
        ([outcome(verdict="right"), outcome(measurement="z_vec")], "inconclusive"),
        ([], "inconclusive"),
    ],
)
def test_verdict_on_the_note(outcomes, verdict):
    assert audit_verdicts.judge_note(outcomes).verdict == verdict


def test_verdict_on_the_engines_flips():
    fine = [outcome(key, "right") for key in audit_verdicts.ENGINES]
    assert audit_verdicts.judge_engines(fine).verdict == "yes"
    assert audit_verdicts.judge_engines([fine[0], outcome("engine_exact", "wrong")]).verdict == "no"
    assert audit_verdicts.judge_engines(fine[:1]).verdict == "inconclusive"
    assert audit_verdicts.judge_engines([fine[0], outcome("engine_exact", "crashed")]).verdict == "inconclusive"
    assert audit_verdicts.judge_engines([outcome(k, "not applicable") for k in audit_verdicts.ENGINES]).verdict == "inconclusive"


def test_verdict_on_silence_and_layout_flips():
    assert audit_verdicts.judge_silence([outcome()]).verdict == "yes"
    assert audit_verdicts.judge_silence([outcome(verdict="right"), outcome("fortran_order", law=STRIDES)]).verdict == "no"
    assert audit_verdicts.judge_silence([outcome(verdict="crashed")]).verdict == "inconclusive"
    assert audit_verdicts.judge_layout([outcome("fortran_order", law=STRIDES)]).verdict == "yes"
    assert audit_verdicts.judge_layout([outcome("fortran_order", law=NONE)]).verdict == "inconclusive"
    assert audit_verdicts.judge_layout([outcome("fortran_order", "right")]).verdict == "no"
    assert audit_verdicts.judge_layout([outcome(verdict="right")]).verdict == "inconclusive"


@pytest.mark.parametrize("end, verdict", [(0.6, "yes"), (0.9, "no"), (0.87, "inconclusive")])
def test_verdict_on_training_flips(end, verdict):
    histories = {
        audit_verdicts.RIGHT: [{"val_auc": 0.9}] * 4,
        audit_verdicts.SIMULATED: [{"val_auc": 0.5}] + [{"val_auc": end}] * 3,
    }
    assert audit_verdicts.judge_consequence(histories).verdict == verdict


def test_gate_on_a_function_from_outside():
    """Catalyst's own wrong gradient of a scan is caught, JAX's around the compiled circuit passes; with roles swapped it flips."""
    said = child().call("qnb.probes.outside:check")
    wrong, right = audit_verdicts.BY_CATALYST, audit_verdicts.BY_JAX
    assert (said[wrong]["gate"], said[wrong]["group"], said[right]["gate"]) == ("caught", "weights", "pass")
    assert audit_verdicts.judge_gate(said, wrong, right).verdict == "yes"
    assert audit_verdicts.judge_gate(said, right, wrong).verdict == "no"


def test_quick_plan_is_part_of_the_full_one():
    quick, full = audit.plan("mean_z_readout", True), audit.plan("mean_z_readout", False)
    assert set(quick) < set(full) and {(NOTES, "z_vec"), ("engine_catalyst", "mean_z_readout")} <= set(quick)
    assert len(set(quick)) == len(quick) and len(audit.plan("z0", False)) == 4 * len(formulations.FORMULATIONS)


def test_message_tells_without_paths():
    text = "warning: x\n#0 0x7f /home/me/lib.so\ncatalyst: /a/b/Enzyme.h:5: Assertion `k' failed.\n"
    assert formulations.telling(text) == "catalyst: Enzyme.h:5: Assertion `k' failed."
    assert formulations.telling("one\ntwo\nthree\nfour") == "two\nthree\nfour"


def test_stack_that_cannot_be_installed_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(stacks.venv, "create", lambda *args, **kwargs: None)
    failed = type("Done", (), {"returncode": 1, "stderr": "ERROR: No matching distribution found for pennylane-catalyst==9.9.9"})
    monkeypatch.setattr(stacks.subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(stacks.StackError, match=r"9\.9\.9 could not be installed: no package registry that has it"):
        stacks.python_of("9.9.9", say=lambda text: None, cache=tmp_path)
    assert not (tmp_path / "9.9.9" / stacks.READY).exists()


def test_stack_is_installed_once(tmp_path, monkeypatch):
    made, said = [], []
    monkeypatch.setattr(stacks.venv, "create", lambda folder, **kwargs: (folder / "bin").mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(stacks, "_install", lambda python, asked, stack: made.append(asked))
    for _ in range(2):
        assert stacks.python_of("0.14.0", say=said.append, cache=tmp_path) == tmp_path / "0.14.0" / "bin" / "python"
    assert len(made) == len(said) == 1 and made[0][-1] == str(stacks.LOCKS / "0.14.0.lock")


def test_stack_with_a_lock_is_made_anew_when_its_lock_has_changed(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(stacks.venv, "create", lambda folder, **kwargs: (folder / "bin").mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(stacks, "_install", lambda python, asked, stack: made.append(asked))
    monkeypatch.setattr(stacks, "LOCKS", tmp_path)
    for text in ("a==1", "a==1", "a==2"):
        (tmp_path / "0.14.0.lock").write_text(text)
        stacks.python_of("0.14.0", say=lambda text: None, cache=tmp_path / "cache")
    assert len(made) == 2


def test_pip_message_is_stripped_of_addresses():
    message = stacks._reason("ERROR: HTTPSConnectionPool(host='x') https://index.example/simple failed at /home/ada/.cache/pip")
    assert "example" not in message and "/home" not in message and "no package registry" in message


def test_current_stack_is_this_python():
    assert stacks.python_of(stacks.CURRENT) == HERE
    found = stacks.versions_in(HERE)
    assert stacks.report_name(stacks.CURRENT, found) == f"{found['pennylane-catalyst']} (current)"


@pytest.fixture(scope="module")
def real():
    spec = CircuitSpec(4, 2)  # the size at which Catalyst 0.15.0 compiles the wrong scan of z_vec
    pairs = [
        ("row_by_row", "mean_z_readout"),
        ("fortran_order", "mean_z_readout"),
        ("engine_catalyst", "mean_z_readout"),
        (NOTES, "z_vec"),
    ]
    references = audit.references(spec, pairs, *rows_of(spec), 5, 0)
    return {o.key: o for o in audit.audit(stacks.CURRENT, HERE, references, pairs)}


def test_current_stack_really(real):
    """What is known of Catalyst 0.15.0, in child processes of the real stack."""
    assert real["row_by_row"].verdict == real["engine_catalyst"].verdict == "right"
    assert real["fortran_order"].verdict == "wrong" and all(law.name == STRIDES for law in real["fortran_order"].laws.values())
    note = real[NOTES]
    assert note.verdict == "wrong" and (note.laws["weights"].name, note.laws["weights"].k) == (SUM, 4)
    assert note.laws["readout"].name == ZERO and note.errors["bias"] < 1e-9


@pytest.mark.slow
def test_a_circuit_of_ones_own_is_audited_on_the_stack_that_has_qnb():
    """Right where the package's own formulations are, and silently wrong by the same law as the note's."""
    words = Measurement(None, rotated=True, words=lambda n: ["Z" + "I" * (n - 1), "X" * n])
    spec = CircuitSpec(4, 2, encoder=dense, ansatz=brickwork, measurement=words)
    keys = ("row_by_row", "row_by_row_rot", NOTES, "engine_catalyst", "engine_exact")
    pairs = [*((key, spec.measurement) for key in keys), (NOTES, "z_vec")]
    references = audit.references(spec, pairs, *rows_of(spec), 5, 0)
    outcomes = audit.audit(stacks.CURRENT, HERE, references, pairs)
    found = {(o.key, o.measurement): o for o in outcomes}
    for key in ("row_by_row", "engine_catalyst", "engine_exact"):
        assert found[key, spec.measurement].verdict == "right", found[key, spec.measurement]
    note = found[NOTES, "z_vec"]
    assert note.verdict == "wrong" and (note.laws["weights"].name, note.laws["weights"].k) == (SUM, 4), note
    (sentence,) = audit.not_audited(outcomes)
    assert "gates of your own are not written in another form: the package's, with qml.Rot" in sentence


@pytest.mark.slow
def test_old_stack_really(tmp_path):
    """Catalyst 0.14.0, where it is installed already or a registry can be reached: the note's core is that of one row."""
    try:
        python = stacks.python_of("0.14.0")
    except stacks.StackError as error:
        pytest.skip(str(error))
    spec = CircuitSpec(3, 2)
    pairs = [(NOTES, "mean_z"), ("inside_scan", "mean_z"), ("loss_unrolled", "mean_z"), ("engine_catalyst", "mean_z")]
    found = {o.key: o for o in audit.audit("0.14.0", python, audit.references(spec, pairs, *rows_of(spec), 5, 0), pairs)}
    assert (found[NOTES].laws["weights"].name, found[NOTES].laws["weights"].k) == (SUM, 4)
    assert (found["inside_scan"].laws["weights"].name, found["inside_scan"].laws["weights"].k) == (SAME, 0)
    assert found["loss_unrolled"].verdict == "right" and found["engine_catalyst"].verdict == "not applicable"


def test_wrong_gradients_are_grouped_by_law():
    outcomes = [outcome(), outcome(measurement="z_vec"), outcome("inside_scan", law=OWN), outcome(verdict="right")]
    grouped = audit.wrong_by_law(outcomes)
    assert len(grouped) == 2 and grouped["where"][0] == "0.0.0 mean_z, 0.0.0 z_vec"
    assert audit.wrong_by_law([outcome(verdict="right")]).empty


def test_figures_draw_every_verdict(right):
    outcomes = [outcome(key, verdict) for key, verdict in zip(formulations.FORMULATIONS, audit_figures.VERDICTS, strict=False)]
    outcomes += [outcome("inside_scan", law=SAME, measurement=SPEC.measurement), outcome("jax_vmap", "right", stack="9.9.9")]
    assert audit_figures.verdict_grid(outcomes, "note").axes[0].get_title()
    shown = audit_figures.row_weights([outcomes[-2], *outcomes[-2:]], {SPEC.measurement: right})
    assert len(shown.axes) == 1 and audit_figures.row_weights([], {}).axes
    history = [{"epoch": 1, "train_loss": 0.5, "val_auc": 0.5, "grad_norm_weights": 0.1}]
    assert len(audit_figures.consequence({"right": history, audit_verdicts.SIMULATED: history}).axes) == 3
