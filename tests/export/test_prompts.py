"""Weights and long prompts against AUTOMATIC1111's arithmetic over transformers' CLIP."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import CLIPTokenizer

from evaluation.in_torch import TorchInfer
from pipeline.chunks import PromptTokenizer, joined
from pipeline.topology import MAX_CHUNKS

LONG = ", ".join(f"a tall house number {count} of glass and brick" for count in range(14))
CASES = {
    "plain words": [("a concrete house at dusk", 1.0)],
    "weights": [("a ", 1.0), ("glass", 1.3), (" house of ", 1.0), ("brick", 1 / 1.1)],
    "long": [(LONG, 1.0)],
    "long, with weights": [(LONG, 1.0), ("night", 1.5), (LONG[:200], 0.5)],
    "break": [("a house", 1.0), None, ("night", 1.2)],
    "no commas": [("house of glass " * 40, 1.0)],
    "a comma where a chunk ends": [("house " * 75 + ", night", 1.0)],
}


def written(case):
    parts = ("BREAK" if part is None else f"({part[0]}:{part[1]})" for part in case)
    return " ".join(parts)


def chunks_of_webui(tokenizer, case):
    """``sd_hijack_clip.tokenize_line``: ids and multipliers of each chunk."""
    chunks, ids, weights, last_comma = [], [], [], -1
    comma = tokenizer.get_vocab()[",</w>"]
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id

    def close():
        missing = 75 - len(ids)
        chunks.append(
            ([start, *ids, *[end] * missing, end], [1.0, *weights, *[1.0] * missing, 1.0])
        )

    for part in case:
        if part is None:
            close()
            ids, weights, last_comma = [], [], -1
            continue
        text, weight = part
        for token in tokenizer(text, add_special_tokens=False).input_ids:
            if token == comma:
                last_comma = len(ids)
            elif len(ids) == 75 and last_comma != -1 and 75 - last_comma <= 20:
                moved = ids[last_comma + 1 :], weights[last_comma + 1 :]
                ids, weights = ids[: last_comma + 1], weights[: last_comma + 1]
                close()
                ids, weights = moved
                last_comma = -1
            if len(ids) == 75:
                close()
                ids, weights, last_comma = [], [], -1
            ids.append(token)
            weights.append(weight)
    if ids or not chunks:
        close()
    return chunks


def embedded_by_webui(pack, case):
    tokenizer = CLIPTokenizer.from_pretrained(pack.folder / "tokenizer")
    embedded = []
    for ids, weights in chunks_of_webui(tokenizer, case)[:MAX_CHUNKS]:
        with torch.inference_mode():
            hidden = pack.text_encoder(torch.tensor([ids])).last_hidden_state
        embedded.append(hidden * torch.tensor(weights)[None, :, None])
    return torch.hstack(embedded).numpy()[0]


@pytest.fixture(scope="module")
def networks(tiny):
    return TorchInfer(tiny)


@pytest.fixture(scope="module")
def prompts(tiny):
    return PromptTokenizer(Tokenizer.from_str(tiny.tokenizer_json()))


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_prompt_is_what_webui_makes_of_it(tiny, networks, prompts, case):
    found = prompts.split(["", written(case)], "weighted")
    embeds = networks.run("text_encoder", input_ids=found.input_ids)["prompt_embeds"]
    negative, positive = joined(embeds, found.token_weights, prompts=2)
    wanted = embedded_by_webui(tiny, case)
    assert positive.shape == wanted.shape
    assert np.abs(positive - wanted).max() <= 1e-4
    empty = embedded_by_webui(tiny, [("", 1.0)])
    assert np.abs(negative - np.vstack([empty] * (len(wanted) // 77))).max() <= 1e-4


@pytest.mark.parametrize("syntax", ["weighted", "plain"])
@pytest.mark.parametrize("text", ["", "a house: 16:9, at dusk!", "l'été à Sète — façade n° 12"])
def test_a_prompt_of_ordinary_words_is_one_text_as_it_is(tiny, prompts, text, syntax):
    found = prompts.split([text], syntax)
    assert found.input_ids.tolist() == [Tokenizer.from_str(tiny.tokenizer_json()).encode(text).ids]
    assert (found.token_weights == 1).all()


def test_plain_is_one_text_in_which_brackets_are_characters(tiny, prompts):
    text = "(glass:1.3) [house] BREAK " + LONG
    whole = Tokenizer.from_str(tiny.tokenizer_json()).encode(text)
    found = prompts.split([text], "plain")
    assert found.input_ids.tolist() == [whole.ids]
    assert found.dropped_tokens[0, 0] == sum(
        piece.special_tokens_mask.count(0) for piece in whole.overflowing
    )


def test_what_no_chunk_holds_is_counted(prompts):
    found = prompts.split(["house " * 310, "a"], "weighted")
    assert found.input_ids.shape == (2 * MAX_CHUNKS, 77)
    assert found.dropped_tokens.tolist() == [[10], [0]]
