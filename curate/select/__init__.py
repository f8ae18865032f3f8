"""Filters, contamination, duplicates, balance and splits. Pure functions of tables."""

from curate.select.balance import Balance, FrequencyBins, balance, share_out, shortage
from curate.select.contamination import Benchmarks
from curate.select.duplicates import Clusters, find_clusters
from curate.select.filters import rejections
from curate.select.pins import Pins, read_pins
from curate.select.selection import Selection, needed_columns, select
from curate.select.shopping import shopping_csv

__all__ = [
    "Balance",
    "Benchmarks",
    "Clusters",
    "FrequencyBins",
    "Pins",
    "Selection",
    "balance",
    "find_clusters",
    "needed_columns",
    "read_pins",
    "rejections",
    "select",
    "share_out",
    "shopping_csv",
    "shortage",
]
