"""Candidates: URLs of lists, image folders and img2dataset outputs, as tables in shards."""

from curate.stages.candidates.reader import CandidateReader
from curate.stages.candidates.urls import candidate_id, normalise_url
