"""The segmentation head, the clusters, and the Segmenter that combines them with a backbone."""
