"""What a render does, over a painter and a real library."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from contextlib import aclosing
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gateway.errors import CallerError
from gateway.triton.inference import ModelDied
from gateway.worker.admission import Admission
from gateway.worker.events import Attempted, Finished, Stepped
from gateway.worker.moderation import Moderation
from gateway.worker.service import Checked, Service
from pipeline import images, provenance
from pipeline.errors import InvalidRequest, NotFound, Refused, StageFailed, Unavailable
from pipeline.pinned_versions import PinnedVersions
from pipeline.request import DEFAULTS, STANDS_FOR, RenderRequest
from pipeline.style import TEMPERATURE, weights_of
from pipeline.topology import SD15
from retrieval.library import open_library
from retrieval.styles import NewStyle
from tests.gateway.fakes import PACK, Painter
from tests.pictures import encoded
from tests.versions.engines import write_version
from versions import manifest
from versions.canary import Canary, Counts
from versions.repositories import LocalRepository


class Mortal(Painter):
    """A painter whose model dies in its first renders, and is mended when asked."""

    def __init__(self, deaths=0, checker=False):
        super().__init__()
        self.recovery = self
        self.deaths = deaths
        self.mended = []
        self.seeds = []
        self.checker = checker

    async def reload(self, model):
        self.mended.append(model)
        self.failure = None

    async def has_safety_checker(self):
        return self.checker

    async def render(self, request, pinned=None):
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
        await opened.add(NewStyle(style_image, "winter", []), Painter().embed_image)
        yield opened


@pytest.fixture
def request_(sketch):
    return RenderRequest(sketch, "a house", style="winter", num_inference_steps=4)


def service(painter, library, *moderators):
    return Service(painter, library, Admission(1, 1), Moderation(moderators, seconds=5))


def checked(request):
    return Checked(request, request)


async def told(serving, asked, **how):
    """Every event of a render."""
    events = []
    await serving.render(asked, events.append, **how)
    return events


async def test_a_render_whose_model_dies_starts_once_more_as_the_same_one(library, request_):
    painter = Mortal(deaths=1)
    events = await told(service(painter, library), checked(request_))
    assert painter.mended == ["unet"]
    assert painter.seeds[0] == painter.seeds[1] is not None
    assert isinstance(events[-1], Finished)
    assert events[-1].pictures[0].seed == painter.seeds[0]


async def test_when_it_dies_again_that_is_told(library, request_):
    painter = Mortal(deaths=2)
    with pytest.raises(ModelDied):
        await told(service(painter, library), checked(request_))
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
    events = await told(service(painter, library, *moderators), checked(request))
    assert sum(len(event.previews) for event in events if isinstance(event, Stepped)) == expected


async def test_an_unknown_style_is_known_before_it_waits(library, request_):
    with pytest.raises(NotFound, match="nowhere"):
        await service(Painter(), library).check(replace(request_, style="nowhere"))


async def test_a_style_that_is_denied_since_it_was_added_is_not_rendered(library, request_):
    stored = await library.picture(await library.get("winter"))
    with pytest.raises(Refused, match="style image"):
        await told(service(Painter(), library, Looker(stored)), checked(request_))


async def test_the_name_of_a_style_is_moderated(library, style_image):
    with pytest.raises(Refused, match="name or a tag"):
        await service(Painter(), library, Looker()).add_style(NewStyle(style_image, "denied"))


async def test_the_picture_says_what_made_it(library, request_):
    request = replace(request_, num_images=2, seed=5)
    done = (await told(service(Painter(), library), checked(request)))[-1]
    made = [provenance.read(picture.png) for picture in done.pictures]
    assert [one.parameters["seed"] for one in made] == [5, 6]
    assert {one.styles for one in made} == {("winter",)}
    assert made[0].pack.name == "painted"
    assert made[0].sources["sketch"].png is not None
    for one, picture in zip(made, done.pictures, strict=True):
        assert one.scores == {name: round(score, 3) for name, score in vars(picture.scores).items()}


class Uneven(Painter):
    """Paints pictures that keep so much of their sketch, one after another."""

    def __init__(self, *scores):
        super().__init__()
        self.scores = iter(scores)
        self.asked = []

    async def render(self, request, pinned=None):
        self.asked.append(request)
        async with aclosing(super().render(request, pinned)) as outputs:
            async for output in outputs:
                kept = np.full(request.num_images, next(self.scores) if "seeds" in output else 0)
                yield {**output, "structure_f1": kept}


async def test_a_picture_that_keeps_too_little_is_painted_again_and_says_so(library, request_):
    painter = Uneven(0.5, 0.25, 0.75)
    asked = replace(request_, seed=5, structure_min=0.875, fidelity=0.5)
    events = await told(service(painter, library), checked(asked))
    ends = [n for n, event in enumerate(events) if isinstance(event, Attempted)]
    steps = [event.step for event in events if isinstance(event, Stepped)]
    assert steps == [0, *[1, 2, 3, 4] * 3]
    # The last attempt ends before the result.
    assert (len(ends), ends[-1]) == (3, len(events) - 2)
    done = events[-1]
    assert [(one.seed, one.structure_f1) for one in done.attempts] == [
        (5, 0.5), (6, 0.25), (7, 0.75),
    ]  # fmt: skip
    assert done.pictures[0].seed == 7
    assert "structure_min is 0.875" in done.warnings[0]
    assert done.rounds == 3
    assert done.timings.denoise == pytest.approx(0.6)
    made = provenance.read(done.pictures[0].png)
    assert made.asked == {"fidelity": 0.5, "structure_min": 0.875}
    assert made.attempts == done.attempts
    recalled = {name: made.parameters[name] for name in ("seed", *STANDS_FOR["fidelity"])}
    assert recalled == {
        "seed": 7, "controlnet_conditioning_scale": 1.25, "control_guidance_start": 0.0,
        "control_guidance_end": 1.0,
    }  # fmt: skip
    assert all(getattr(painter.asked[-1], name) == value for name, value in recalled.items())


async def test_a_picture_says_its_profile_and_is_made_again_by_what_that_stood_for(
    library, request_
):
    usual = DEFAULTS["num_inference_steps"]
    asked = replace(request_, num_inference_steps=usual, profile="balanced")
    done = (await told(service(Painter(), library), checked(asked)))[-1]
    made = provenance.read(done.pictures[0].png)
    assert made.asked == {"profile": "balanced"}
    assert made.parameters["num_inference_steps"] < usual


class Telling(Painter):
    """A painter whose pack is known when it has painted, as Triton's is."""

    def __init__(self):
        super().__init__()
        self.pack = {}

    async def render(self, request, pinned=None):
        async with aclosing(super().render(request, pinned)) as outputs:
            async for output in outputs:
                yield output
        self.pack = {**PACK, "few_steps": True}


