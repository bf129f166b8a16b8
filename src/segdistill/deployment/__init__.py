"""Export of models to ONNX and ``torch.export``, to run without segdistill."""
