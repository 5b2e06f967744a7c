"""The order of the interventions, and the findings from them.

1. Reproduce (`qnb.studies.diagnosis.reproduce`). A wrong gradient is replaced first: retraining on it would
   say nothing about the rest.
2. Train without changes; then with one component after another at its reference; then with all of them.
3. Of the changes that heal, the one that restores most is to blame, then the one that restores more on top
   of it. If none heals alone but all together do, pairs are tried: the best one with each of the others.
4. If all together restore nothing, classical models on the same features tell whether there is nothing to
   learn (the data), nothing more to gain (noise), or a circuit that cannot express it.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from qnb.config import TrainConfig
from qnb.core.engine import Engine
from qnb.data.splits import SIDES
from qnb.errors import ParameterError
from qnb.probes import suspects
from qnb.probes.subject import Subject
from qnb.studies.diagnosis import data
from qnb.studies.diagnosis.components import (
    COMPONENTS,
    SHARE_OF_MORE,
    TRAINED,
    changed,
    reference_of,
)
from qnb.studies.diagnosis.decision import Gain, decide, margin
from qnb.studies.diagnosis.reproduce import Reproduction, reproduce
from qnb.studies.diagnosis.trainings import Trained, Trainings
from qnb.training.baselines import fit_baselines
from qnb.training.metrics import Row
from qnb.training.progress import still_improving
from qnb.training.state import circuit_of
from qnb.training.twin import functions_of

SEEDS, MIN_EFFECT = 5, 0.01
MORE = ("length", "circuit")


@dataclass(frozen=True)
class Finding:
    """The finding on one component.

    Attributes:
        component: a key of COMPONENTS.
        verdict: blamed | cleared | undecided.
        why: the reason in words, without figures; "" where the gain says it all.
        gain: of its reference alone; None where nothing was trained for it.
        on_top: the decisive gain, if its reference was added to other changes, which `beside` names.
    """

    component: str
    verdict: str
    why: str
    gain: Gain | None = None
    on_top: Gain | None = None
    beside: tuple[str, ...] = ()

    @property
    def decisive(self) -> Gain | None:
        """The gain that the verdict is based on; None without one."""
        return self.on_top or self.gain


@dataclass(frozen=True)
class Diagnosis:
    """The outcome of a diagnosis.

    Attributes:
        case: what was diagnosed.
        seeds, min_effect: trainings of each configuration, and the gain that would matter.
        reproduction: whether the run is reproducible.
        as_it_is, reference: trained without changes, and with every component at its reference.
        alone: by component, trained with only that one at its reference.
        findings: one for each component, in the order of `COMPONENTS`.
        blamed: names of the components to blame, the most costly first.
        checks: the interventions on the data.
        baselines: by name, the classical models on the same features: val_auc, test_auc and more.
        improving: whether the run was still improving when it stopped; None: too few evaluations to tell.
        corrected: the configuration with the blamed components corrected; None if that changes no parameter.
        healed: trained with the blamed components corrected; None if there are none.
    """

    case: Subject
    seeds: int
    min_effect: float
    reproduction: Reproduction
    as_it_is: Trained
    reference: Trained
    alone: dict[str, Trained]
    findings: tuple[Finding, ...]
    blamed: tuple[str, ...]
    checks: tuple[data.Check, ...]
    baselines: dict[str, Any]
    improving: bool | None
    corrected: TrainConfig | None
    healed: Trained | None = None

    @property
    def ceiling(self) -> tuple[str, float]:
        """The name of the best classical model on the same features, by validation AUC, and its test AUC."""
        best = max(self.baselines, key=lambda name: self.baselines[name]["val_auc"])
        return best, float(self.baselines[best]["test_auc"])


def diagnose(
    case: Subject,
    seeds: int = SEEDS,
    min_effect: float = MIN_EFFECT,
    engine: Engine | None = None,
    progress: bool = True,
) -> Diagnosis:
    """What keeps this run from learning?

    Args:
        case: from `qnb.probes.subject.finished_run`, or a configuration that never ran, with its data.
        seeds: trainings of each configuration, from the run's own seed on.
        min_effect: the gain in validation AUC that would matter.
        engine: the run's own engine, if it was made by hand.
        progress: whether to show the progress bar.

    Raises:
        ParameterError: fewer than two seeds, or a reference contradicts the configuration.
        WrongGradientError: the exact engine's own gradient is wrong.
        DataError: the table can no longer be read.
    """
    if seeds < 2:
        raise ParameterError(f"seeds={seeds}: gains are compared over two seeds at the least.")
    reproduction = reproduce(case, engine)
    own = None
    if reproduction.gradient_is_wrong:
        own = engine or case.engine()
    trainings = Trainings(case.config, case.prepared, seeds, own, progress)
    search = _Search(trainings, min_effect)
    try:
        search.run(case)
    finally:
        trainings.close()
    return _conclude(case, reproduction, search, seeds, min_effect)


class _Search:
    """The greedy search: which changes heal, and which more on top of them."""

    def __init__(self, trainings: Trainings, min_effect: float):
        self.trainings, self.min_effect = trainings, min_effect
        self.start: tuple[str, ...] = () if trainings.at_reference("gradient") else ("gradient",)
        self.candidates: list[str] = []
        self.gains: dict[str, Gain] = {}  # of each change by itself
        self.blamed: list[str] = []
        self.suspected: tuple[str, ...] = ()  # by the history, before anything is changed
        self.added: dict[str, tuple[Gain, tuple[str, ...]]] = {}  # what decided, and beside which changes

    def run(self, case: Subject) -> None:
        """All trainings, in order."""
        trainings = self.trainings
        trainings.announce(1)
        before = trainings.of(())
        self.suspected = _suspected(case, before)
        if self.start:
            trainings.announce(1)
            after = trainings.of(self.start)
            wide = margin(before.val, COMPONENTS["gradient"].share, self.min_effect)
            gains = decide(
                before.val,
                {"gradient": after.val},
                {"gradient": wide},
                {"gradient": _test_gain(before, after)},
            )
            self.gains |= gains
        base = trainings.of(self.start)
        self.candidates = [name for name in TRAINED if not self._as_the_reference(name, base)]
        trainings.announce(len(self.candidates) + (len(self.candidates) > 1))
        self.gains |= self._gains(self.start, self.candidates)
        current = list(self.start)
        best = self._best(self.gains, self.candidates)
        if best is not None:
            self._take(best, self.gains[best], current)
        self._go_on(current)

    def _as_the_reference(self, name: str, base: Trained) -> bool:
        """Whether it needs no training: it is at its reference, or the training had levelled off."""
        if self.trainings.at_reference(name):
            return True
        return name == "length" and self._levelled_off(base)

    def _levelled_off(self, base: Trained) -> bool:
        config, batches = self.trainings.config, self.trainings.batches
        changes = reference_of(config, "length", batches)
        short = changes.get("epochs", 0) > 2 * config.epochs or "early_stop_patience" in changes
        return not short and not any(still_improving(history) in (True, None) for history in base.histories)

    def _gains(self, current: tuple[str, ...], names: list[str]) -> dict[str, Gain]:
        before = self.trainings.of(current)
        after = {name: self.trainings.of((*current, name)) for name in names}
        return decide(
            before.val,
            {name: trained.val for name, trained in after.items()},
            {
                name: margin(
                    before.val, COMPONENTS[name].share, self.min_effect, suspected=name in self.suspected
                )
                for name in names
            },
            {name: _test_gain(before, trained) for name, trained in after.items()},
        )

    def _best(self, gains: dict[str, Gain], names: list[str]) -> str | None:
        """The change that heals most. More epochs or layers make up for many a fault without removing it, so
        they come after what is not more of the same.
        """
        healing = [name for name in names if gains[name].decision == "heals"]
        return max(healing, key=lambda name: (name not in MORE, gains[name].mean)) if healing else None

    def _take(self, name: str, gain: Gain, current: list[str]) -> None:
        self.added[name] = (gain, tuple(current))
        self.blamed.append(name)
        current.append(name)

    def _go_on(self, current: list[str]) -> None:
        """Add changes while all together restore more than those taken so far."""
        while left := [name for name in self.candidates if name not in current]:
            if len(left) == len(self.candidates) == 1:  # all together is that one, and it does not heal
                return
            before, whole = self.trainings.of(current), self.trainings.of((*self.start, *self.candidates))
            least = min(COMPONENTS[name].share for name in left) if self.blamed else SHARE_OF_MORE
            wide = margin(before.val, least, self.min_effect)
            (rest,) = decide(before.val, {"all": whole.val}, {"all": wide}, {"all": 0.0}).values()
            if rest.decision != "heals":
                return
            self.trainings.announce(len(left))
            if not self._add(current, left):
                return

    def _add(self, current: list[str], left: list[str]) -> bool:
        """Add the best single change, or else the best pair; whether one was added."""
        if self.blamed:  # else the singles have been tried
            gains = self._gains(tuple(current), left)
            best = self._best(gains, left)
            if best is not None:
                self._take(best, gains[best], current)
                return True
        gains = self.gains if not self.blamed else gains
        first = max(left, key=lambda name: gains[name].mean)
        others = [name for name in left if name != first]
        if not others:
            return False
        before = self.trainings.of(current)
        pairs = {name: self.trainings.of((*current, first, name)) for name in others}
        wide = margin(before.val, SHARE_OF_MORE, self.min_effect)
        pair_gains = decide(
            before.val,
            {name: trained.val for name, trained in pairs.items()},
            dict.fromkeys(pairs, wide),
            {name: _test_gain(before, trained) for name, trained in pairs.items()},
        )
        second = self._best(pair_gains, others)
        if second is None:
            return False
        beside = tuple(current)
        self.added[first] = (pair_gains[second], (*beside, second))
        self.added[second] = (pair_gains[second], (*beside, first))
        self.blamed += [first, second]
        current += [first, second]
        return True


def _suspected(case: Subject, as_it_is: Trained) -> tuple[str, ...]:
    """The components that the run's history speaks against, or that of its first seed where it never ran."""
    history = case.history if case.history is not None else pd.DataFrame(as_it_is.histories[0])
    recorded = replace(case, history=history)
    by_history = {
        "objective": suspects.examine_objective(recorded),
        "readout": suspects.examine_readout(recorded),
        "rate": suspects.examine_optimiser(recorded),
    }
    return tuple(name for name, finding in by_history.items() if finding.status == "suspected")


