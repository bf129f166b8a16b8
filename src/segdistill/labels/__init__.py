"""Labels of images: which numbers and colours are which classes."""
