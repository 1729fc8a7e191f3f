"""The syntax of prompts: weights, escapes and BREAK.

Source: AUTOMATIC1111's stable-diffusion-webui 1.10, ``prompt_parser.parse_prompt_attention``.
Unlike there, brackets have to match, and BREAK means the same inside brackets.
"""

from __future__ import annotations

import re
from itertools import groupby

from pipeline.errors import InvalidRequest, Words
from pipeline.fields import Range

SYNTAXES = ("weighted", "plain")
WEIGHTS = Range(0, 10)
_PIECE = re.compile(r"\\[\\()\[\]]|[(\[\])]|:\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*\)|[^\\()\[\]:]+|[\\:]")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")
_PAIRS = {")": "(", "]": "["}
_USUAL = {")": 1.1, "]": 1 / 1.1}

Fragment = tuple[str, float]
"""A part of a prompt and its weight."""


def parse(name: str, text: str) -> list[list[Fragment]]:
    """What stands between BREAKs, each as fragments; neighbours of one weight are one fragment.

    ``(word)`` weighs 1.1, ``[word]`` 1 / 1.1, ``(word:1.3)`` 1.3; nested brackets multiply. A
    backslash before a bracket or a backslash makes it an ordinary character.

    Args:
        name: of the field that `text` is in.

    Raises:
        InvalidRequest: brackets do not match, or a weight is out of range.
    """
    fragments: list[Fragment] = []
    opened: list[tuple[str, int]] = []
    for piece in _PIECE.findall(text):
        if piece in _PAIRS.values():
            opened.append((piece, len(fragments)))
        elif piece[-1] in _PAIRS and piece[0] != "\\":
            bracket, start = opened.pop() if opened else ("", 0)
            if bracket != _PAIRS[piece[-1]]:
                raise _unmatched(name, piece[-1])
            weight = _USUAL[piece] if piece in _USUAL else float(piece[1:-1])
            fragments[start:] = [(part, before * weight) for part, before in fragments[start:]]
        else:
            fragments.append((piece[-1] if piece[0] == "\\" else piece, 1.0))
    if opened:
        raise _unmatched(name, opened[-1][0])
    for _, weight in fragments:
        if not WEIGHTS.holds(weight):
            remedy = "Weights between 0.5 and 1.5 are usual."
            raise InvalidRequest(name, Words(f"a weight of {weight:g}"), str(WEIGHTS), remedy)
    return _sections(fragments)


def without_weights(text: str) -> str:
    """`text` as it is read: what a style is searched by.

    Raises:
        InvalidRequest: as :func:`parse`.
    """
    return " ".join("".join(part for part, _ in each) for each in parse("prompt", text))


def _sections(fragments: list[Fragment]) -> list[list[Fragment]]:
    sections: list[list[Fragment]] = [[]]
    for weight, run in groupby(fragments, key=lambda fragment: fragment[1]):
        first, *others = _BREAK.split("".join(part for part, _ in run))
        sections[-1].append((first, weight))
        sections += [[(part, weight)] for part in others]
    said = [section for section in sections if any(part.strip() for part, _ in section)]
    return said or [[("", 1.0)]]


def _unmatched(name: str, bracket: str) -> InvalidRequest:
    return InvalidRequest(
        name,
        Words(f"a prompt whose {bracket} has no partner"),
        "brackets in pairs, as in (glass:1.3) and [brick]",
        f"Write \\{bracket} for the character itself, or set prompt_syntax to plain.",
    )
