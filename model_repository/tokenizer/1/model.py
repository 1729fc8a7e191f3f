"""Text to CLIP token ids, padded and cut to 77, and how many were cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from pipeline import triton, wire


class TritonPythonModel:
    """Triton's interface to the pack's tokenizer."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load ``tokenizer.json``, which the exporter wrote with padding and truncation set."""
        triton.read_json(args, "tokenizer.json")
        path = triton.version_folder(args) / "tokenizer.json"
        self.tokenizer = Tokenizer.from_file(str(path))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request on its own."""
        return triton.answer_each("tokenizer", requests, self.tokenize)

    def tokenize(self, inputs: triton.Arrays) -> dict[str, Any]:
        """``text [rows, 1]`` to ``input_ids [rows, 77]`` and ``dropped_tokens [rows, 1]``."""
        texts = [wire.text("text", raw) for raw in inputs["text"].reshape(-1)]
        encodings = self.tokenizer.encode_batch(texts)
        return {
            "input_ids": np.array([encoding.ids for encoding in encodings]),
            "dropped_tokens": np.array([[_dropped(encoding)] for encoding in encodings]),
        }


def _dropped(encoding: Encoding) -> int:
    """Tokens that did not fit; the special ones repeat in every piece that was cut off."""
    return sum(piece.special_tokens_mask.count(0) for piece in encoding.overflowing)
