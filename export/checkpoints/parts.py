"""Which files of a checkpoint go where in a pack."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from export.files import PackError

Mapped = dict[str, str]
"""From names in the pack to names in the checkpoint."""

DIFFUSERS = "diffusion_pytorch_model"
TRANSFORMERS = "model"
PREPROCESSOR = "preprocessor_config.json"
TOKENIZER_FILES = (
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "special_tokens_map.json",
)


@dataclass(frozen=True)
class Part:
    """One folder of the pack, from one folder of a checkpoint.

    Args:
        folder: in the pack.
        stem: of the weight file, without its ending; empty where the folder has none.
        inside: folder in the checkpoint; empty for its top.
        files: beside the weights; one that is absent is an error.
        extras: taken when they are there.
        one_of: groups of the extras, of which one has to be there.
    """

    folder: str
    stem: str = ""
    inside: str = ""
    files: tuple[str, ...] = ("config.json",)
    extras: tuple[str, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ((),)

    def choose(self, names: Iterable[str], prefer_half: bool) -> Mapped:
        """Where each needed file is among `names`.

        Args:
            prefer_half: take fp16 weights where the checkpoint has both.

        Raises:
            PackError: a needed file is not there.
        """
        prefix = f"{self.inside}/" if self.inside else ""
        below = {
            name.removeprefix(prefix)
            for name in names
            if name.startswith(prefix) and "/" not in name.removeprefix(prefix)
        }
        missing = [name for name in self.files if name not in below]
        if not any(below.issuperset(group) for group in self.one_of):
            missing += self.one_of[0]
        if missing:
            raise PackError(f"{prefix}{missing[0]} is missing. Copy it from the checkpoint.")
        taken = {name: name for name in (*self.files, *self.extras) if name in below}
        if self.stem:
            taken |= self._weights(prefix, below, prefer_half)
        return {f"{self.folder}/{ours}": f"{prefix}{theirs}" for ours, theirs in taken.items()}

    def _weights(self, prefix: str, names: set[str], prefer_half: bool) -> Mapped:
        bins = "pytorch_model" if self.stem == TRANSFORMERS else self.stem
        endings = (".fp16", "") if prefer_half else ("", ".fp16")
        candidates = (
            f"{stem}{ending}.{kind}"
            for stem, kind in ((self.stem, "safetensors"), (bins, "bin"))
            for ending in endings
        )
        whole = next((name for name in candidates if name in names), None)
        if whole:
            return {f"{self.stem}.safetensors": whole}
        index = f"{self.stem}.safetensors.index.json"
        if index not in names:
            raise PackError(
                f"{prefix or 'it'} has no weights: expected {self.stem}.safetensors, its shards "
                f"with {index}, or .bin. Copy them from the checkpoint."
            )
        return {name: name for name in (index, *self._shards(prefix, names))}

    def _shards(self, prefix: str, names: set[str]) -> list[str]:
        """All of ``stem-00001-of-00002.safetensors`` and so on; the index names the same."""
        pattern = re.compile(rf"{self.stem}-(\d+)-of-(\d+)\.safetensors")
        there = {name: match for name in names if (match := pattern.fullmatch(name))}
        counts = {int(match[2]) for match in there.values()}
        if counts != {len(there)}:
            expected = max(counts, default=0)
            raise PackError(
                f"{prefix or 'it'} has {len(there)} shards of {self.stem}, of {expected}. Copy the "
                "others from the checkpoint."
            )
        return sorted(there)


def choose_all(parts: Iterable[Part], names: Iterable[str], prefer_half: bool) -> Mapped:
    """The files of several parts of one checkpoint."""
    listed = list(names)
    chosen: Mapped = {}
    for part in parts:
        chosen |= part.choose(listed, prefer_half)
    return chosen


TOKENIZER_FORMATS = (("vocab.json", "merges.txt"), ("tokenizer.json",))
TOKENIZER = Part(
    "tokenizer", inside="tokenizer", files=(), extras=TOKENIZER_FILES, one_of=TOKENIZER_FORMATS
)
BASE = (
    Part("unet", DIFFUSERS, inside="unet"),
    Part("vae", DIFFUSERS, inside="vae"),
    Part("text_encoder", TRANSFORMERS, inside="text_encoder"),
    TOKENIZER,
    Part("scheduler", inside="scheduler", files=("scheduler_config.json",)),
    # Community checkpoints may lack it; CLIP's is the same.
    Part("feature_extractor", inside="feature_extractor", files=(), extras=(PREPROCESSOR,)),
)
SAFETY_CHECKER = Part("safety_checker", TRANSFORMERS, inside="safety_checker")
CONTROLNET = (Part("controlnet", DIFFUSERS),)
IMAGE_ENCODER = (Part("image_encoder", TRANSFORMERS),)
CLIP = (
    Part("clip", TRANSFORMERS, files=("config.json", PREPROCESSOR), extras=TOKENIZER_FILES,
         one_of=TOKENIZER_FORMATS),
)  # fmt: skip
FROM_CLIP = (
    Part("tokenizer", files=(), extras=TOKENIZER_FILES, one_of=TOKENIZER_FORMATS),
    Part("feature_extractor", files=(PREPROCESSOR,)),
)
"""What a base may lack and CLIP's own repository has: the same vocabulary and preprocessing."""


def is_sdxl(names: Iterable[str]) -> bool:
    """Whether files or tensors of these names are an SDXL checkpoint's."""
    return any(name.startswith(("text_encoder_2/", "conditioner.embedders.1.")) for name in names)
