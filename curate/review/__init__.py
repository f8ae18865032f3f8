"""Review of images by eye: a local web app, and what stands behind it."""

from curate.review.collection import Collection, open_collection
from curate.review.review_session import Review
from curate.review.server import serve
