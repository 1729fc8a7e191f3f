"""A network loaded so that nothing in its files is left out or made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from export.files import PackError, and_more, read_headers


def load_network(kind: Any, folder: Path) -> Any:
    """The network of class `kind` in `folder`, in fp32.

    Raises:
        PackError: its config and its weights do not belong together.
    """
    there = read_headers(folder)
    try:
        network, told = kind.from_pretrained(
            folder,
            torch_dtype=torch.float32,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise PackError(f"{folder} cannot be loaded as {kind.__name__}: {reason}") from error
    _require_agreement(next(iter(there.values())), told)
    return network.eval()


def _require_agreement(file: Path, told: dict[str, Any]) -> None:
    """`told` is what diffusers and transformers say after loading."""
    remedy = f"Take {file.name} and config.json from the same checkpoint."
    mismatched = list(told["mismatched_keys"])
    if mismatched:
        name, found, expected = mismatched[0]
        raise PackError(
            f"{file}: {name} is {list(found)}, where config.json says {list(expected)}"
            f"{and_more(len(mismatched))}. {remedy}"
        )
    missing = sorted(told["missing_keys"])
    if missing:
        raise PackError(
            f"{file} lacks {missing[0]}, which config.json asks for{and_more(len(missing))}. "
            f"{remedy}"
        )
    unknown = sorted(told["unexpected_keys"])
    if unknown:
        raise PackError(
            f"{file} has {unknown[0]}, which config.json knows nothing of"
            f"{and_more(len(unknown))}. {remedy}"
        )
