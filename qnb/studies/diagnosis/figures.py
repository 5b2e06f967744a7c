"""The figure of a diagnosis: AUC without changes, with each, and with all; and of classical models."""

import numpy as np
from matplotlib.figure import Figure

from qnb.reporting.plots import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    caption,
    legend,
    new_figure,
    styled,
)
from qnb.statistics.paired import standard_error, t_interval
from qnb.studies.diagnosis.search import Diagnosis
from qnb.studies.diagnosis.trainings import Trained

LINES = {"logistic": ":", "boosting": "--", "twin": "-.", "svm": (0, (1, 3))}


@styled
def interventions(diagnosis: Diagnosis, note: str | None = None) -> Figure:
    """Validation AUC of each training: every seed, the mean and its 95 % t interval; and mean test AUC."""
    rows: dict[str, Trained] = {"as it is": diagnosis.as_it_is}
    rows |= {f"{name} at its reference": trained for name, trained in diagnosis.alone.items()}
    if diagnosis.healed is not None and len(diagnosis.blamed) > 1:
        rows["what is to blame corrected"] = diagnosis.healed
    rows["all at their reference"] = diagnosis.reference
    figure, (axes,) = new_figure(height=1.7 + 0.42 * len(rows), width=9.5)
    for place, (name, trained) in enumerate(rows.items()):
        blamed = name.split(" ")[0] in diagnosis.blamed or name == "what is to blame corrected"
        colour = INK if place == 0 else ORANGE if blamed else BLUE if name.startswith("all") else MUTED
        _draw(axes, place, trained, colour, first=place == 0)
    for name, style in LINES.items():
        if name in diagnosis.baselines:
            axes.axvline(
                diagnosis.baselines[name]["val_auc"],
                color=GREEN,
                lw=1,
                ls=style,
                label=f"{name} (validation)",
            )
    axes.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.5, -0.6))
    axes.set(
        title=f"What each change does, over {diagnosis.seeds} seeds",
        xlabel="validation AUC (× test AUC)",
        ylabel="training",
    )
    axes.grid(False, axis="y")
    legend(axes)
    return caption(figure, note)


def _draw(axes: object, place: int, trained: Trained, colour: str, first: bool) -> None:
    val, n = trained.val, len(trained.val)
    low, high = t_interval(float(val.mean()), standard_error(float(val.std(ddof=1)), n), n, 0.95)
    plot = axes.plot  # type: ignore[attr-defined]
    plot(
        val, np.full(n, place - 0.22), "|", ms=7, color=colour, alpha=0.6, label="one seed" if first else None
    )
    plot(
        [low, min(high, 1.0)],
        [place, place],
        "-",
        lw=3,
        color=colour,
        label="95 % interval" if first else None,
    )
    plot(val.mean(), place, "o", ms=6.5, mfc="white", mec=colour, mew=1.6, label="mean" if first else None)
    plot(trained.test.mean(), place + 0.2, "x", ms=5, color=colour, label="test AUC, mean" if first else None)
