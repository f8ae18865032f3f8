"""Match stage: finds images that show a part of a benchmark image, by their keypoints."""
