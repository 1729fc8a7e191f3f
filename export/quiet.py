"""Keeps the libraries' own chatter out of ours."""

from __future__ import annotations

import logging
import os
import warnings


def quiet_libraries() -> None:
    """Hide the libraries' progress bars and hints; call it before they are imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    for name in ("torch.onnx", "onnxruntime", "onnx_model", "shape_infer_helper", "fusion_utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="torch|onnxscript|diffusers")
