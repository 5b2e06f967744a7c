"""The figures of the diagnostic notebooks: arrays or histories in, a matplotlib Figure out.

`note` describes the data, at the foot of each.
"""

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from qnb import own
from qnb.core.circuit import MEASUREMENTS
from qnb.reporting.plots import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    STYLE,
    caption,
    legend,
    new_figure,
    over,
    styled,
)

if TYPE_CHECKING:  # drawing needs no compiler
    from qnb.probes.geometry import Jacobian, Sides
    from qnb.probes.zvec import Identity

COLOURS = (ORANGE, BLUE, GREEN, PURPLE, INK)


@styled
def identity(measured: "Identity", note: str | None = None) -> Figure:
    """ds/dw_i, computed in each way, against <Z_i>: per wire for the first row, then for all rows; and the
    change of the score when w_i is changed.

    Args:
        measured: a `qnb.probes.zvec.Identity`.
    """
    figure, (bars, rows, moved) = new_figure(3, height=3.8, gridspec_kw={"width_ratios": [2, 1.1, 1]})
    wires = np.arange(measured.z.shape[1])
    width = 0.8 / len(measured.ways)
    for k, ((name, values), colour) in enumerate(zip(measured.ways.items(), COLOURS, strict=False)):
        bars.bar(
            wires + (k - (len(measured.ways) - 1) / 2) * width, values[0], width, color=colour, label=name
        )
        rows.plot(
            measured.z.ravel(),
            values.ravel(),
            "ox+."[k % 4],
            ms=9 - 2 * k,
            mfc="none",
            color=colour,
            label=name,
        )
    for wire in wires:
        bars.hlines(
            measured.z[0, wire],
            wire - 0.45,
            wire + 0.45,
            color=INK,
            lw=1.4,
            label="⟨Z_i⟩" if wire == 0 else "",
        )
    bars.axhline(0, color=MUTED, lw=0.8)
    bars.set(title="ds/dw_i for one input", xlabel="wire i", ylabel="ds/dw_i (no unit)", xticks=wires)
    low, high = bars.get_ylim()
    bars.set_ylim(low, high + 0.55 * (high - low))
    legend(bars)
    ends = [measured.z.min(), measured.z.max()]
    rows.plot(ends, ends, color=MUTED, lw=0.8)
    rows.set(title=f"All {len(measured.z)} inputs", xlabel="⟨Z_i⟩", ylabel="ds/dw_i")
    moved.bar(wires, measured.moved, color=BLUE)
    moved.set(title="The score does move", xlabel="wire i", ylabel="largest |Δs| for w_i + 0.1", xticks=wires)
    return caption(figure, note)


@styled
def revived(history: pd.DataFrame, note: str | None = None) -> Figure:
    """Gradient norm of the readout, its distance from the start, and validation AUC, by epoch.

    Args:
        history: of `qnb.training.loop.fit`.
    """
    figure, (norm, delta, auc) = new_figure(3)
    norm.plot(history["epoch"], history["grad_norm_readout"], "o-", ms=4, color=ORANGE)
    norm.set(title="Gradient norm of the readout", ylabel="‖dL/dw‖ (nats), mean over batches")
    norm.set_ylim(bottom=0)
    delta.plot(history["epoch"], history["delta_readout"], "o-", ms=4, color=BLUE)
    delta.set(title="Distance of the readout from its start", ylabel="‖w − w at the start‖")
    delta.set_ylim(bottom=0)
    auc.plot(history["epoch"], history["val_auc"], "s-", ms=4, color=GREEN)
    auc.axhline(0.5, color=MUTED, lw=0.8)
    auc.set(title="Validation AUC", ylabel="AUC")
    over((norm, delta, auc), "epoch")
    return caption(figure, note)


