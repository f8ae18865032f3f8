"""Subsets of a dataset that differ in one aspect each, to train on: the HQ-50K paper's Table 9 and Figure 2.

pool      what can be chosen from
choice    subsets that are chosen, by an integer programme (curate.stages.select.subset)
copies    copies with fewer pixels, or fewer bits for each
writing   both as manifests
subsets   which of them make an ablation
summary   what came out, beside the paper's
"""

from curate.datasets.ablation.subsets import Ablation, ablate
from curate.datasets.ablation.summary import Subset

__all__ = ["Ablation", "Subset", "ablate"]
