"""Parameters of the diagnostic notebooks: those of the model under test, and each probe's own."""

from qnb.config import TrainConfig


class ProbeConfig(TrainConfig):
    """The model under test as in train.ipynb, or that of a finished run, and how long the probe may take."""

    run: str | None = None  # id of a run of train.ipynb to work on; None: the parameters given here
    quick: bool = True  # False: the full grid, up to ten minutes
