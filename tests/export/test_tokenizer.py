"""The tokenizer.json that is served against transformers' CLIPTokenizer."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from transformers import CLIPTokenizer

TEXTS = (
    "",
    "a house",
    "Futuristic NEON city, at night!!",
    "l'été à Sète — façade n° 12",
    "日本の家 🏠",
    "it's   spaced\tout\n",
    "<|endoftext|> inside",
    "word " * 200,
)


@pytest.fixture(scope="module")
def served(pack):
    return Tokenizer.from_str(pack.tokenizer_json())


@pytest.mark.parametrize("text", TEXTS)
def test_equals_transformers(pack, served, text):
    reference = CLIPTokenizer.from_pretrained(pack.folder / "tokenizer")
    expected = reference(text, padding="max_length", max_length=77, truncation=True).input_ids
    assert served.encode(text).ids == expected


def test_tells_how_many_tokens_did_not_fit(pack, served):
    reference = CLIPTokenizer.from_pretrained(pack.folder / "tokenizer")
    for text in TEXTS:
        everything = len(reference(text, add_special_tokens=False).input_ids)
        overflowing = served.encode(text).overflowing
        dropped = sum(piece.special_tokens_mask.count(0) for piece in overflowing)
        assert dropped == max(0, everything - 75), text


def test_always_fills_the_context(served):
    assert {len(encoding.ids) for encoding in served.encode_batch(list(TEXTS))} == {77}
