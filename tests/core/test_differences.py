"""The comparison of a gradient with differences of its loss, on functions whose derivatives are known."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qnb.core import differences
from qnb.core.differences import RELATIVE_TOLERANCE, check_groups, measured_errors

X = np.array([[0.3, -1.2, 0.7], [1.1, 0.4, -0.5], [-0.8, 0.9, 1.5], [0.2, 0.1, -1.4]])
W = np.array([0.5, 1.5, 0.8, 1.3])


def loss(p):
    return float(np.mean(W * np.sin(X @ p["a"] + p["b"]) ** 2))


def gradient(p):
    d = W * np.sin(2 * (X @ p["a"] + p["b"])) / len(X)
    return {"a": X.T @ d, "b": np.sum(d)}


def start(seed=0):
    rng = np.random.default_rng(seed)
    return {"a": rng.normal(size=3), "b": np.asarray(rng.normal())}


def statuses(checks):
    return {name: check.status for name, check in checks.items()}


def test_the_file_stands_alone(tmp_path):
    """Copied by itself, in a Python that imports numpy and the standard library, and nothing else of ours."""
    shutil.copy(Path(differences.__file__), tmp_path / "differences.py")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy as np, differences; "
        "p = {'w': np.array([0.3, -0.2])}; f = lambda p: float(np.sum(np.sin(p['w']) ** 2)); "
        "g = lambda p: {'w': np.sin(2 * p['w'])}; h = lambda p: {'w': 1.01 * np.sin(2 * p['w'])}; "
        "print(differences.check_groups(f, g, p)['w'].status, differences.check_groups(f, h, p)['w'].status, "
        "sorted({'jax', 'pennylane', 'qnb', 'scipy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-I", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pass wrong []"


@pytest.mark.parametrize("seed", range(20))
def test_a_right_gradient_passes(seed):
    checks = check_groups(loss, gradient, start(seed), seed=seed)
    assert statuses(checks) == {"a": "pass", "b": "pass"}
    assert all(check.relative_error < 1e-6 and check.error > 0 for check in checks.values())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("factor", [-1.0, 0.0, 0.99, 1 - 1.1e-4, 1 / (1 - 1.1e-4), 2.0])
def test_a_group_scaled_beyond_the_tolerance_is_wrong(factor, seed):
    checks = check_groups(loss, lambda p: gradient(p) | {"a": factor * gradient(p)["a"]}, start(seed), seed=seed)
    assert statuses(checks) == {"a": "wrong", "b": "pass"}


@pytest.mark.parametrize("factor", [1 - 0.5e-4, 1 + 0.5e-4])
def test_within_the_tolerance_it_passes(factor):
    checks = check_groups(loss, lambda p: {k: factor * g for k, g in gradient(p).items()}, start())
    assert statuses(checks) == {"a": "pass", "b": "pass"}


@pytest.mark.parametrize("offset", [1e3, 1e6, 1e9])
def test_a_small_loss_left_by_large_ones_is_not_called_wrong(offset):
    """(L + offset) - offset: its rounding is that of the offset, which its value does not show."""

    def rounded(p):
        return (loss(p) + offset) - offset

    for seed in range(20):
        assert set(statuses(check_groups(rounded, gradient, start(seed), seed=seed)).values()) <= {"pass", "untested"}


@pytest.mark.parametrize("noise", [1e-10, 1e-6, 1e-3])
def test_the_noise_is_measured(noise):
    rng = np.random.default_rng(3)
    found = [measured_errors(lambda p: loss(p) + noise * rng.normal(), start(s), "float64", rng)["a"].noise for s in range(30)]
    assert 1.5 * noise < min(found) and max(found) < 20 * noise  # six standard deviations, from nine values


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0, 1e2, 1e4])
def test_the_steps_find_the_scale_of_a_group(scale):
    def scaled(p):
        return loss({"a": p["a"] / scale, "b": p["b"]})

    def slopes(p):
        g = gradient({"a": p["a"] / scale, "b": p["b"]})
        return {"a": g["a"] / scale, "b": g["b"]}

    for seed in range(5):
        p = start(seed)
        assert statuses(check_groups(scaled, slopes, p | {"a": scale * p["a"]}, seed=seed)) == {"a": "pass", "b": "pass"}


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_untested_where_the_slope_is_under_the_noise_and_never_pass(factor):
    rng = np.random.default_rng(0)

    def drowned(p):
        return 1e-3 * (loss(p) + rng.normal())

    checks = check_groups(drowned, lambda p: {k: factor * 1e-3 * g for k, g in gradient(p).items()}, start())
    assert statuses(checks) == {"a": "untested", "b": "untested"}
    assert {check.where for check in checks.values()} == {"random point"}


def test_a_loss_that_is_not_defined_at_the_random_point():
    def only_here(p):
        return float(np.prod(p["a"]) * 0 + 1.0) if np.array_equal(p["a"], np.ones(3)) else np.nan

    checks = check_groups(lambda p: only_here({"a": np.round(p["a"], 2)}), lambda p: {"a": np.zeros(3)}, {"a": np.ones(3)})
    assert checks["a"].status == "untested" and checks["a"].where == "start"


@pytest.mark.parametrize(
    ("claim", "problem"), [(np.zeros(2), "it has shape (2,); (3,) was expected"), (np.full(3, np.nan), "it holds NaN or inf")]
)
def test_what_cannot_be_compared_is_wrong(claim, problem):
    check = check_groups(loss, lambda p: gradient(p) | {"a": claim}, start())["a"]
    assert (check.status, check.problem) == ("wrong", problem)


def test_a_rotated_gradient_is_wrong(rng):
    """Its length is right, and a permutation of its entries too: only other directions show it."""
    p = {"a": rng.normal(size=40)}

    def claim(order):
        return lambda p: {"a": np.cos(p["a"])[order]}

    assert check_groups(lambda p: float(np.sum(np.sin(p["a"]))), claim(np.arange(40)), p)["a"].status == "pass"
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(40)
        assert check_groups(lambda p: float(np.sum(np.sin(p["a"]))), claim(order), p, seed=seed)["a"].status == "wrong"


@pytest.mark.parametrize("seed", range(10))
def test_float32(seed):
    def rounded(p):
        a, b = np.float32(p["a"]), np.float32(p["b"])
        return np.mean(np.float32(W) * np.sin(np.float32(X) @ a + b) ** 2, dtype=np.float32)

    off = 1.5 * RELATIVE_TOLERANCE["float32"]
    checks = check_groups(rounded, gradient, start(seed), "float32", seed=seed)
    assert set(statuses(checks).values()) <= {"pass", "untested"} and checks["a"].status == "pass"
    wrong = check_groups(rounded, lambda p: {k: (1 - off) * g for k, g in gradient(p).items()}, start(seed), "float32", seed=seed)
    assert "pass" not in statuses(wrong).values() and "wrong" in statuses(wrong).values()
