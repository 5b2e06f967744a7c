"""The probe of alpha's sign: the identity, the kinds of inversion, and each verdict on a broken case."""

import numpy as np
import optax
import pandas as pd
import pytest

from qnb.errors import ParameterError
from qnb.probes import alpha
from qnb.probes.descent import Head, descend

ALPHAS = np.arange(-4, 5) / 2


@pytest.fixture(scope="module")
def arms(config, prepared):
    return alpha.trainings(config, prepared, alpha=0.05, push=0.5, steps=60, seed=0)


def history(alphas, aucs):
    return pd.DataFrame(
        {"step": range(len(alphas)), "alpha": alphas, "auc": aucs, "auc_s": aucs, "bce": np.linspace(0.7, 0.4, len(aucs))}
    )


def test_the_sweep_is_what_the_formulas_say(rng):
    s, y = rng.normal(size=50), (rng.uniform(size=50) < 0.6).astype(float)
    table = alpha.sweep(s, y, 0.7, [-1.0, 0.0, 2.0]).set_index("alpha")
    wins = (s[y == 1][:, None] > s[y == 0][None]).mean()  # AUC as the share of pairs in the right order
    np.testing.assert_allclose(table["auc"], [1 - wins, 0.5, wins], atol=1e-12)
    for a in table.index:
        for column, l in (("loss_inside", a * (s + 0.7)), ("loss_outside", a * s + 0.7)):
            p = 1 / (1 + np.exp(-l))
            np.testing.assert_allclose(table.loc[a, column], -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)), rtol=1e-12)
    assert table.loc[0.0, "loss_inside"] == pytest.approx(np.log(2)) != pytest.approx(table.loc[0.0, "loss_outside"])


def test_the_identity_verdict_flips_where_the_sign_does_not_decide(rng):
    s = rng.normal(size=60)
    y = (s + rng.normal(size=60) > 0).astype(float)
    assert alpha.judge_identity(alpha.sweep(s, y, 0.3, ALPHAS)).verdict == "yes"
    assert alpha.judge_identity(alpha.sweep(s, y, 0.3, ALPHAS).assign(auc=lambda t: t["auc"].max())).verdict == "no"
    assert (
        alpha.judge_identity(alpha.sweep(np.tile([0.0, 1.0], 30), np.repeat([0.0, 1.0], 30), 0.3, ALPHAS)).verdict
        == "inconclusive"
    )


@pytest.mark.parametrize(
    ("alphas", "aucs", "kind"),
    [
        ([0.1] * 20, [0.2] * 20, "none"),  # a bad ranking, but not by the sign of alpha
        ([-0.1] * 20, [0.8] * 20, "none"),  # a negative alpha over a score that ranks the other way round
        ([0.1] * 5 + [-0.1] * 15, [0.8] * 5 + [0.2] * 5 + [0.8] * 10, "transient"),
        ([0.1] * 5 + [-0.1] * 15, [0.8] * 5 + [0.2] * 15, "lasting"),
        ([-0.1] * 20, [0.49] * 20, "none"),  # within the margin of chance
    ],
)
def test_kinds_of_inversion(alphas, aucs, kind):
    assert alpha.kind(history(alphas, aucs)) == kind
    assert alpha.judge_training([history(alphas, aucs)]).verdict == ("yes" if kind == "lasting" else "no")


def test_over_several_seeds_the_majority_counts():
    none, lasting = history([0.1] * 20, [0.8] * 20), history([-0.1] * 20, [0.2] * 20)
    verdict = alpha.judge_training([none, lasting, lasting])
    assert (
        verdict.verdict == "yes"
        and "stays so" in verdict.sentence
        and verdict.figures["kinds"] == {"none": 1, "transient": 0, "lasting": 2}
    )
    assert alpha.judge_training([none, lasting]).verdict == "inconclusive"
    minority = alpha.judge_training([none, none, lasting])
    assert minority.verdict == "no" and "never upside down" in minority.sentence


def test_a_small_direct_alpha_crosses_and_softplus_does_not(arms):
    assert arms["direct"].history["alpha"].iloc[0] > 0 > arms["direct"].history["alpha"].min()
    verdict = alpha.judge_cure(arms["softplus"].history, arms["alpha fixed"].history)
    assert verdict.verdict == "yes"
    assert verdict.figures["loss_fixed"] < arms["alpha fixed"].history["bce"].iloc[0]
    assert alpha.judge_cure(arms["direct"].history, arms["alpha fixed"].history).verdict == "no"
    assert alpha.judge_cure(arms["softplus"].history, arms["direct"].history).verdict == "no"


def test_a_circuit_that_cannot_adapt_stays_inverted(arms):
    still = arms["direct, circuit held still"]
    assert still.history["distance"].max() == 0
    assert alpha.kind(still.history) == "lasting"
    turned = still.history[still.history["alpha"] < 0]
    np.testing.assert_allclose(turned["auc"] + turned["auc_s"], 1, atol=1e-12)
    assert alpha.kind(arms["softplus"].history) == "none"


def test_all_arms_see_the_same_start_and_batches(config, prepared):
    sgd = optax.sgd(0.1)
    runs = [descend(config, prepared, sgd, 3, 1, Head(0.3, 0.1, mode)) for mode in ("direct", "softplus", "direct")]
    np.testing.assert_array_equal(runs[0].history, runs[2].history)
    np.testing.assert_allclose(runs[0].history.iloc[0], runs[1].history.iloc[0], rtol=1e-12)


def test_the_bias_that_pushes_goes_against_the_majority():
    assert alpha.pushing_bias(0.2, 0.8, 0.5) == pytest.approx(-0.7)
    assert alpha.pushing_bias(0.2, 0.1, 0.5) == pytest.approx(0.3)


def test_an_alpha_that_softplus_cannot_give_is_refused():
    with pytest.raises(ParameterError, match="larger than"):
        Head(0.0005).params()
