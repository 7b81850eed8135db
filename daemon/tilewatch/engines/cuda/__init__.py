"""NVIDIA's device from Python: memory, streams, graphs and our kernels, over cuda-python (`cuda.bindings`).

Works with cuda-python 12.6 (JetPack 6) to 13, which agree on every call used here. Whatever they do not agree on is in
`binding`, which also checks every call.

The GIL. From 12.9 on cuda.bindings let go of it in every call. 12.6 lets go of it only in calls that name a stream or
memory and may take long (cudaStreamSynchronize, cudaMemcpyAsync, cudaMalloc); it keeps it in cudaEventSynchronize,
cudaGraphLaunch and the whole driver API. So results are waited for with cudaStreamSynchronize and never through an
event, and a wait sleeps instead of spinning (see device.use). TensorRT lets go of it in execute_async_v3 and
deserialize_cuda_engine.

Every class here owns what it made, frees it in `close`, and may be closed twice.
"""
