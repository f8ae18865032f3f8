"""Finding images of a run by their cached embeddings: like a text, or like another image."""

from curate.pipeline.finding.matches import Found, Match, find
