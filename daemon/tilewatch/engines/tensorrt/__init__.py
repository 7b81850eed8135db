"""TensorRT on an NVIDIA device, 10 and 11 through one route: tensors by name, enumerations by name, never by number."""

from tilewatch.engines.tensorrt.engine import TensorRtEngine

__all__ = ["TensorRtEngine"]
