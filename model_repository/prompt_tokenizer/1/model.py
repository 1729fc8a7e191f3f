"""Prompts to chunks of CLIP token ids, each token with its weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pipeline import triton, wire
from pipeline.chunks import PromptTokenizer


class TritonPythonModel:
    """Triton's interface to ``chunks.PromptTokenizer``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load ``tokenizer.json``, which the exporter wrote for the model ``tokenizer``."""
        own = Path(args["model_repository"])
        args = {**args, "model_repository": str(own.with_name("tokenizer"))}
        triton.read_json(args, "tokenizer.json")
        path = triton.version_folder(args) / "tokenizer.json"
        self.tokenizer = PromptTokenizer(Tokenizer.from_file(str(path)))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request on its own."""
        return triton.answer_each("prompt_tokenizer", requests, self.split)

    def split(self, inputs: triton.Arrays) -> dict[str, Any]:
        """``texts [prompts, 1]`` to ids and weights ``[prompts * chunks, 77]``."""
        texts = [wire.text("texts", raw) for raw in inputs["texts"].reshape(-1)]
        return vars(self.tokenizer.split(texts, inputs["prompt_syntax"][0].decode()))