@styled
def sign_sweep(table: pd.DataFrame, note: str | None = None) -> Figure:
    """AUC and loss against alpha at fixed scores: a table of `qnb.probes.alpha.sweep`."""
    figure, (auc, loss) = new_figure(2)
    auc.plot(table["alpha"], table["auc"], ".-", ms=4, color=BLUE)
    auc.axhline(0.5, color=MUTED, lw=0.8)
    auc.set(title="AUC of alpha (s + bias), s fixed", ylabel="AUC", ylim=(0, 1))
    loss.plot(table["alpha"], table["loss_inside"], color=BLUE, label="bias inside: alpha (s + b)")
    loss.plot(table["alpha"], table["loss_outside"], color=ORANGE, ls="--", label="bias outside: alpha s + b")
    loss.axhline(np.log(2), color=MUTED, lw=0.8, label="log 2")
    loss.set(title="Loss, s and b fixed", ylabel="BCE (nats per row)")
    legend(loss)
    for axes in (auc, loss):
        axes.axvline(0, color=INK, lw=0.8)
        axes.set_xlabel("alpha")
    return caption(figure, note)


@styled
def sign_trainings(histories: dict[str, pd.DataFrame], note: str | None = None) -> Figure:
    """alpha, AUC and loss by step, one line per training.

    Args:
        histories: by name, those of `qnb.probes.descent.Descent`.
    """
    figure, (alpha, auc, loss) = new_figure(3, height=4.4)
    for (name, h), colour, style in zip(histories.items(), COLOURS, ("-", "-", "-", "--"), strict=False):
        alpha.plot(h["step"], h["alpha"], style, color=colour, label=name)
        auc.plot(h["step"], h["auc"], style, color=colour, label=name)
        loss.plot(h["step"], h["bce"], style, color=colour, label=name)
        if (h["alpha"] < 0).any():
            auc.plot(h["step"], h["auc_s"], ":", lw=1, color=colour, label=f"{name}: of s alone")
    alpha.axhline(0, color=INK, lw=0.8)
    auc.axhline(0.5, color=INK, lw=0.8)
    loss.axhline(np.log(2), color=MUTED, lw=0.8, ls=":")
    alpha.set(title="alpha", ylabel="alpha")
    auc.set(title="AUC of the logits", ylabel="AUC, watched validation rows", ylim=(0, 1))
    loss.set(title="Loss (dotted: log 2)", ylabel="BCE (nats per row)")
    over((alpha, auc, loss), "step")
    handles, labels = auc.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncol=3, fontsize=8)
    return caption(figure, note)


@styled
def focal_curves(
    logits: np.ndarray,
    curves: dict[float, dict[str, np.ndarray]],
    zero: pd.DataFrame,
    note: str | None = None,
) -> Figure:
    """Loss and its slope against the logit for several gamma, and the attenuation of the slope at l = 0.

    Args:
        logits: (K,).
        curves: from `qnb.probes.focal.curves` on the same logits.
        zero: a table of `qnb.probes.focal.at_zero`; its attenuation is drawn over its gammas.
    """
    figure, (loss, slope, fraction) = new_figure(3, height=3.8)
    for (gamma, c), colour in zip(curves.items(), COLOURS, strict=False):
        loss.plot(
            logits, c["loss1"], color=colour, label=f"gamma = {gamma:g}" + (" (BCE)" if gamma == 0 else "")
        )
        loss.plot(logits, c["loss0"], color=colour, ls=":")
        slope.plot(logits, c["slope1"], color=colour, label=f"gamma = {gamma:g}")
        slope.plot(logits, c["slope0"], color=colour, ls=":")
    loss.set(title="Loss (solid y = 1, dotted y = 0)", xlabel="logit l", ylabel="loss (nats)", ylim=(0, 6.5))
    slope.set(title="Slope", xlabel="logit l", ylabel="|dL/dl| (nats per unit of logit)")
    fraction.plot(
        zero["gamma"],
        zero["|slope|, closed form"] / zero["|slope|, closed form"].iloc[0],
        color=BLUE,
        label="closed form",
    )
    fraction.plot(zero["gamma"], zero["attenuation"], "o", ms=4, mfc="none", color=ORANGE, label="autodiff")
    fraction.set(
        title="Slope at l = 0, beside BCE's",
        xlabel="gamma",
        ylabel="|dL/dl| / |dBCE/dl| at l = 0",
        ylim=(0, 1.05),
    )
    legend(loss)
    legend(fraction)
    for axes in (loss, slope):
        axes.axvline(0, color=MUTED, lw=0.8)
    return caption(figure, note)


