"""Small engines with the contract's tensors, and repositories of them."""

from __future__ import annotations

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline import contract
from pipeline.topology import SD15
from versions import manifest
from versions.aliases import CLIP
from versions.catalogue import FINISHED
from versions.manifest import Manifest

WIDTH = 6
"""Of prompts."""
CHANNELS = 5
"""Of every residual."""
WORDS = 9
CROP = 8
TYPES = {"FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64, "UINT8": TensorProto.UINT8}


def write_repository(folder):
    """Version 1 of each network that paints, and of the pair."""
    for network in ("text_encoder", "image_encoder", "controlnet", "unet", "vae_decoder", *CLIP):
        write_version(folder / network / "1", network)
    put(folder / "tokenizer/1/tokenizer.json", {"model": {"vocab": {"a": 0, "z": WORDS - 1}}})
    crop = {"crop_size": {"height": CROP, "width": CROP}}
    put(folder / "image_processor/1/preprocessor_config.json", crop)
    put(folder / FINISHED, {"pack": "little"})
    return folder


def put(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_version(folder, network, seed=0, **facts):
    """An engine of `network` whose weights are of `seed`, and its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    save(MAKERS[network](np.random.default_rng(seed)), folder, network, **facts)
    return folder


def save(model, folder, network, **facts):
    onnx.save(model, folder / "model.onnx")
    describe(folder, network, **facts)


def describe(folder, network, **facts):
    """Write a manifest that fits the files in `folder`, but for `facts`."""
    told = {
        "network": network,
        "pack": "little",
        "revision": "0" * 64,
        "fingerprint": "1" * 64,
        "build": {"engine": "onnx", "precision": "fp32"},
        "files": manifest.digests(folder),
        "error": 1e-6,
        "tolerance": 3e-5,
        "opset": 20,
        "libraries": {"torch": "2"},
        "created": "2026-01-01T00:00:00+00:00",
    }
    manifest.write(folder, Manifest(**(told | facts)))


def load(folder):
    return onnx.load(folder / "model.onnx")


def change_weight(model, name, value):
    """Put `value` into the first number of the weights `name`."""
    (weight,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
    array = numpy_helper.to_array(weight).copy()
    array.flat[0] = value
    weight.CopyFrom(numpy_helper.from_array(array, name))


def graph(network, nodes, **weights):
    model = contract.MODELS[network]
    tensors = [
        [
            helper.make_tensor_value_info(
                tensor.name,
                TYPES[tensor.dtype],
                [
                    "batch",
                    *(f"{tensor.name}{i}" if d == -1 else d for i, d in enumerate(tensor.dims)),
                ],
            )
            for tensor in side
        ]
        for side in (model.inputs, model.outputs)
    ]
    initializers = [
        numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()
    ]
    made = helper.make_graph(nodes, network, *tensors, initializers)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def normal(random, *shape):
    return random.standard_normal(shape).astype(np.float32)


def text_encoder(random, words=WORDS, width=WIDTH):
    nodes = [node("Gather", "table input_ids", "prompt_embeds")]
    return graph("text_encoder", nodes, table=normal(random, words, width))


def image_encoder(random):
    nodes = [
        node("ReduceMean", "pixel_values axes", "mean", keepdims=0),
        node("MatMul", "mean weight", "flat"),
        node("Reshape", "flat shape", "image_embeds"),
        node("Neg", "image_embeds", "negative_image_embeds"),
    ]
    shape = np.array([-1, 2, WIDTH])
    axes = np.array([2, 3])
    weight = normal(random, 3, 2 * WIDTH)
    return graph("image_encoder", nodes, axes=axes, weight=weight, shape=shape)


def controlnet(random, channels=CHANNELS):
    nodes = [
        node("Conv", "sample weight", "hidden"),
        *(node("Identity", "hidden", name) for name in SD15.residuals),
    ]
    return graph("controlnet", nodes, weight=normal(random, channels, 4, 1, 1))


def unet(random, width=WIDTH, channels=CHANNELS):
    nodes = [
        node("Conv", "mid_block_res weight", "hidden"),
        node("MatMul", "prompt_embeds reading", "read"),
        node("ReduceMean", "read axes", "meant"),
        node("Reshape", "meant shape", "word"),
        node("Add", "hidden word", "noise_pred"),
    ]
    return graph(
        "unet",
        nodes,
        weight=normal(random, 4, channels, 1, 1),
        reading=normal(random, width, 1),
        axes=np.array([1, 2]),
        shape=np.array([-1, 1, 1, 1]),
    )


def vae_decoder(random, factor=SD15.vae_scale_factor, dtype=np.float32):
    sides = {"kernel_shape": [factor, factor], "strides": [factor, factor]}
    nodes = [node("ConvTranspose", "latents weight", "pixels", **sides)]
    return graph("vae_decoder", nodes, weight=normal(random, 4, 3, factor, factor).astype(dtype))


def clip_text(random):
    nodes = [
        node("Gather", "table input_ids", "words"),
        node("ReduceMean", "words axes", "text_embedding", keepdims=0),
    ]
    table = normal(random, WORDS, SD15.clip_dim)
    return graph("clip_text", nodes, table=table, axes=np.array([1]))


def clip_image(random):
    nodes = [
        node("ReduceMean", "pixel_values axes", "mean", keepdims=0),
        node("MatMul", "mean weight", "image_embedding"),
    ]
    weight = normal(random, 3, SD15.clip_dim)
    return graph("clip_image", nodes, axes=np.array([2, 3]), weight=weight)


MAKERS = {
    "text_encoder": text_encoder,
    "image_encoder": image_encoder,
    "controlnet": controlnet,
    "unet": unet,
    "vae_decoder": vae_decoder,
    "clip_text": clip_text,
    "clip_image": clip_image,
}
