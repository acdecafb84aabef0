"""Nets for other programs: one graph for images of any size, as ONNX or as a program of torch.export, and its card."""
