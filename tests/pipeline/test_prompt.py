"""The syntax of prompts."""

from __future__ import annotations

import pytest

from pipeline.errors import InvalidRequest
from pipeline.prompt import parse, without_weights
from pipeline.request import RenderRequest


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("", [[("", 1)]]),
        ("a house: glass, 16:9 \\ 2", [[("a house: glass, 16:9 \\ 2", 1)]]),
        ("a (glass) house", [[("a ", 1), ("glass", 1.1), (" house", 1)]]),
        ("((glass))", [[("glass", 1.21)]]),
        ("[brick]", [[("brick", 1 / 1.1)]]),
        ("(glass : 1.3 )", [[("glass ", 1.3)]]),
        ("(a [b] (c:0.5):2)", [[("a ", 2), ("b", 2 / 1.1), (" ", 2), ("c", 1)]]),
        ("(glass:.5)(steel:1.)", [[("glass", 0.5), ("steel", 1)]]),
        ("(glass:high)", [[("glass:high", 1.1)]]),
        (r"house \(1920\) \[a\] \\", [[("house (1920) [a] \\", 1)]]),
        ("a house BREAK at (night BREAK fog:1.2)",
         [[("a house", 1)], [("at ", 1), ("night", 1.2)], [("fog", 1.2)]]),
        ("BREAK a BREAK", [[(" a", 1)]]),
        ("BREAKFAST", [[("BREAKFAST", 1)]]),
    ],
)  # fmt: skip
def test_brackets_weigh_what_is_in_them(text, sections):
    found = parse("prompt", text)
    assert [[part.strip() for part, _ in each] for each in found] == [
        [part.strip() for part, _ in each] for each in sections
    ]
    weights = [weight for each in found for _, weight in each]
    assert weights == pytest.approx([weight for each in sections for _, weight in each])


def test_a_style_is_searched_by_words_alone():
    assert without_weights(r"a (glass:1.3) house BREAK \(old\)") == "a glass house (old)"


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
@pytest.mark.parametrize(
    ("text", "bracket"),
    [("a (glass house", "("), ("glass) house", ")"), ("([a)]", ")"), ("[a", "["), ("a:1.3)", ")")],
)
def test_brackets_without_a_partner_are_refused(sketch, name, text, bracket):
    fields = {"prompt": "a house", name: text}
    with pytest.raises(InvalidRequest) as refused:
        RenderRequest(sketch=sketch, **fields)
    assert str(refused.value) == (
        f"{name} is a prompt whose {bracket} has no partner; allowed: brackets in pairs, as in "
        f"(glass:1.3) and [brick]. Write \\{bracket} for the character itself, or set "
        "prompt_syntax to plain."
    )
    RenderRequest(sketch=sketch, prompt_syntax="plain", **fields)


def test_weights_have_bounds(sketch):
    for weight in ("11", "-1", "9" * 400):
        with pytest.raises(InvalidRequest, match="allowed: 0 to 10"):
            RenderRequest(sketch=sketch, prompt=f"a (house:{weight})")
    with pytest.raises(InvalidRequest, match="a weight of 10.8"):
        RenderRequest(sketch=sketch, prompt="(" * 25 + "house" + ")" * 25)
