"""Filters, contamination, duplicates, balance and splits. Pure functions of tables."""

from curate.select.balance import Balance, FrequencyBins, balance, share_out
from curate.select.contamination import Benchmarks
from curate.select.duplicates import Clusters, find_clusters
from curate.select.filters import rejections
from curate.select.selection import Selection, needed_columns, select

__all__ = [
    "Balance",
    "Benchmarks",
    "Clusters",
    "FrequencyBins",
    "Selection",
    "balance",
    "find_clusters",
    "needed_columns",
    "rejections",
    "select",
    "share_out",
]