@styled
def plateau(
    histories: dict[tuple[str, float], pd.DataFrame],
    left: dict[tuple[str, float], int | None],
    note: str | None = None,
) -> Figure:
    """Objective, BCE of the logits and AUC by step, for each optimiser and gamma.

    Args:
        histories: by (optimiser, gamma), those of `qnb.probes.descent.Descent`.
        left: by the same keys, the step at which the plateau was left, or None.
    """
    figure, (objective, bce, auc) = new_figure(3, height=4.4)
    colours = dict(zip(dict.fromkeys(name for name, _ in histories), (BLUE, ORANGE), strict=False))
    for (name, gamma), h in histories.items():
        style: dict[str, Any] = {
            "color": colours[name],
            "ls": "--" if gamma else "-",
            "label": f"{name}, gamma = {gamma:g}",
        }
        objective.plot(h["step"], h["loss"], **style)
        bce.plot(h["step"], h["bce"], **style)
        auc.plot(h["step"], h["auc"], **style)
        step = left[name, gamma]
        if step is not None:
            bce.plot(step, h["bce"].iloc[step], "o", color=colours[name], mfc="white" if gamma else None)
    for gamma in sorted({gamma for _, gamma in histories}):
        value = 2**-gamma * np.log(2)
        objective.axhline(value, color=MUTED, lw=0.8)
        objective.text(0, value, f"{value:.4f}", fontsize=8, color=INK, va="bottom")
    bce.axhline(np.log(2), color=MUTED, lw=0.8)
    objective.set(
        title="Objective (lines: its value at l = 0)", ylabel="objective (nats per row)", ylim=(0, None)
    )
    bce.set(title="BCE of the logits (dots: plateau left)", ylabel="BCE (nats per row)")
    auc.set(title="AUC", ylabel="AUC, watched validation rows")
    over((objective, bce, auc), "step")
    figure.legend(*objective.get_legend_handles_labels(), loc="outside upper center", ncol=4, fontsize=8)
    return caption(figure, note)


