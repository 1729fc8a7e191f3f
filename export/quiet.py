"""Keeps the libraries' own chatter out of ours."""

from __future__ import annotations

import logging
import os
import warnings


def quiet_libraries() -> None:
    """Hide the libraries' progress bars and hints; call it before they are imported.

    Nothing is fetched from a hub either: a pack is a folder.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="torch|onnxscript|diffusers")
