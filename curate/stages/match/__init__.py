"""The match stage: images held against lists of benchmark images, by keypoints."""
