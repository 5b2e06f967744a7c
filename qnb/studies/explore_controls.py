"""The interactive part of explore.ipynb: controls for one input, and a curve that grows during training."""

import base64
import html
import io
from typing import Any

import ipywidgets
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure

from qnb.runs import alt_text
from qnb.studies import explore_figures
from qnb.studies.explore import Bench, Hand, InputResult
from qnb.training.loop import OnEpoch

WIDE = ipywidgets.Layout(width="32em")
LABELS = {"description_width": "9em"}


def words(result: InputResult) -> str:
    """The result for one input in one line."""
    norms = ", ".join(f"{group} {np.linalg.norm(value):.3e}" for group, value in result.gradient.items())
    return (
        f"label {result.y:.0f}: s = {result.score:+.4f}, l = {result.logit:+.4f}, p = "
        f"{result.probability:.4f}, loss = {result.loss:.4f} nats, dloss/dl = {result.slope:+.4f}; norms of "
        f"the gradient: {norms}"
    )


def controls(bench: Bench, row: int, note: str | None = None) -> ipywidgets.VBox:
    """Controls for measurement, input, its first feature, readout, gamma and alpha, above a line of text and
    a figure that follow them.

    Args:
        row: of the validation side, shown first.
        note: describes the data, at the foot of the figure.

    Raises:
        ParameterError: there is no such row.
    """
    start = bench.start(row)
    low, high = bench.feature_range
    slider = {"style": LABELS, "layout": WIDE}
    hands = {
        "measurement": ipywidgets.Dropdown(
            options=bench.measurements, value=start.measurement, description="measurement", **slider
        ),
        "row": ipywidgets.IntSlider(
            row, 0, len(bench.prepared.y["val"]) - 1, description="input (row)", **slider
        ),
        "feature": ipywidgets.FloatSlider(
            start.feature,
            min=low,
            max=high,
            step=(high - low) / 100,
            description="its first feature",
            **slider,
        ),
        "readout": ipywidgets.FloatSlider(step=0.01, description="readout of wire 0", **slider),
        "gamma": ipywidgets.FloatSlider(start.gamma, min=0, max=10, step=0.1, description="gamma", **slider),
        "alpha": _alpha(start.alpha, bench.config.alpha_mode, slider),
    }
    line, picture, shown = ipywidgets.HTML(), ipywidgets.HTML(), list[Hand]()

    def rest(_: object = None) -> None:
        value = bench.readout_at_rest(hands["measurement"].value)
        reach = max(np.pi, 1.5 * abs(value or 0.0))
        hands["readout"].disabled = value is None
        hands["readout"].min, hands["readout"].max = -reach, reach
        hands["readout"].value = value or 0.0

    def follow(_: object = None) -> None:
        values = {name: control.value for name, control in hands.items()}
        hand = Hand(**values | {"readout": None if hands["readout"].disabled else values["readout"]})
        if hand in shown:  # one move can change two controls
            return
        result = bench.read(hand)
        line.value = f"<p>{html.escape(words(result))}</p>"
        picture.value = _image(explore_figures.reading(bench, hand, result, note))
        shown[:] = [hand]

    def other_input(change: dict[str, Any]) -> None:
        hands["feature"].value = float(bench.prepared.X["val"][change["new"], 0])

    rest()
    follow()
    hands["measurement"].observe(rest, "value")
    hands["row"].observe(other_input, "value")
    for control in hands.values():
        control.observe(follow, "value")
    return ipywidgets.VBox([*hands.values(), line, picture])


def _alpha(
    value: float, mode: str, options: dict[str, Any]
) -> ipywidgets.FloatSlider | ipywidgets.FloatLogSlider:
    """A slider that holds `value`: over powers of ten where alpha is positive, through zero where it may
    change sign.
    """
    if mode == "direct":
        reach = max(10.0, 2 * abs(value))
        return ipywidgets.FloatSlider(value, min=-reach, max=reach, step=0.01, description="alpha", **options)
    power = np.log10(value)
    ends = {"min": min(-2.0, power - 1), "max": max(2.0, power + 1)}
    return ipywidgets.FloatLogSlider(value, step=0.02, description="alpha", **ends, **options)


def _image(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    words = html.escape(alt_text.describe(figure), quote=True)
    return (
        f'<img style="max-width: 100%" alt="{words}" '
        f'src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    )


def live_curve(epochs: int, note: str | None = None) -> OnEpoch:
    """Show an empty learning curve in this cell.

    Returns:
        A callback that redraws it after every epoch: the `on_epoch` of `qnb.training.train.train`.
    """
    shown = display(explore_figures.live([], epochs, note), display_id=True)
    return lambda rows: shown.update(explore_figures.live(rows, epochs, note))
