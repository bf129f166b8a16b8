"""From the file of an image or a video to stored numbers, to 8-bit RGB and what means nothing."""
