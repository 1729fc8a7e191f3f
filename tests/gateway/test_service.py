"""What a render does, over a painter and a real library."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.admission import Admission
from gateway.inference import ModelDied
from gateway.protection.moderation import Moderation
from gateway.service import Finished, Service, Stepped
from pipeline import provenance
from pipeline.errors import NotFound, Refused
from pipeline.request import RenderRequest
from retrieval.library import open_library
from tests.gateway.fakes import Painter


class Mortal(Painter):
    """A painter whose model dies in its first renders, and is mended when asked."""

    def __init__(self, deaths=0, checker=False):
        super().__init__()
        self.repair = self
        self.deaths = deaths
        self.mended = []
        self.seeds = []
        self.checker = checker

    async def mend(self, model):
        self.mended.append(model)
        self.failure = None

    async def has_safety_checker(self):
        return self.checker

    async def render(self, request):
        self.seeds.append(request.seed)
        self.deaths -= 1
        self.failure = ModelDied("unet") if self.deaths >= 0 else None
        async for output in super().render(request):
            yield output


class Looker:
    """Refuses pictures that it was told of."""

    def __init__(self, denied=b""):
        self.denied = denied

    async def check_prompt(self, prompt):
        return "no" if "denied" in prompt else None

    async def check_image(self, image, kind):
        return "no" if image == self.denied else None


@pytest.fixture
async def library(tmp_path, style_image):
    async with open_library(tmp_path) as opened:
        await opened.add(style_image, "winter", [], Painter().embed_image)
        yield opened


@pytest.fixture
def request_(sketch):
    return RenderRequest(sketch, "a house", style="winter", num_inference_steps=4)


def service(painter, library, *moderators):
    return Service(painter, library, Admission(1, 1), Moderation(moderators, seconds=5))


async def told(events):
    return [event async for event in events]


async def test_a_render_whose_model_dies_starts_once_more_as_the_same_one(library, request_):
    painter = Mortal(deaths=1)
    events = await told(service(painter, library).render(request_))
    assert painter.mended == ["unet"]
    assert painter.seeds[0] == painter.seeds[1] is not None
    assert isinstance(events[-1], Finished)
    assert events[-1].pictures[0].seed == painter.seeds[0]


async def test_when_it_dies_again_that_is_told(library, request_):
    painter = Mortal(deaths=2)
    with pytest.raises(ModelDied):
        await told(service(painter, library).render(request_))
    assert painter.begun == 2


@pytest.mark.parametrize(
    ("checker", "moderators", "expected"),
    [(False, [], 1), (True, [], 0), (False, [Looker()], 0)],
    ids=["nobody looks", "the pack's checker", "a hook"],
)
async def test_previews_are_not_shown_where_pictures_are_looked_at(
    library, request_, checker, moderators, expected
):
    painter = Mortal(checker=checker)
    request = replace(request_, preview_interval=2, num_inference_steps=3)
    events = await told(service(painter, library, *moderators).render(request))
    assert sum(len(event.previews) for event in events if isinstance(event, Stepped)) == expected


async def test_an_unknown_style_is_known_before_it_waits(library, request_):
    with pytest.raises(NotFound, match="nowhere"):
        await service(Painter(), library).check(replace(request_, style="nowhere"))


async def test_a_style_that_is_denied_since_it_was_added_is_not_rendered(library, request_):
    stored = await library.picture(await library.get("winter"))
    with pytest.raises(Refused, match="style image"):
        await told(service(Painter(), library, Looker(stored)).render(request_))


async def test_the_name_of_a_style_is_moderated(library, style_image):
    with pytest.raises(Refused, match="name or a tag"):
        await service(Painter(), library, Looker()).add_style(style_image, "denied", [])


async def test_the_picture_says_what_made_it(library, request_):
    request = replace(request_, num_images=2, seed=5)
    done = (await told(service(Painter(), library).render(request)))[-1]
    made = [provenance.read(picture.png) for picture in done.pictures]
    assert [one.parameters["seed"] for one in made] == [5, 6]
    assert {one.style for one in made} == {"winter"}
    assert made[0].pack.name == "painted"
    assert made[0].sketch is not None
