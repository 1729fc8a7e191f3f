"""The map that previews are made with: fitted to the autoencoder, kept as long as that is."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from export import engines, latent_rgb
from export.asked import Build
from export.networks import wrap
from pipeline import images
from pipeline.preview import LatentRgb
from tests.conftest import ROOT
from versions.catalogue import FINISHED

MIXED = np.array([[0.5, 0.2, -0.1], [-0.3, 0.4, 0.2], [0.1, 0.1, 0.6]])
SHIFT = np.array([0.1, -0.2, 0.05])
CONTRAST = 0.25


class LinearVae:
    """An autoencoder in miniature: colours mixed, and the contrast in a cell for a fourth."""

    config = SimpleNamespace(scaling_factor=0.5)

    def encode(self, pixels, return_dict):
        cells = pixels.unfold(2, 8, 8).unfold(3, 8, 8)
        mean = cells.mean(dim=(4, 5))
        mixed = torch.einsum("ij,bjhw->bihw", torch.tensor(MIXED, dtype=torch.float32), mean)
        mixed = mixed + torch.tensor(SHIFT, dtype=torch.float32)[:, None, None]
        contrast = CONTRAST * cells.std(dim=(1, 4, 5))[:, None]
        latents = torch.cat([mixed, contrast], dim=1) / self.config.scaling_factor
        return (SimpleNamespace(mode=lambda: latents),)


@pytest.fixture
def fits(monkeypatch):
    """Counts how often a map is fitted."""
    counted, fit = [], latent_rgb.fit
    monkeypatch.setattr(latent_rgb, "fit", lambda vae: counted.append(vae) or fit(vae))
    return counted


def test_a_linear_autoencoder_is_inverted():
    weights = np.array(latent_rgb.fit(LinearVae()))
    unmixed = np.linalg.inv(MIXED)
    np.testing.assert_allclose(weights[:3], unmixed.T, atol=1e-3)
    np.testing.assert_allclose(weights[3], 0, atol=1e-3)
    np.testing.assert_allclose(weights[4], -unmixed @ SHIFT, atol=1e-3)


def test_the_fit_repeats_and_is_rounded(pack):
    weights = latent_rgb.fit(pack.vae)
    assert weights == latent_rgb.fit(pack.vae)
    assert weights == np.round(weights, 4).tolist()


def test_the_pictures_have_edges_areas_and_colours():
    random = np.random.Generator(np.random.Philox(0))
    picture = latent_rgb.dead_leaves(random).astype(float)
    assert picture.std() > 40
    assert (np.abs(np.diff(picture, axis=1)).max(axis=2) == 0).mean() > 0.8
    assert np.ptp(picture, axis=2).mean() > 15
    assert not np.array_equal(picture, latent_rgb.dead_leaves(random))


def test_it_shows_pictures_that_it_was_not_fitted_to(tiny):
    """Most of what there is to see in the bundled styles, and with the served encoder's latents."""
    shown = LatentRgb.from_config({"weights": latent_rgb.fit(tiny.vae)})
    encoder = wrap("vae_encoder", tiny)
    found, wanted = [], []
    for file in sorted((ROOT / "examples/styles").glob("*.png")):
        with Image.open(file) as image:
            pixels = images.to_pixels(np.asarray(image.convert("RGB").resize((256, 256))))
        with torch.inference_mode():
            found.append(shown.pixels(encoder(torch.from_numpy(pixels)[None])[0].numpy()))
        wanted.append(pixels.reshape(3, 32, 8, 32, 8).mean(axis=(2, 4)))
    unexplained = np.var(np.subtract(found, wanted)) / np.var(wanted)
    assert len(found) >= 10
    assert unexplained < 0.5


def test_the_map_is_kept_while_the_autoencoder_is_the_same(pack, tmp_path, fits):
    path = tmp_path / "latent_rgb.json"
    first = engines._latent_rgb(pack, path, "one")
    path.write_text(first)
    assert engines._latent_rgb(pack, path, "one") == first
    assert len(fits) == 1, "the autoencoder was loaded though nothing changed"
    another = json.loads(engines._latent_rgb(pack, path, "another"))
    assert len(fits) == 2
    assert another == {**json.loads(first), "vae_encoder": "another"}


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"vae_encoder": "one", "weights": [[1, 2]]}'])
def test_a_damaged_map_is_fitted_anew(pack, tmp_path, damaged):
    path = tmp_path / "latent_rgb.json"
    path.write_text(damaged)
    text = engines._latent_rgb(pack, path, "one")
    assert np.shape(json.loads(text)["weights"]) == (5, 3)


def test_the_marker_names_every_engine_that_is_there(pack, quick, tmp_path):
    engines.prepare(tmp_path)
    assert engines._bring_up_to_date("vae_encoder", pack, tmp_path, Build(), False).built
    texts = engines._side_files(pack, tmp_path, Build())
    record = engines.read_manifest(tmp_path / "vae_encoder" / engines.VERSION)
    named = {"vae_encoder": record.fingerprint[:16]}
    assert json.loads(texts[FINISHED])["engines"] == named
    assert json.loads(texts[engines.LATENT_RGB])["vae_encoder"] == named["vae_encoder"]
    assert list(texts)[-1] == FINISHED, "the marker is written last"
    engines._write_texts(tmp_path, texts)
    written = (tmp_path / FINISHED).stat().st_mtime_ns
    engines._write_texts(tmp_path, engines._side_files(pack, tmp_path, Build()))
    assert (tmp_path / FINISHED).stat().st_mtime_ns == written, "it was up to date"
