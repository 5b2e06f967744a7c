"""Words for figures: what a reader who cannot see a figure is told of it, taken from the figure's own labels.

Jupyter keeps them in the output's metadata, `image/png` -> `alt`; `qnb.runs.html` writes them into the page.
"""

from typing import Any


def describe(figure: Any) -> str:
    """A matplotlib Figure in words: per panel its title, what is drawn against what, and the legend.

    Then the note at the foot.
    """
    panels = [_panel(axes) for axes in figure.axes]
    return " ".join(
        f"{part.rstrip('.')}." for part in (figure.get_suptitle(), *panels, figure.get_supxlabel()) if part
    )


def _panel(axes: Any) -> str:
    labels = [] if not axes.axison else [axes.get_ylabel(), axes.get_xlabel()]
    drawn = " against ".join(label for label in labels if label)
    legend = axes.get_legend()
    names = [text.get_text() for text in legend.get_texts()] if legend is not None else []
    text = ": ".join(part for part in (axes.get_title(), drawn) if part)
    shown = text + (f" ({'; '.join(names)})" if names else "")
    return " ".join(shown.split())


def install(shell: Any) -> None:
    """Let the IPython `shell` keep `describe(figure)` with every matplotlib figure that it shows, whatever
    draws the image.
    """
    shell.display_formatter.mimebundle_formatter.for_type_by_name("matplotlib.figure", "Figure", _metadata)


def _metadata(figure: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return {}, {"image/png": {"alt": describe(figure)}}
