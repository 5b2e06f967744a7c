"""Alternative text of figures, for readers who cannot see them, made from the figure's own labels.

Jupyter keeps it in the output's metadata, `image/png` -> `alt`; `qnb.runs.html` writes it into the page.
"""

from typing import Any


def describe(figure: Any) -> str:
    """A matplotlib Figure in words: its title; of each panel the title, axis labels and legend; its note."""
    panels = [_panel(axes) for axes in figure.axes]
    return " ".join(
        f"{part.rstrip('.')}." for part in (figure.get_suptitle(), *panels, figure.get_supxlabel()) if part
    )


def _panel(axes: Any) -> str:
    labels = [] if not axes.axison else [axes.get_ylabel(), axes.get_xlabel()]
    relation = " against ".join(label for label in labels if label)
    legend = axes.get_legend()
    names = [text.get_text() for text in legend.get_texts()] if legend is not None else []
    text = ": ".join(part for part in (axes.get_title(), relation) if part)
    description = text + (f" ({'; '.join(names)})" if names else "")
    return " ".join(description.split())


def install(shell: Any) -> None:
    """Make the IPython `shell` store `describe(figure)` with every matplotlib figure that it displays."""
    shell.display_formatter.mimebundle_formatter.for_type_by_name("matplotlib.figure", "Figure", _metadata)


def _metadata(figure: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return {}, {"image/png": {"alt": describe(figure)}}
