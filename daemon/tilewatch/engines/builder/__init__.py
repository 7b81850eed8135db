"""From an ONNX file to what a device runs: precision put into the graph, then TensorRT's engine."""