@styled
def score_ranges(trained: dict[str, "Sides"], note: str | None = None) -> Figure:
    """Histograms of s (top) and l (bottom) per measurement, before and after training.

    Args:
        trained: from `qnb.probes.geometry.trainings`.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, len(trained), figsize=(11, 5.2), sharey="row")
    plt.close(figure)
    for column, (measurement, sides) in enumerate(trained.items()):
        start, end = sides["start"], sides["end"]
        for row, (name, *arrays) in enumerate(
            (("score s", start["s"], end["s"]), ("logit l", start["l"], end["l"]))
        ):
            panel = axes[row, column]
            bins = np.linspace(np.min(arrays), np.max(arrays), 40)
            for values, colour, label in zip(
                arrays, (MUTED, ORANGE), ("at the start", "after training"), strict=True
            ):
                panel.hist(values, bins, color=colour, alpha=0.6, label=label)
            panel.set(xlabel=f"{name} (no unit)", title=own.place(measurement) if row == 0 else None)
            if row == 0 and measurement in MEASUREMENTS and measurement != "z_vec":
                panel.set_xlim(-1.05, 1.05)
    for row in (0, 1):
        axes[row, 0].set_ylabel("watched rows per bin")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncol=2, fontsize=8)
    return caption(figure, note)


@styled
def shots(curves: dict[str, pd.DataFrame], margin: float, note: str | None = None) -> Figure:
    """AUC against shots per circuit with its 95 % interval over draws, and the band within `margin` of the
    exact AUC; one panel per measurement.

    Args:
        curves: from `qnb.probes.shots.survey`.
    """
    figure, panels = new_figure(len(curves), height=3.4, sharey=True)
    for axes, (measurement, curve) in zip(panels, curves.items(), strict=True):
        exact = curve["exact"].iloc[0]
        axes.axhspan(exact - margin, exact + margin, color=GREEN, alpha=0.2, label=f"exact ± {margin:g}")
        axes.fill_between(curve["shots"], curve["low"], curve["high"], color=BLUE, alpha=0.25)
        axes.plot(curve["shots"], curve["auc"], "o-", color=BLUE, markersize=3, label="estimated from shots")
        axes.set(xscale="log", xlabel="shots per circuit", title=own.place(measurement))
    panels[0].set_ylabel("AUC on watched rows")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncol=2, fontsize=8)
    return caption(figure, note)


@styled
def spectra(jacobians: dict[tuple[str, str], "Jacobian"], note: str | None = None) -> Figure:
    """Singular values of the Jacobian of the scores, per measurement: all parameters, and the readout alone.

    One panel per ansatz.

    Args:
        jacobians: by (measurement, ansatz).
    """
    ansatze = list(dict.fromkeys(ansatz for _, ansatz in jacobians))
    figure, panels = new_figure(len(ansatze), height=3.8, sharey=True)
    floor = 1e-18
    for axes, ansatz in zip(panels, ansatze, strict=True):
        for (measurement, panel_ansatz), colour in zip(
            [k for k in jacobians if k[1] == ansatz], COLOURS, strict=False
        ):
            j = jacobians[measurement, panel_ansatz]
            for part, style, name in ((j, "o-", "all"), (j.part("readout"), "x:", "readout")):
                if name == "readout" and part.rank == 0:
                    continue
                s = np.maximum(part.singular_values, floor)
                axes.semilogy(
                    np.arange(1, len(s) + 1),
                    s,
                    style,
                    ms=4,
                    lw=0.8,
                    color=colour,
                    label=f"{own.place(measurement)}, {name}: rank {part.rank}",
                )
        axes.set(
            title=own.place(ansatz), xlabel="index", ylabel="singular value of ds/dp", ylim=(floor / 5, None)
        )
        legend(axes)
    return caption(figure, note)


@styled
def gradient_variances(table: pd.DataFrame, decays: dict[str, pd.Series], note: str | None = None) -> Figure:
    """Variance of ds/dp against wires, for each observable and number of layers.

    Args:
        table: from `qnb.probes.barren.variances`.
        decays: by observable, the fitted bits per wire by layers, see `qnb.probes.barren.decay`.
    """
    figure, panels = new_figure(3, height=3.8, sharey=True)
    titles = {
        "z0": "⟨Z_0⟩ (local)",
        "mean_z": "mean ⟨Z_i⟩ (bits: without its 1/n²)",
        "global": "⟨Z⊗…⊗Z⟩ (global)",
    }
    for axes, (name, bits) in zip(panels, decays.items(), strict=True):
        for (layers, rows), colour in zip(table.groupby("layers"), COLOURS, strict=False):
            axes.semilogy(
                rows["wires"],
                rows[name],
                "o-",
                ms=4,
                color=colour,
                label=f"{layers} layers: {bits[layers]:.2f} bits per wire",
            )
        wires = np.array(sorted(table["wires"].unique()))
        axes.semilogy(wires, 0.4 * 2.0 ** -(wires - wires[0]), ":", color=MUTED, label="1 bit per wire")
        axes.set(title=titles[name], xlabel="wires", ylabel="variance of ds/dp")
        legend(axes)
    return caption(figure, note)
