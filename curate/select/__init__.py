"""Filters, duplicates, balance and splits. Pure functions of tables."""

from curate.select.balance import Balance, FrequencyBins, balance, share_out
from curate.select.filters import rejections
from curate.select.selection import Selection, needed_columns, select

__all__ = ["Balance", "FrequencyBins", "Selection", "balance", "needed_columns", "rejections", "select", "share_out"]
