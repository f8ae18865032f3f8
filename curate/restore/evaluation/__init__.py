"""Evaluation: scores with intervals, beside the tables of the paper."""
