"""The wrappers, which the engines are made of, against diffusers and transformers themselves."""

from __future__ import annotations

import pytest
import torch

from export.networks import NAMES, OPTIONAL, wrap
from export.onnx import example_inputs
from export.shapes import Size
from pipeline import contract
from pipeline.topology import SD15

SIZE = Size(batch=3, height=16, width=24)


@pytest.fixture(scope="module")
def wrapped(pack):
    return {name: wrap(name, pack) for name in NAMES}


def run(module, inputs):
    with torch.inference_mode():
        return module(*inputs.values())


def test_every_network_of_the_contract_has_a_wrapper():
    assert {*NAMES, *OPTIONAL} == {model.name for model in contract.NETWORKS}
    assert set(OPTIONAL) == {model.name for model in contract.NETWORKS if model.optional}


def test_unet_and_controlnet_equal_diffusers_row_by_row(pack, wrapped):
    """Each row has its own timestep and scales, which diffusers' own call does not allow."""
    control = example_inputs("controlnet", pack, SIZE, seed=1)
    residuals = run(wrapped["controlnet"], control)
    unet = example_inputs("unet", pack, SIZE, seed=2)
    shared = {name: control[name] for name in ("sample", "timestep", "prompt_embeds")}
    unet |= shared | dict(zip(SD15.residuals, residuals, strict=True))
    found = run(wrapped["unet"], unet)
    for row in range(SIZE.batch):
        expected = reference_row(pack, control, unet, row)
        torch.testing.assert_close(found[row], expected, atol=2e-5, rtol=1e-4)


def reference_row(pack, control, unet, row):
    """One row through diffusers' ControlNet and UNet with its own IP-Adapter processors."""
    pipeline = pack.pipeline
    columns = {name: index for index, name in enumerate(pack.topology.cross_attention_layers)}
    for name, processor in pipeline.unet.attn_processors.items():
        if name.endswith("attn2.processor"):
            layer = name.split(".transformer_blocks")[0]
            processor.scale = [float(unet["ip_adapter_scale"][row, columns[layer]])]
    projection, pipeline.unet.encoder_hid_proj = pipeline.unet.encoder_hid_proj, AlreadyProjected()
    one = slice(row, row + 1)
    hint = (control["control_image"][one].float() / 255).repeat(1, 3, 1, 1)
    shared = (unet["sample"][one], unet["timestep"][row, 0], unet["prompt_embeds"][one])
    try:
        with torch.inference_mode():
            down, mid = pipeline.controlnet(
                *shared,
                controlnet_cond=hint,
                conditioning_scale=float(control["conditioning_scale"][row, 0]),
                return_dict=False,
            )
            return pipeline.unet(
                *shared,
                down_block_additional_residuals=down,
                mid_block_additional_residual=mid,
                added_cond_kwargs={"image_embeds": unet["image_embeds"][one]},
                return_dict=False,
            )[0][0]
    finally:
        pipeline.unet.encoder_hid_proj = projection


class AlreadyProjected(torch.nn.Module):
    def forward(self, image_embeds):
        return [image_embeds[:, None]]


@pytest.mark.parametrize(
    "name", ["sample", "timestep", "prompt_embeds", "image_embeds", "ip_adapter_scale",
             "down_block_res_0", "down_block_res_11", "mid_block_res"],
)  # fmt: skip
def test_no_input_of_the_unet_is_ignored(pack, wrapped, name):
    inputs = example_inputs("unet", pack, SIZE, seed=3)
    before = run(wrapped["unet"], inputs)
    inputs[name] = inputs[name] + 0.5 * inputs[name].abs().mean()
    difference = (run(wrapped["unet"], inputs) - before).abs().max()
    assert difference > 1e-4


@pytest.mark.parametrize("layer", range(len(SD15.cross_attention_layers)))
def test_each_column_of_the_scale_reaches_a_layer_of_its_own(pack, wrapped, layer):
    inputs = example_inputs("unet", pack, Size(1, 16, 16), seed=4)
    inputs["ip_adapter_scale"] = torch.zeros_like(inputs["ip_adapter_scale"])
    before = run(wrapped["unet"], inputs)
    inputs["ip_adapter_scale"][:, layer] = 1.0
    assert (run(wrapped["unet"], inputs) - before).abs().max() > 1e-5


def test_wrapping_leaves_diffusers_own_unet_alone(pack, wrapped):
    processors = {type(p).__name__ for p in pack.pipeline.unet.attn_processors.values()}
    assert "IPAdapterAttnProcessor2_0" in processors
    assert "ScaledImageAttention" not in processors
    ours, theirs = wrapped["unet"].network, pack.pipeline.unet
    assert ours.conv_in.weight is theirs.conv_in.weight


def test_clip_vectors_equal_transformers_and_have_unit_length(pack, wrapped):
    text = example_inputs("clip_text", pack, SIZE, seed=5)
    image = example_inputs("clip_image", pack, SIZE, seed=5)
    with torch.inference_mode():
        both = pack.clip(input_ids=text["input_ids"], pixel_values=image["pixel_values"])
    found = run(wrapped["clip_text"], text), run(wrapped["clip_image"], image)
    torch.testing.assert_close(found[0], both.text_embeds, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[1], both.image_embeds, atol=1e-5, rtol=1e-4)
    for vectors in found:
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(SIZE.batch))


def test_image_tokens_equal_diffusers(pack, wrapped):
    inputs = example_inputs("image_encoder", pack, SIZE, seed=6)
    tokens, negative = run(wrapped["image_encoder"], inputs)
    projection = pack.pipeline.unet.encoder_hid_proj
    with torch.inference_mode():
        embeds = pack.pipeline.image_encoder(inputs["pixel_values"]).image_embeds
        expected = projection([embeds[:, None]])[0][:, 0]
        absent = projection([torch.zeros_like(embeds)[:, None]])[0][:, 0]
    torch.testing.assert_close(tokens, expected)
    torch.testing.assert_close(negative, absent)


def test_vae_round_trip_is_scaled_as_diffusers_scales(pack, wrapped):
    vae = pack.pipeline.vae
    pixels = example_inputs("vae_encoder", pack, SIZE, seed=7)["pixels"]
    latents = run(wrapped["vae_encoder"], {"pixels": pixels})
    with torch.inference_mode():
        expected = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
        decoded = vae.decode(expected / vae.config.scaling_factor).sample
    torch.testing.assert_close(latents, expected)
    torch.testing.assert_close(run(wrapped["vae_decoder"], {"latents": latents}), decoded)
