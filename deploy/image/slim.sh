#!/bin/bash
# Slims the environment /opt/tilewatch and compiles its Python files. Every line says what goes and why nobody misses it; the
# tests then run the image as it is, so that what somebody does miss is found there.
set -euo pipefail
cd /opt/tilewatch/lib/python3.*/site-packages

# OpenVINO (not in every image): the engine opens the CPU plugin, and reads ONNX and OpenVINO's own format.
rm -rf openvino/{include,cmake} openvino/libs/{cache.json,libopenvino_c.so*} \
  openvino/libs/libopenvino_{intel_gpu,intel_npu,auto,auto_batch,hetero}_plugin.so \
  openvino/libs/libopenvino_{tensorflow,tensorflow_lite,pytorch,paddle,jax,gguf}_frontend.so*
# ONNX Runtime: what nothing here calls. (`tilewatch model build` and `quantize` call its other rooms.)
rm -rf onnxruntime/{backend,datasets,tools}
# Of its tools for transformers, all but the conversion to half precision, and what that and quantising import.
find onnxruntime/transformers -mindepth 1 -maxdepth 1 ! -name __init__.py ! -name float16.py ! -name fusion_utils.py \
  ! -name onnx_model.py ! -name onnx_utils.py -exec rm -rf {} +
# ONNX: what backends are tested with, and operators written in Python.
rm -rf onnx/backend/test onnx/test onnx/reference/ops
# OpenCV: trained cascades.
rm -f cv2/data/*.xml
# NumPy: builds Fortran modules.
rm -rf numpy/{distutils,f2py}
# Packages' own tests; headers, sources, static libraries and type stubs: nothing of it runs.
find . -type d -name tests -prune -exec rm -rf {} +
find . -type f -regex '.*\.\(pyi\|pyx\|pxd\|h\|hpp\|c\|cpp\|cc\|in\|a\|lib\)' -delete
# Symbol tables of the packages' modules. The libraries beside them (*.libs) were relinked by their packagers and stay.
find . -type f -name '*.so' ! -path '*.libs/*' ! -path './openvino/libs/*' -exec strip --strip-unneeded {} +
# What came with the environment to install things, and the packages' own commands.
rm -rf pip pip-* setuptools setuptools-* pkg_resources _distutils_hack distutils-precedence.pth
find /opt/tilewatch/bin -type f ! -name "python*" -delete
# The root is read-only: Python's compiled files are made here, and are not held against their sources at every start.
/opt/tilewatch/bin/python -m compileall -q --invalidation-mode unchecked-hash .
