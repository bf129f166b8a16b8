"""Finding, checking, cropping and resizing images, labels and depth maps."""
