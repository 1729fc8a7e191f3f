"""A small byte-level BPE tokenizer in CLIP's format, learnt from our captions."""

from __future__ import annotations

import json

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from pipeline.topology import SD15
from training.captions import captions

VOCABULARY = 2048
START, END = "<|startoftext|>", "<|endoftext|>"


def make_tokenizer() -> CLIPTokenizer:
    """CLIP's normaliser and word splitter around a vocabulary of our own."""
    merges = _learn_merges()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # CLIP's order: every byte, every byte at a word's end, the merges, the two special tokens.
    # All bytes are in, so no text is ever unknown.
    pieces = [*alphabet, *(f"{byte}</w>" for byte in alphabet), *map("".join, merges), START, END]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=SD15.context_length)


def _learn_merges() -> list[tuple[str, str]]:
    rules = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = rules.normalizer, rules.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        end_of_word_suffix="</w>",
        # The trainer meets words in no fixed order, and pieces it has not met take their ids as
        # they come; ids decide between equally frequent pairs. Met beforehand, they are fixed.
        special_tokens=[f"{byte}</w>" for byte in sorted(pre_tokenizers.ByteLevel.alphabet())],
        show_progress=False,
    )
    learner.train_from_iterator(captions(), trainer)
    learnt = json.loads(learner.to_str())["model"]["merges"]
    return [(left, right) for left, right in learnt]
