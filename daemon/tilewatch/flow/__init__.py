"""Moving items through stages: knows nothing of video, numpy or CUDA."""
