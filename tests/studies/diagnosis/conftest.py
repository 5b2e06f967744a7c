import pytest
from silent_runs import SOUND, ring

from benchmarks.faulty_runs import run_of
from qnb.config import TrainConfig


@pytest.fixture(scope="session")
def table():
    return ring()


@pytest.fixture(scope="session")
def sound(table):
    return run_of(TrainConfig(**SOUND), table)
