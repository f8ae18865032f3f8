"""Stages of a run: one room for each, and the chain that a recipe makes of them."""
