"""What the autoencoder is trained for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from training.autoencoder import reconstruction_loss


class Posterior:
    def __init__(self, latents):
        self.latents = latents

    def sample(self):
        return self.latents

    def kl(self):
        return torch.zeros(len(self.latents))


def autoencoder(decode, seen=None):
    """One whose latents are the picture, and whose decoder is `decode`."""

    def decoded(latents):
        if seen is not None:
            seen.append(latents)
        return SimpleNamespace(sample=decode(latents))

    encode = lambda images: SimpleNamespace(latent_dist=Posterior(images))  # noqa: E731
    return SimpleNamespace(encode=encode, decode=decoded)


@pytest.fixture
def pictures():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_perfect_decoder_costs_nothing(pictures):
    assert reconstruction_loss(autoencoder(lambda latents: latents), pictures) == 0


def test_a_lost_colour_costs_more_than_as_much_lost_lightness(pictures):
    grey = autoencoder(lambda latents: latents + torch.tensor([0.3, -0.3, 0.3])[:, None, None])
    dark = autoencoder(lambda latents: latents - 0.3)
    assert reconstruction_loss(grey, pictures) > 2 * reconstruction_loss(dark, pictures)


def test_noise_on_the_latents_is_a_share_of_their_deviation(pictures):
    seen = []
    reconstruction_loss(autoencoder(lambda latents: latents, seen), 4 * pictures, 0.05)
    noise = seen[0] - 4 * pictures
    assert float(noise.std()) == pytest.approx(0.05 * float((4 * pictures).std()), rel=0.05)
