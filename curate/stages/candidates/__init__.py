"""Where candidates come from: lists of URLs, folders of images, and what img2dataset left behind."""

from curate.stages.candidates.reader import CandidateReader
from curate.stages.candidates.urls import candidate_id, normalise_url

__all__ = ["CandidateReader", "candidate_id", "normalise_url"]