async def test_a_picture_says_what_painted_it_though_its_profile_means_more_by_now(
    library, request_
):
    painter = Telling()
    usual = DEFAULTS["num_inference_steps"]
    asked = checked(replace(request_, num_inference_steps=usual, profile="fast"))
    serving = service(painter, library)
    painted = []
    for _ in range(2):
        done = (await told(serving, asked))[-1]
        made = provenance.read(done.pictures[0].png).parameters
        painted.append({name: getattr(painter.newest, name) for name in STANDS_FOR["profile"]})
        assert {name: made[name] for name in STANDS_FOR["profile"]} == painted[-1]
    assert [one["scheduler"] for one in painted] == ["dpmpp_2m", "lcm"]


async def test_what_a_profile_stands_for_is_checked_before_the_render_waits(library, request_):
    usual = DEFAULTS["num_inference_steps"]
    fields = {"num_inference_steps": usual, "profile": "fast", "strength": 0.1}
    asked = replace(request_, image=request_.sketch, **fields)
    with pytest.raises(InvalidRequest, match="strength is 0.1; allowed: 0.17 to 1 with 6 steps"):
        await service(Painter(), library).check(asked)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"width": 1024, "height": 1024}, "width is 1024 .*; allowed: at most 262,144 pixels"),
        ({"sketch": (320, 64)}, "sketch is 320 x 64 pixels; allowed: sides of at most 4 to 1"),
        ({"image": (64, 64), "pad": (512, 0, 0, 0)}, "image is 576 x 64 pixels; allowed: sides"),
        ({"image": (64, 64), "mask": (64, 128)}, "mask is 64 x 128 pixels; allowed: 64 x 64"),
        (
            {"image": (512, 640), "upscale": 4},
            r"upscale is 4 \(x 512 x 640 .*at most 4,194,304",
        ),
    ],
)
async def test_what_is_not_painted_at_its_size_is_known_before_it_waits(
    library, request_, fields, words
):
    painter = Painter()
    painter.pack = {**PACK, "native_size": 256}
    sent = {
        name: encoded(Image.new("RGB", value)) if name in ("sketch", "image", "mask") else value
        for name, value in fields.items()
    }
    with pytest.raises(InvalidRequest, match=f"^{words}"):
        await service(painter, library).check(replace(request_, **sent))
    assert not painter.begun


