"""The segmentation head, the clusters, and the Segmenter that joins them to a backbone."""
