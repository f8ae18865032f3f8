"""Review of images by eye: a local web app, and what stands behind it."""