async def test_an_image_that_is_only_enlarged_may_have_any_shape(library, request_):
    painter = Painter()
    painter.pack = {**PACK, "native_size": 256}
    strip = encoded(Image.new("RGB", (640, 64)))
    serving = service(painter, library)
    await serving.check(replace(request_, image=strip, upscale=2))
    with pytest.raises(InvalidRequest, match="sides of at most 4 to 1"):
        await serving.check(replace(request_, image=strip))


async def test_a_render_that_is_cancelled_makes_no_further_attempt(library, request_):
    painter = Uneven(0.5, 0.5, 0.5)
    serving = service(painter, library)

    def leave(event):
        if isinstance(event, Attempted):
            rendering.cancel()

    asked = checked(replace(request_, structure_min=0.875))
    rendering = asyncio.create_task(serving.render(asked, leave))
    with pytest.raises(asyncio.CancelledError):
        await rendering
    assert painter.begun - painter.left_early == 1
    assert serving._admission.running == 0


class Recorder(Painter):
    """A painter that keeps what it was asked; it finds the nearest styles by the first axis."""

    def __init__(self):
        super().__init__()
        self.asked = []

    async def render(self, request, pinned=None):
        self.asked.append(request)
        async with aclosing(super().render(request, pinned)) as outputs:
            async for output in outputs:
                yield output


@pytest.fixture
async def blending(library):
    """A painter and a library of three styles, the later the farther from every prompt."""
    painter = Recorder()
    towards = await painter.embed_text("a house", 1)
    for number, name in enumerate(("near", "mid", "far")):
        away = np.zeros_like(towards)
        away[np.argmin(np.abs(towards))] = 0.1 * number
        vector = (towards + away) / np.linalg.norm(towards + away)

        async def embed(_picture, _clip, vector=vector):
            return vector

        colour = Image.new("RGB", (64, 64), (60 * number, 0, 0))
        await library.add(NewStyle(encoded(colour), name, ["mine"]), embed)
    return painter, service(painter, library)


async def pictures_of(library, *names):
    return tuple([await library.picture(await library.get(name)) for name in names])


async def test_named_styles_are_blended_with_their_weights(library, blending, request_):
    painter, serving = blending
    request = replace(request_, style="", styles=("Far", "near"), style_weights=(0.25, 0.5))
    await serving.check(request)
    done = (await told(serving, checked(request)))[-1]
    assert painter.asked[0].style_images == await pictures_of(library, "far", "near")
    assert painter.asked[0].weights == pytest.approx((1 / 3, 2 / 3))
    assert (done.chosen.weights, done.chosen.temperature) == ({"far": 0.25, "near": 0.5}, None)
    made = provenance.read(done.pictures[0].png)
    assert [(one.style, one.weight) for one in made.style_images] == [("far", 0.25), ("near", 0.5)]


