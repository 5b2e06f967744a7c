"""No parameter is dead: the code behind each notebook reads it, and changing it changes what is found, or is refused.

What is found is every artefact but the parameters, the manifest and timings. The quick tests read all notebooks that need no compiler
and change every parameter of a training; the slow ones, here and in the files beside this one, execute each notebook with each
parameter changed.
"""

import functools
from collections import Counter

import pytest
from dead_parameters import BASES, CHANGES, FINDING, OWN, PARTS, QUICK, SOURCES, TRAINING, cached, configuration
from in_process import execute, findings

from qnb.config import TrainConfig
from qnb.errors import QnbError
from qnb.training.train import train


@pytest.mark.parametrize("notebook", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in BASES])
def test_every_parameter_is_read(notebook, project, monkeypatch, small):
    reads = Counter()
    for base in BASES[notebook]:
        _, _, read = execute(notebook, base, project, monkeypatch)
        reads += read
    assert set(configuration(notebook).model_fields) - set(reads) == set()


@pytest.mark.slow
@pytest.mark.parametrize("notebook", [name for name in BASES if "ansatz" in configuration(name).model_fields])
def test_a_notebook_runs_with_a_circuit_of_ones_own(notebook, project, monkeypatch, small):
    parts = {"ansatz": "circuits.py:chain"} if notebook == "surrogate" else PARTS  # the others are refused there
    given = {name: part for name, part in parts.items() if name in configuration(notebook).model_fields}
    run, _, _ = execute(notebook, BASES[notebook][0] | given, project, monkeypatch)
    assert run.manifest["status"] == "done"
    assert {own["part"].partition("@")[0] for own in run.manifest["own"]} == set(given.values())
    assert {name: run.manifest["parameters"][name].partition("@")[0] for name in given} == given


def test_the_tables_have_every_parameter():
    assert set(CHANGES) == set(TrainConfig.model_fields)
    for notebook in BASES:
        fields = set(configuration(notebook).model_fields)
        assert set(OWN.get(notebook, {})) <= fields
        assert fields - set(CHANGES) - set(OWN.get(notebook, {})) <= SOURCES


def test_every_notebook_but_the_one_that_finds_timings_is_changed():
    assert sorted(name for names in FINDING.values() for name in names) == sorted(BASES.keys() - {"throughput"})


@pytest.mark.slow
@pytest.mark.parametrize("notebook", [name for names in FINDING.values() for name in names])
def test_a_notebook_finds_the_same_again(notebook, project, monkeypatch):
    base = BASES[notebook][0]
    before = cached(notebook, tuple(base.items()), project)
    assert repr(execute(notebook, base, project, monkeypatch)[1]) == repr(before)


@functools.lru_cache(maxsize=100)
def trained(items):
    """What a training finds, or the error that refuses it."""
    try:
        result = train(TrainConfig.make(dict(items)), progress=False)
    except QnbError as error:
        return str(error)
    return repr([findings(result.metrics), findings(result.history.to_dict("list"))])


def test_a_training_finds_the_same_again(project, monkeypatch):
    monkeypatch.chdir(project)
    items = tuple(TRAINING.items())
    assert trained.__wrapped__(items) == trained.__wrapped__(items)


@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_of_a_training_changes_what_it_finds(name, project, monkeypatch):
    monkeypatch.chdir(project)
    value, beside = CHANGES[name]
    base = TRAINING | beside
    assert base.get(name, TrainConfig.model_fields[name].default) != value
    before = trained(tuple(base.items()))
    assert before.startswith("["), before
    assert trained(tuple((base | {name: value}).items())) != before
