"""Tiled decoding against diffusers' own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from pipeline.vae import decode, require_tile


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16), latent_channels=4, norm_num_groups=4, sample_size=128,
    ).eval()  # fmt: skip


def decoder(vae, sizes=None):
    async def decode_one(latents):
        if sizes is not None:
            sizes.append(latents.shape[-2:])
        with torch.inference_mode():
            return vae.decode(torch.from_numpy(latents)).sample.numpy()

    return decode_one


def latents(height, width):
    return np.random.default_rng(0).standard_normal((2, 4, height, width), dtype=np.float32)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40), (16, 56), (17, 33)])
async def test_tiles_equal_diffusers(vae, height, width):
    given = latents(height, width)
    vae.enable_tiling()
    try:
        with torch.inference_mode():
            wanted = vae.decode(torch.from_numpy(given)).sample.numpy()
    finally:
        vae.disable_tiling()
    sizes = []
    found = await decode(decoder(vae, sizes), given, tile=128)
    assert found.shape == wanted.shape == (2, 3, height * 8, width * 8)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert len(sizes) > 1
    assert max(max(size) for size in sizes) <= 16


@pytest.mark.parametrize("tile", [0, 128, 256])
async def test_what_fits_is_decoded_at_once(vae, tile):
    sizes = []
    given = latents(16, 8)
    found = await decode(decoder(vae, sizes), given, tile)
    assert sizes == [(16, 8)]
    np.testing.assert_array_equal(found, await decoder(vae)(given))


@pytest.mark.parametrize("tile", [0, 256, 512])
def test_tiles_that_cut_well(tile):
    assert require_tile(tile) == tile
    stride, side = tile * 3 // 4 // 8, tile // 8
    for pixels in range(128, 1025, 64):
        edges = [pixels // 8 - left for left in range(0, pixels // 8, stride or 1)]
        assert min(*edges, side or 8) >= (8 if tile else 1)


@pytest.mark.parametrize("tile", [8, 64, 100, 128, 300])
def test_tiles_that_would_leave_slivers(tile):
    with pytest.raises(ValueError, match=f"vae_tile is {tile}; allowed: 0, or a multiple of 256"):
        require_tile(tile)


async def test_a_tile_is_not_the_whole(vae):
    """Each tile is normalised by itself, so the option is not free: it must be asked for."""
    given = latents(32, 32)
    whole, tiled = await decode(decoder(vae), given, 0), await decode(decoder(vae), given, 128)
    assert np.abs(whole - tiled).max() > 1e-3