async def test_the_nearest_styles_are_blended_by_their_scores(library, blending, request_):
    painter, serving = blending
    request = replace(request_, style="", style_filter=("mine",), style_count=2)
    done = (await told(serving, checked(request)))[-1]
    scores = [each.score for each in done.chosen.styles]
    assert scores[0] > scores[1] > 0.9
    weights = weights_of(scores)
    assert done.chosen.weights == dict(zip(("near", "mid"), weights, strict=True))
    assert done.chosen.temperature == TEMPERATURE
    assert painter.asked[0].style_images == await pictures_of(library, "near", "mid")
    assert painter.asked[0].style_weights == weights
    # Named with the weights that the picture says, they come back the same, unretrieved.
    made = provenance.read(done.pictures[0].png)
    named = replace(
        request, style_filter=(), style_count=1, styles=made.styles,
        style_weights=tuple(one.weight for one in made.style_images),
    )  # fmt: skip
    await told(serving, checked(named))
    assert painter.asked[1].weights == painter.asked[0].weights
    assert painter.asked[1].style_images == painter.asked[0].style_images


@pytest.mark.parametrize("count", [4, 8])
async def test_more_styles_than_there_are_is_all_of_them(blending, request_, count):
    _, serving = blending
    request = replace(request_, style="", style_filter=("mine",), style_count=count)
    done = (await told(serving, checked(request)))[-1]
    assert list(done.chosen.weights) == ["near", "mid", "far"]


async def test_a_style_is_named_once(blending, request_):
    _, serving = blending
    twice = replace(request_, style="", styles=("near", "Near"))
    with pytest.raises(InvalidRequest, match=r"^styles is 'near' more than once; allowed: each st"):
        await serving.check(twice)
    with pytest.raises(NotFound, match="nowhere"):
        await serving.check(replace(twice, styles=("near", "nowhere")))


class Chooser(Painter):
    """A painter with a candidate, that remembers which set of versions each render had."""

    def __init__(self, **tried):
        super().__init__()
        self.served_versions.by_alias = {
            "champion": PinnedVersions(),
            "candidate": PinnedVersions(unet=3),
        }
        self.served_versions.canary = Canary(**tried)
        self.made_by = []
        self.has_begun = asyncio.Event()

    async def render(self, request, pinned=None):
        self.made_by.append(pinned)
        self.has_begun.set()
        async with aclosing(super().render(request, pinned)) as outputs:
            async for output in outputs:
                yield output


async def test_the_picture_names_what_was_sent_and_holds_what_was_used(library, request_):
    photo = encoded(Image.linear_gradient("L").resize((3000, 600)).convert("RGB"), "JPEG")
    rendering = service(Painter(), library)
    allowed = await rendering.check(replace(request_, sketch=photo))
    done = (await told(rendering, allowed))[-1]
    used = images.to_png(photo, "sketch")
    assert done.warnings == used.warnings != ()
    made = provenance.read(done.pictures[0].png)
    assert made.sources["sketch"].sha256 == hashlib.sha256(photo).hexdigest()
    assert made.sources["sketch"].png == used.png
    # What it holds makes the same picture.
    again = await rendering.check(replace(request_, sketch=made.sources["sketch"].png))
    assert again.request.sketch == used.png


async def test_a_render_gets_the_versions_that_it_asks_for(library, request_):
    painter = Chooser()
    for alias in ("", "champion", "candidate"):
        asked = replace(request_, versions=alias)
        await service(painter, library).check(asked)
        await told(service(painter, library), checked(asked))
    assert painter.made_by == [PinnedVersions(), PinnedVersions(), PinnedVersions(unet=3)]


