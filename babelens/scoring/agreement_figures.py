"""Agreement from counts of labels: Cohen's kappa, Krippendorff's alpha and F1, each for many draws at once.

Where a figure is not defined it is NaN here (and None in `agreement`): nothing was compared, or everyone gave one and
the same label throughout, so that chance alone agrees in full.

**Words.** Most words are O, and two annotators agree on most of them; so kappa is told over three sets of words, and
the set is part of its name:

- all words;
- *any*: the words that at least one of the two labels, that is, without those that both call O ("kappa without O" of
  most papers). Their agreement by chance is that of a table with an empty corner, so it can be below 0 for annotators
  who agree on much;
- *both*: the words that both label: whether they agree on the tag or type of what they agree to be a name.

Some write "tokens that at least one labels" for the second set and some "without O" for the third: say which it is.

**Spans.** Kappa asks how often two would agree by chance over the cases that both have judged. For spans there is no
such set: whoever reads a sentence of n words does not judge each of its n (n + 1) / 2 sequences of words. Kappa over
spans here takes as cases the spans that at least one of the two marks, with the type or "none" as label. So "none"
against "none" never occurs, and the figure is low wherever many spans are marked by one of the two alone, however well
they agree on what is no entity; with a single type it cannot be above 0. The more sequences of words are counted as
"none" by both, the nearer kappa comes to F1 (Hripcsak and Rothschild, 2005): F1 between annotators, which needs no such
cases and does not hang on who is taken for gold, is the figure for spans.

**Several pairs.** Kappa over more than one pair of annotators is 1 less the disagreements of all pairs over those
expected by chance, each pair with its own margins. That is the mean of the pairs' kappas, weighted by the disagreements
that chance would give each: pairs with many words in common count for more, and a pair whose kappa is not defined
for nothing. F1 adds up the spans of all pairs.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from babelens.scoring.agreement_counts import OUTSIDE

Kept = Literal["all", "any", "both"]
Sums = Float[np.ndarray, "draw layer label label"]
Figures = Float[np.ndarray, " draw"]


def keep(sums: Sums, kept: Kept) -> Sums:
    """The cases of the set: all, those that at least one labels, or those that both label."""
    found = sums.copy()
    if kept == "any":
        found[:, :, OUTSIDE, OUTSIDE] = 0
    elif kept == "both":
        found[:, :, OUTSIDE, :] = 0
        found[:, :, :, OUTSIDE] = 0
    return found


def merge(sums: Sums, groups: Sequence[int]) -> Float[np.ndarray, "draw layer group group"]:
    """The counts with labels made one: label k becomes label `groups[k]`."""
    target = np.zeros((len(groups), max(groups) + 1))
    target[np.arange(len(groups)), groups] = 1
    return target.T @ sums @ target


def kappa(sums: Sums) -> Figures:
    """Cohen's kappa (1960): 1 less the disagreements over those expected by chance, both added up over the layers."""
    total = sums.sum(axis=(2, 3))
    observed = total - np.trace(sums, axis1=2, axis2=3)
    # Label by label, for a total less itself is 0 to the last digit where both give one and the same label throughout.
    expected = (sums.sum(axis=3) * (total[:, :, None] - sums.sum(axis=2))).sum(axis=2)
    expected = _ratio(expected, total, 0.0)
    return 1 - _ratio(observed.sum(axis=1), expected.sum(axis=1))


def alpha(sums: Sums) -> Figures:
    """Krippendorff's alpha for nominal labels (2019, 12.3.1) of coincidences, those of all layers added up."""
    pooled = sums.sum(axis=1)
    margins = pooled.sum(axis=2)
    total = margins.sum(axis=1)
    observed = total - np.trace(pooled, axis1=1, axis2=2)
    # As above: 0 where a single label occurs, whatever was rounded in its sum.
    expected = (margins * (total[:, None] - margins)).sum(axis=1)
    return 1 - _ratio((total - 1) * observed, expected)


def f1(sums: Sums) -> Figures:
    """F1 of spans with their types, per cent: twice the spans that both mark alike over the spans of one and other."""
    pooled = sums.sum(axis=1)
    alike = np.trace(pooled, axis1=1, axis2=2) - pooled[:, OUTSIDE, OUTSIDE]
    return 100 * _ratio(2 * alike, _marked(pooled))


def f1_spans(sums: Sums) -> Figures:
    """F1 of spans whatever their types, per cent."""
    pooled = sums.sum(axis=1)
    return 100 * _ratio(2 * pooled[:, 1:, 1:].sum(axis=(1, 2)), _marked(pooled))


def _marked(pooled: Float[np.ndarray, "draw label label"]) -> Figures:
    """The spans of the one annotator and those of the other, added up."""
    return pooled[:, 1:, :].sum(axis=(1, 2)) + pooled[:, :, 1:].sum(axis=(1, 2))


def _ratio(part: np.ndarray, whole: np.ndarray, undefined: float = np.nan) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, undefined), where=whole != 0)