def _test_gain(before: Trained, after: Trained) -> float:
    return float(np.mean(after.test - before.test))


def _conclude(
    case: Subject, reproduction: Reproduction, search: _Search, seeds: int, min_effect: float
) -> Diagnosis:
    trainings = search.trainings
    as_it_is = trainings.of(())
    reference = trainings.of((*search.start, *search.candidates))
    healed = trainings.of((*search.start, *search.blamed)) if search.start or search.blamed else None
    baselines = _baselines(case, reproduction)
    circuit = float(
        max((t.val.mean() + t.test.mean()) / 2 for t in (as_it_is, reference, healed or as_it_is))
    )
    checks = data.examine(case.config, case.prepared, baselines, circuit, as_it_is.logits[0], min_effect)
    findings = tuple(_finding(name, reproduction, search, checks) for name in COMPONENTS)
    blamed = sorted(
        (f for f in findings if f.verdict == "blamed"),
        key=lambda f: -_cost(f, case, as_it_is, reproduction),
    )
    names = tuple(f.component for f in blamed)
    history: list[Row] = as_it_is.histories[0]
    if case.history is not None:
        history = [dict(row) for _, row in case.history.iterrows()]
    return Diagnosis(
        case=case,
        seeds=seeds,
        min_effect=min_effect,
        reproduction=reproduction,
        as_it_is=as_it_is,
        reference=reference,
        alone={name: trainings.of((*search.start, name)) for name in search.candidates}
        | ({"gradient": trainings.of(("gradient",))} if search.start else {}),
        findings=findings,
        blamed=names,
        checks=tuple(checks),
        baselines=baselines,
        improving=still_improving(history),
        corrected=_corrected(case.config, names, trainings.batches),
        healed=healed,
    )