async def test_versions_that_are_not_served_are_known_before_it_waits(library, request_):
    with pytest.raises(NotFound, match="no previous is served; there is: champion, candidate"):
        await service(Chooser(), library).check(replace(request_, versions="previous"))


async def test_nothing_is_promised_before_there_is_a_champion(library, request_):
    painter = Chooser()
    painter.served_versions.by_alias = {}
    with pytest.raises(Unavailable, match="being loaded"):
        await told(service(painter, library), checked(request_))


async def test_the_candidate_makes_its_share(library, request_):
    painter = Chooser(share=1.0)
    await told(service(painter, library), checked(request_))
    assert painter.made_by == [PinnedVersions(unet=3)]
    # Who asks for the champion gets it.
    await told(service(painter, library), checked(replace(request_, versions="champion")))
    assert painter.made_by[-1] == PinnedVersions()


class Broken(Chooser):
    """One whose renders fail by the sets of versions that `fails` names."""

    def __init__(self, fails, error=None, **tried):
        super().__init__(**tried)
        self.fails = fails
        self.error = error or StageFailed("the stage denoiser failed")
        self.recovery = self

    async def reload(self, model):
        """In vain."""

    async def render(self, request, pinned=None):
        self.failure = self.error if pinned in self.fails else None
        async with aclosing(super().render(request, pinned)) as outputs:
            async for output in outputs:
                yield output


CANDIDATE_, CHAMPION_ = PinnedVersions(unet=3), PinnedVersions()


async def test_what_the_candidate_fails_at_the_champion_makes(library, request_):
    painter = Broken([CANDIDATE_], share=1.0)
    went = []
    serving = Service(
        painter, library, Admission(1, 1), Moderation([], seconds=5),
        painted_by=lambda pinned, how: went.append((pinned, how is None)),
    )  # fmt: skip
    events = await told(serving, checked(request_))
    assert events[-1].versions == CHAMPION_.versions
    assert events[-1].pictures[0].seed == provenance.read(events[-1].pictures[0].png).parameters[
        "seed"
    ]  # fmt: skip
    assert painter.made_by == [CANDIDATE_, CHAMPION_]
    assert serving.canary_counts == Counts(1, 1, 1)
    assert went == [("unet3", True), ("", False)]
    assert not +painter.served_versions._flying


@pytest.mark.parametrize(
    "error",
    [StageFailed("canny: cannot decode"), CallerError("sketch is wrong; allowed: a picture."),
     Unavailable("Triton is away."), ModelDied("canny")],
    ids=["a stage", "the caller", "Triton", "another process"],
)  # fmt: skip
async def test_what_is_not_the_candidate_s_fault_does_not_count(library, request_, error):
    """A file that the champion fails at as well, what is away, what was killed."""
    painter = Broken([CANDIDATE_, CHAMPION_], error, share=1.0)
    serving = service(painter, library)
    for _ in range(30):
        with pytest.raises(type(error)):
            await told(serving, checked(request_))
    assert serving.canary_counts == Counts()
    painter.fails = []
    await told(serving, checked(request_))
    assert painter.made_by[-1] == CANDIDATE_


async def test_an_engine_that_kills_its_process_counts(library, request_):
    painter = Broken([CANDIDATE_], ModelDied("unet"), share=1.0)
    serving = service(painter, library)
    assert (await told(serving, checked(request_)))[-1].versions == CHAMPION_.versions
    assert painter.made_by == [CANDIDATE_, CANDIDATE_, CHAMPION_]
    assert serving.canary_counts.failed_renders == 1


