"""What changed between two evaluations, and whether it is more than chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.errors import MienError
from mien.evaluate.catalogue import CATALOGUE
from mien.evaluate.results import Results
from mien.evaluate.statistics import Estimate, estimate
from mien.evaluate.tables import aligned


@dataclass(frozen=True)
class Change:
    """One metric of one protocol, over the cases that both evaluations have.

    Args:
        protocol: its name.
        metric: its name.
        before: mean of the first evaluation.
        after: mean of the second.
        gain: mean improvement per case, with its interval: above 0 is better.
    """

    protocol: str
    metric: str
    before: float
    after: float
    gain: Estimate

    @property
    def verdict(self) -> str:
        """*better* or *worse* if the interval leaves out 0, else *within noise*."""
        if self.gain.low > 0:
            return "better"
        return "worse" if self.gain.high < 0 else "within noise"


def compare(before: Results, after: Results) -> list[Change]:
    """Every metric that both have, paired case by case.

    *features* counts only if both measured it with the same weights; *live* only on one machine.

    Raises:
        MienError: they have no case in common.
    """
    changes = []
    for protocol in before.protocols():
        if protocol == "live" and before.conditions.machine != after.conditions.machine:
            continue
        for metric in before.metrics(protocol):
            if metric == "features" and before.conditions.ruler != after.conditions.ruler:
                continue
            first, second = before.of(protocol, metric), after.of(protocol, metric)
            pairs = [(first[case].value, second[case].value) for case in first if case in second]
            known = [pair for pair in pairs if np.isfinite(pair).all()]
            if known:
                gain = estimate([CATALOGUE[metric].gain(*pair) for pair in known])
                means = np.mean(known, axis=0)
                changes.append(Change(protocol, metric, float(means[0]), float(means[1]), gain))
    if not changes:
        raise MienError("The two results have no case in common: measure both on the same data.")
    return changes


def comparison_table(changes: list[Change]) -> str:
    """The changes as lines of text, aligned."""
    lines = [("protocol", "metric", "before", "after", "gain", "95% interval", "cases", "")]
    for c in changes:
        interval = f"{c.gain.low:+.3f} … {c.gain.high:+.3f}"
        figures = (f"{c.before:.3f}", f"{c.after:.3f}", f"{c.gain.value:+.3f}", interval)
        lines.append((c.protocol, c.metric, *figures, str(c.gain.cases), c.verdict))
    return aligned(lines)
