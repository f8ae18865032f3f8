"""Subsets that differ in one aspect each, to train on: the HQ-50K paper's Table 9 and Figure 2.

pool        rows that a subset can be chosen from
choice      chosen subsets, by an integer programme (curate.stages.select.subset)
copies      copies with fewer pixels, or fewer bits for each
manifests   both as manifests
subsets     the subsets of an ablation
summary     their statistics beside the paper's
"""

from curate.datasets.ablation.subsets import Ablation, ablate
from curate.datasets.ablation.summary import Subset

__all__ = ["Ablation", "Subset", "ablate"]