async def test_a_render_that_is_cancelled_counts_for_nobody(library, request_):
    painter = Chooser(share=1.0)
    serving = service(painter, library)

    def leave(event):
        if isinstance(event, Stepped) and event.step == 2:
            rendering.cancel()

    rendering = asyncio.create_task(serving.render(checked(request_), leave))
    with pytest.raises(asyncio.CancelledError):
        await rendering
    assert painter.left_early == 1
    assert serving.canary_counts == Counts()


@pytest.mark.parametrize("alias", ["candidate", "champion"])
async def test_who_asks_for_versions_gets_those_and_counts_for_nobody(library, request_, alias):
    """A gate among them: it has to see what fails, and is not what people ask for."""
    painter = Broken([CANDIDATE_], share=0.5, shadow=1.0)
    serving, asked = service(painter, library), replace(request_, versions=alias)
    if alias == "candidate":
        with pytest.raises(StageFailed):
            await told(serving, checked(asked))
    else:
        await told(serving, checked(asked))
        await asyncio.gather(*serving._painting._shadows)
    assert painter.made_by == [painter.served_versions.named(alias)]
    assert serving.canary_counts == Counts()


@pytest.mark.parametrize(("error", "failed"), [(None, 1), (ModelDied("canny"), 0)])
async def test_a_shadow_that_fails_counts_where_the_candidate_may_be_why(
    library, request_, error, failed
):
    painter = Broken([CANDIDATE_], error, shadow=1.0)
    casting = Service(painter, library, Admission(2, 0), Moderation([], seconds=5))
    await told(casting, checked(request_))
    await asyncio.gather(*casting._painting._shadows)
    assert casting.canary_counts == Counts(failed, failed, 1)


async def test_a_shadow_is_cast_once_the_render_is_done(library, request_):
    painter = Chooser(shadow=1.0)
    went = []
    casting = Service(
        painter, library, Admission(2, 0), Moderation([], seconds=5),
        painted_by=lambda pinned, went_: went.append((pinned, went_)),
    )  # fmt: skip
    events = await told(casting, checked(request_))
    assert isinstance(events[-1], Finished)
    await asyncio.gather(*casting._painting._shadows)
    assert painter.made_by == [PinnedVersions(), PinnedVersions(unet=3)]
    assert [pinned for pinned, _ in went] == ["", "unet3"]
    assert all(one.structure_f1 == 0.75 for _, one in went)


async def test_a_shadow_leaves_a_place_for_others(library, request_):
    painter, admission = Chooser(shadow=1.0), Admission(2, 0)
    casting = Service(painter, library, admission, Moderation([], seconds=5))
    async with admission.slot():
        await told(casting, checked(request_))
        await asyncio.gather(*casting._painting._shadows)
    assert painter.made_by == [PinnedVersions()]
    await told(casting, checked(request_))
    await asyncio.gather(*casting._painting._shadows)
    assert painter.made_by[1:] == [PinnedVersions(), PinnedVersions(unet=3)]


async def test_a_shadow_ends_with_the_service(library, request_):
    painter, admission = Chooser(shadow=1.0), Admission(2, 0)
    casting = Service(painter, library, admission, Moderation([], seconds=5))

    def hold_after_the_last_step(event):
        if isinstance(event, Stepped) and event.step == event.steps:
            # All that is left is the shadow's.
            painter.hold()

    await casting.render(checked(request_), hold_after_the_last_step)
    # The render may end before its shadow has begun.
    async with asyncio.timeout(10):
        while painter.begun < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
    await casting.close()
    assert (painter.made_by, painter.left_early) == ([PinnedVersions(), PinnedVersions(unet=3)], 1)
    assert admission.running == 0
    assert not +painter.served_versions._flying
    # And once there is none.
    await casting.close()