def _baselines(case: Subject, reproduction: Reproduction) -> dict[str, Any]:
    """Those of the configuration, recorded where the rows are still those; and the two plain ones always."""
    recorded = {} if reproduction.status == "data" else dict(case.metrics.get("baselines") or {})
    wanted = dict.fromkeys(("logistic", "boosting", *case.config.baselines))
    missing = [name for name in wanted if name not in recorded]
    train, val, test = (case.prepared.side(name) for name in SIDES)
    functions = functions_of(circuit_of(case.config)) if "twin" in missing else None
    return recorded | fit_baselines(train, val, test, case.config.split_seed, missing, functions=functions)


def _cost(finding: Finding, case: Subject, as_it_is: Trained, reproduction: Reproduction) -> float:
    """The AUC that the fault costs, to order by; of what did not reproduce, against what was recorded."""
    gain = finding.decisive
    if gain is not None and math.isfinite(gain.mean):
        return gain.mean
    if finding.component == reproduction.status and case.metrics.get("val_auc") is not None:
        return float(as_it_is.val[0] - case.metrics["val_auc"])
    return 0.0


def _finding(
    name: str,
    reproduction: Reproduction,
    search: _Search,
    checks: list[data.Check],
) -> Finding:
    gain = search.gains.get(name)
    if name == reproduction.status:
        return Finding(name, "blamed", " ".join(reproduction.sentences), gain)
    if name == "gradient":
        return Finding(name, "cleared", reproduction.sentences[0], gain)
    if name == "data":
        against = [check.sentence for check in checks if check.against]
        verdict = "blamed" if against else "cleared"
        return Finding(name, verdict, " ".join(against or [check.sentence for check in checks]))
    if name in search.added:
        on_top, beside = search.added[name]
        alone = gain is on_top
        return Finding(name, "blamed", "", gain, None if alone else on_top, () if alone else beside)
    if name in search.candidates and gain is not None:
        verdict = "undecided" if gain.decision == "undecided" else "cleared"
        why = (
            "It heals as well, but nothing more on top of what is to blame."
            if gain.decision == "heals"
            else ""
        )
        return Finding(name, verdict, why, gain)
    if name == "length" and not search.trainings.at_reference(name):
        return Finding(name, "cleared", "The validation AUC had levelled off in every seed.")
    return Finding(name, "cleared", "It is the reference already.")


def _corrected(config: TrainConfig, blamed: tuple[str, ...], batches: int) -> TrainConfig | None:
    """The configuration with these components at their reference; None where that changes no parameter."""
    names = tuple(name for name in blamed if name != "data")
    corrected = changed(config, names, batches)
    return None if corrected == config else corrected
