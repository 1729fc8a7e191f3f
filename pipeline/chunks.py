"""Prompts as the text encoder reads them: texts of 77 tokens, and a weight for each token.

Source: AUTOMATIC1111's stable-diffusion-webui 1.10: ``sd_hijack_clip.tokenize_line`` with its
default ``comma_padding_backtrack``, and the emphasis mode *No norm*. Its default mode divides by
the mean of the embedding, which in some text encoders is nearly zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from pipeline import prompt
from pipeline.samplers import Array
from pipeline.topology import MAX_CHUNKS

COMMA_BACKTRACK = 20
"""A full chunk ends at its last comma if no more tokens than these follow it."""

Token = tuple[int, float]
"""An id and its weight."""


@dataclass(frozen=True)
class Chunks:
    """Texts of one length, as many for each prompt."""

    input_ids: npt.NDArray[np.int64]
    """``[prompts * chunks, 77]``, those of the first prompt first."""
    token_weights: npt.NDArray[np.float32]
    """The same shape."""
    dropped_tokens: npt.NDArray[np.int32]
    """``[prompts, 1]``, how many did not fit."""


class PromptTokenizer:
    """Splits prompts into chunks.

    Args:
        tokenizer: as the exporter wrote it, padding and cutting to the context length.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._empty = tokenizer.encode("").ids
        self._length = len(self._empty) - 2
        self._comma = tokenizer.token_to_id(",</w>")
        self._whole = Tokenizer.from_str(tokenizer.to_str())
        self._whole.no_truncation()
        self._whole.no_padding()

    def split(self, texts: list[str], syntax: str) -> Chunks:
        """Each of `texts` in as many chunks as the longest needs, :data:`MAX_CHUNKS` at most.

        Raises:
            InvalidRequest: as :func:`pipeline.prompt.parse`.
        """
        found = [self._plain(text) if syntax == "plain" else self._weighted(text) for text in texts]
        limit = 1 if syntax == "plain" else MAX_CHUNKS
        count = min(limit, max(len(chunks) for chunks in found))
        shape = (len(texts), count, len(self._empty))
        ids, weights = np.full(shape, self._empty, np.int64), np.ones(shape, np.float32)
        for row, chunks in enumerate(found):
            for index, chunk in enumerate(chunks[:count]):
                used = slice(1, len(chunk) + 1)
                ids[row, index, used] = [token for token, _ in chunk]
                # What follows the text begins with its end, and padding differs from it in some.
                ids[row, index, len(chunk) + 1] = self._empty[1]
                weights[row, index, used] = [weight for _, weight in chunk]
        dropped = [[sum(map(len, chunks[count:]))] for chunks in found]
        return Chunks(
            ids.reshape(-1, shape[2]),
            weights.reshape(-1, shape[2]),
            np.array(dropped, np.int32),
        )

    def _tokens(self, text: str, weight: float = 1.0) -> list[Token]:
        ids = self._whole.encode(text, add_special_tokens=False).ids
        return [(token, weight) for token in ids]

    def _plain(self, text: str) -> list[list[Token]]:
        tokens = self._tokens(text)
        return [tokens[: self._length], tokens[self._length :]]

    def _weighted(self, text: str) -> list[list[Token]]:
        return [
            chunk
            for section in prompt.parse("prompt", text)
            for chunk in self._filled([one for part in section for one in self._tokens(*part)])
        ]

    def _filled(self, tokens: list[Token]) -> list[list[Token]]:
        """`tokens` in chunks; one that is full ends at a comma near its end."""
        chunks = []
        while len(tokens) > self._length:
            end = self._length
            if tokens[end][0] != self._comma:
                near = range(end - 1, end - 1 - COMMA_BACKTRACK, -1)
                end = next((at + 1 for at in near if tokens[at][0] == self._comma), end)
            chunks.append(tokens[:end])
            tokens = tokens[end:]
        return [*chunks, tokens]


def joined(prompt_embeds: Array, token_weights: Array, prompts: int) -> Array:
    """Chunks one behind the other, each token's embedding times its weight.

    Args:
        prompt_embeds: ``[prompts * chunks, 77, d]``.
        token_weights: ``[prompts * chunks, 77]``.

    Returns:
        ``[prompts, chunks * 77, d]``.
    """
    weighted: Array = prompt_embeds * token_weights[..., None]
    return weighted.reshape(prompts, -1, prompt_embeds.shape[-1])