@pytest.mark.parametrize(("kind", "is_little"), [("PNG", True), ("PNG with a title", False)])
async def test_only_a_bare_png_is_worked_on_where_every_call_waits(
    library, request_, monkeypatch, kind, is_little
):
    threads = []

    def noting(work):
        def noted(*args):
            threads.append(threading.current_thread())
            return work(*args)

        return noted

    monkeypatch.setattr(Service, "_finished", noting(Service._finished))
    options = {}
    if "title" in kind:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Title", "A house", zip=True)
    style = encoded(Image.new("RGB", (64, 64), "white"), **options)
    asked = replace(request_, style="", style_images=(style,))
    events = await told(service(Painter(), library), checked(asked))
    assert isinstance(events[-1], Finished)
    assert [thread is threading.current_thread() for thread in threads] == [is_little]


@pytest.mark.parametrize("followed", [True, False])
async def test_the_picture_names_the_files_of_the_versions_that_made_it(
    library, request_, tmp_path, followed
):
    folder = write_version(tmp_path / "vae_decoder/1", "vae_decoder")
    write_version(tmp_path / "vae_decoder/2", "vae_decoder", seed=2)
    naming = Service(
        Painter(), library, Admission(1, 1), Moderation([], seconds=5),
        repository=LocalRepository(tmp_path) if followed else None,
    )  # fmt: skip
    events = await told(naming, checked(request_))
    pack = provenance.read(events[-1].pictures[0].png).pack
    assert pack.engines == ({"vae_decoder": "1" * 16} if followed else {})
    # The others have no manifest here.
    assert pack.sha256 == ({"vae_decoder": manifest.read(folder).sha256} if followed else {})
    assert pack.versions == PinnedVersions().versions


async def test_the_picture_tells_one_truth_of_what_made_it(
    library, request_, tmp_path, monkeypatch
):
    """The engines of the versions that painted, whatever the last export wrote."""
    exported = {"unet": "a" * 16, "vae_decoder": "b" * 16, "clip_text": "c" * 16}
    monkeypatch.setitem(PACK, "engines", exported)
    write_version(tmp_path / "unet/1", "unet", fingerprint="a" * 64, pack="painted")
    write_version(tmp_path / "unet/3", "unet", seed=3, fingerprint="d" * 64, pack="mine")
    painter = Chooser()
    serving = Service(
        painter,
        library,
        Admission(1, 1),
        Moderation([], seconds=5),
        repository=LocalRepository(tmp_path),
    )
    made = {}
    for alias in ("champion", "candidate"):
        done = (await told(serving, checked(replace(request_, versions=alias))))[-1]
        made[alias] = provenance.read(done.pictures[0].png).pack
    assert made["champion"].engines == {"unet": "a" * 16, "vae_decoder": "b" * 16}
    assert made["champion"].name == "painted"
    assert made["candidate"].engines == {"unet": "d" * 16, "vae_decoder": "b" * 16}
    assert made["candidate"].name == "painted (unet of mine)"
    assert made["candidate"].versions["unet"] == 3
    assert made["champion"].sha256["unet"] != made["candidate"].sha256["unet"]


async def test_pinned_versions_are_kept_for_as_long_as_a_render_needs_it(library, request_):
    painter = Chooser()
    painter.hold()
    asked = checked(replace(request_, versions="candidate"))
    rendering = asyncio.create_task(told(service(painter, library), asked))
    await painter.has_begun.wait()
    assert +painter.served_versions._flying == {PinnedVersions(unet=3): 1}
    painter.go_on()
    await rendering
    assert not +painter.served_versions._flying


async def test_how_many_style_strengths_there_may_be_is_the_packs_to_say(library, request_):
    painter = Painter()
    painter.pack = {**PACK, "topology": asdict(replace(SD15, layers_per_block=1))}
    serving = service(painter, library)
    await serving.check(replace(request_, ip_adapter_scale=(0.5,) * 10))
    with pytest.raises(InvalidRequest, match="16 values; allowed: 1 value, or 10"):
        await serving.check(replace(request_, ip_adapter_scale=(0.5,) * 16))
    painter.pack = {}
    await serving.check(replace(request_, ip_adapter_scale=(0.5,) * 16))
    await serving.close()
