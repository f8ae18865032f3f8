"""Filters, contamination, duplicates, balance and splits. Pure functions of tables."""

from curate.stages.select.balance import Balance, FrequencyBins, balance, share_out, shortage
from curate.stages.select.duplicates import Clusters, find_clusters
from curate.stages.select.pins import Pins, read_pins
from curate.stages.select.selection import Selection, needed_columns, select
from curate.stages.select.shopping_list import shopping_csv

__all__ = [
    "Balance",
    "Clusters",
    "FrequencyBins",
    "Pins",
    "Selection",
    "balance",
    "find_clusters",
    "needed_columns",
    "read_pins",
    "select",
    "share_out",
    "shopping_csv",
    "shortage",
]
