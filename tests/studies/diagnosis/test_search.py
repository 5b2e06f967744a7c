"""Silent faults, each in a run of its own: the diagnosis names the component, and clears sound runs."""

import numpy as np
import pytest
from silent_runs import SOUND, ring

from benchmarks.faulty_runs import of_range, run_of
from qnb.config import TrainConfig
from qnb.data.prepare import Prepared
from qnb.errors import ParameterError
from qnb.probes.subject import Subject
from qnb.studies.diagnosis import diagnose
from qnb.studies.diagnosis.components import COMPONENTS, batches_of, reference_of

SEEDS = 4
FAULTS = {  # what is wrong -> the parameters, and who is to blame
    "nothing": ({}, ()),
    "a shorter schedule": ({"lr_schedule": "cosine"}, ()),
    "a rate too small": ({"lr": 1e-5}, ("rate",)),
    "a rate too large": ({"lr": 20.0}, ("rate",)),
    "weights decay": ({"weight_decay_weights": 10.0}, ("rate",)),
    "frozen angles": ({"lr_mult_weights": 0.0}, ("rate",)),
    "negatives weigh nothing": ({"class_weights": (1e-5, 1.0)}, ("objective",)),
    "alpha crushed": ({"weight_decay_alpha": 20.0}, ("objective",)),
    "one layer": ({"layers": 1}, ("circuit",)),
    "five steps": ({"epochs": 1, "fixed_num_batches": 5}, ("length",)),
    "the gradient of one sample": ({"engine": "one_sample_demo", "gate": "off"}, ("gradient",)),
    "a rate and the weights of classes": ({"lr": 1e-5, "class_weights": (1e-5, 1.0)}, ("rate", "objective")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_component_is_named_and_its_correction_heals(fault, table):
    changes, blamed = FAULTS[fault]
    found = diagnose(run_of(TrainConfig(**SOUND | changes), table), seeds=SEEDS, progress=False)
    assert found.blamed == blamed, [(f.component, f.verdict, f.gain) for f in found.findings]
    assert [f.component for f in found.findings] == list(COMPONENTS)
    if blamed:
        assert found.healed.val.mean() - found.as_it_is.val.mean() > 0.03
        assert all(not reference_of(found.corrected, name, 30) for name in blamed if name != "length")
    else:
        assert found.corrected is None


@pytest.mark.parametrize(("low", "high"), [(-1e-3, 1e-3), (0.0, 12 * np.pi)])
def test_angles_that_collapse_or_wrap_are_the_encoding(table, low, high):
    found = diagnose(run_of(TrainConfig(**SOUND), of_range(table, low, high)), seeds=SEEDS, progress=False)
    assert found.blamed == ("encoding",)


def test_labels_at_random_are_the_data_and_noisy_ones_nobody(table):
    rng = np.random.default_rng(3)
    random = Prepared(table.X, {k: rng.permutation(y) for k, y in table.y.items()}, None, {})
    assert diagnose(run_of(TrainConfig(**SOUND), random), seeds=SEEDS, progress=False).blamed == ("data",)
    flipped = {k: np.where(rng.uniform(size=len(y)) < 0.2, 1 - y, y) for k, y in table.y.items()}
    noisy = run_of(TrainConfig(**SOUND), Prepared(table.X, flipped, None, {}))
    assert diagnose(noisy, seeds=SEEDS, progress=False).blamed == ()


def test_what_has_its_reference_is_cleared_without_a_training(sound):
    found = diagnose(sound, seeds=2, progress=False)
    assert found.alone == {}
    assert all(f.gain is None and f.verdict == "cleared" for f in found.findings)


def test_a_configuration_that_never_ran_and_one_that_cannot_end(table):
    never = Subject(TrainConfig(**SOUND, lr=1e-5), table, "", "")
    found = diagnose(never, seeds=SEEDS, progress=False)
    assert (found.blamed, found.reproduction.status) == (("rate",), "not recorded")
    diverges = Subject(TrainConfig(**SOUND | {"lr": 1e300}), table, "", "", history=None)
    found = diagnose(diverges, seeds=SEEDS, progress=False)
    assert found.blamed == ("rate",) and all(found.as_it_is.val == 0.5)
    assert all("not finite" in failure for failure in found.as_it_is.failures)


def test_the_gains_are_those_of_trainings_that_differ_in_the_component_alone(table):
    """Recomputed without the diagnosis: the same seeds, rows and batches, one parameter changed."""
    from qnb.training.loop import fit

    config = TrainConfig(**SOUND | {"lr": 1e-3, "epochs": 10})
    found = diagnose(Subject(config, table, "", ""), seeds=2, progress=False)
    gain = next(f.gain for f in found.findings if f.component == "rate")
    by_hand = [
        [fit(config.model_copy(update={"seed": s, "lr": lr}), table, progress=False).state.best_value for s in (0, 1)]
        for lr in (1e-3, 0.05)
    ]
    np.testing.assert_allclose(gain.values, np.subtract(by_hand[1], by_hand[0]), atol=2e-3)


def test_one_seed_compares_nothing(sound):
    with pytest.raises(ParameterError, match="seeds=1"):
        diagnose(sound, seeds=1)


def test_batches_are_counted_as_training_does():
    assert batches_of(TrainConfig(**SOUND | {"fixed_num_batches": None}), ring()) == 540 // 64
