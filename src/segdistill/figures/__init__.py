"""Charts of the pages, and figures for papers: examples, legend, IoU by class, training curves."""
