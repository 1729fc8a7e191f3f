"""What follows from the aliases, over a Triton that keeps books of what it was told to hold."""

from __future__ import annotations

import pytest

from gateway.triton.loading import Away, NotLoaded
from gateway.triton.pinned_versions import ServedVersions
from pipeline import pinned_versions
from pipeline.errors import NotFound, Unavailable
from pipeline.pinned_versions import PinnedVersions
from versions import aliases, locks
from versions.aliases import CLIP, Aliases


class Books:
    """A loader as strict as Triton: ensembles need their versions, a load takes the config's."""

    def __init__(self, repository):
        self.repository = repository
        self.ready = True
        self.versions = {name: {1} for name in (*pinned_versions.NETWORKS, *CLIP)}
        self.configs = {}
        self.ensembles = {}
        self.broken = set()
        self.settled = []

    async def is_ready(self):
        return self.ready

    async def holds(self, name, version=1):
        return name in self.ensembles or version in self.versions.get(name, ())

    async def held(self):
        return {name: frozenset(versions) for name, versions in self.versions.items()}

    def has_few_steps(self):
        return True

    async def write_configs(self, versions):
        self.configs |= {name: set(wanted) for name, wanted in versions.items()}

    async def settle(self, network):
        self.settled.append(network)
        failing = {(network, v) for v in self.configs[network]} & self.broken
        if failing:
            raise NotLoaded(f"Triton did not load {failing}")
        gone = self.versions[network] - self.configs[network]
        for name, pins in self.ensembles.items():
            assert pins.get(network) not in gone, f"{name} needs {network} {gone}"
        self.versions[network] = set(self.configs[network])

    async def load_ensemble(self, name, _written, pins):
        for network, version in pins.items():
            assert version in self.versions[network], f"{name} needs {network} {version}"
        self.ensembles[name] = dict(pins)

    async def unload(self, name):
        del self.ensembles[name]

    def restart(self):
        self.__init__(self.repository)


class Vectors:
    def __init__(self):
        self.clip = 1
        self.refuses = False

    async def use(self, clip):
        assert clip != self.clip
        if self.refuses:
            raise Unavailable(f"The vectors of CLIP {clip} are not all there.")
        self.clip = clip


@pytest.fixture
def books(tmp_path):
    return Books(tmp_path)


@pytest.fixture
def served_versions(books):
    found = ServedVersions(books)
    found._vectors = Vectors()
    return found


def name(books, **named):
    aliases.write(books.repository, "unet", Aliases(**named))


async def test_nothing_is_offered_before_triton_is_ready(served_versions, books):
    books.ready = False
    await served_versions.look(books)
    assert not served_versions.ready
    with pytest.raises(Unavailable, match="being loaded"):
        served_versions.named("champion")
    books.ready = True
    await served_versions.look(books)
    assert served_versions.champion == PinnedVersions()


async def test_a_candidate_is_loaded_beside_the_champion(served_versions, books):
    name(books, champion=1, candidate=3)
    await served_versions.look(books)
    assert served_versions.by_alias == {
        "champion": PinnedVersions(),
        "candidate": PinnedVersions(unet=3),
    }
    assert books.versions["unet"] == {1, 3}
    assert {"denoiser", "denoiser.unet3", "condition.unet3"} <= set(books.ensembles)


async def test_what_is_loaded_is_switched_to_without_a_word_to_triton(served_versions, books):
    name(books, champion=1, candidate=3)
    await served_versions.look(books)
    books.settled.clear()
    for champion, previous in ((3, 1), (1, 3), (3, 1)):
        name(books, champion=champion, previous=previous)
        await served_versions.look(books)
        assert served_versions.champion == PinnedVersions(unet=champion)
        assert served_versions.named("previous") == PinnedVersions(unet=previous)
    assert books.settled == []


async def test_what_nobody_names_goes_once_no_render_needs_it(served_versions, books):
    name(books, champion=1, candidate=3)
    await served_versions.look(books)
    with served_versions.flying(PinnedVersions(unet=3)):
        name(books, champion=1)
        await served_versions.look(books)
        with pytest.raises(NotFound, match="no candidate is served; there is: champion"):
            served_versions.named("candidate")
        # Another version comes, and the one in flight stays all the same.
        name(books, champion=1, candidate=4)
        await served_versions.look(books)
        assert books.versions["unet"] == {1, 3, 4}
        assert "denoiser.unet3" in books.ensembles
    await served_versions.look(books)
    assert books.versions["unet"] == {1, 4}
    assert "denoiser.unet3" not in books.ensembles


async def test_the_exported_versions_go_like_any_others(served_versions, books):
    name(books, champion=3)
    await served_versions.look(books)
    await served_versions.look(books)
    assert books.versions["unet"] == {3}
    assert not {"denoiser", "condition"} & set(books.ensembles)


async def test_a_candidate_that_does_not_load_is_told_and_nothing_else_changes(
    served_versions, books
):
    await served_versions.look(books)
    books.broken.add(("unet", 4))
    name(books, champion=1, candidate=4)
    await served_versions.look(books)
    assert served_versions.by_alias == {"champion": PinnedVersions()}
    assert "candidate is not served" in served_versions.problem
    assert books.versions["unet"] == {1}
    name(books, champion=1)
    await served_versions.look(books)
    assert served_versions.problem == ""


async def test_a_champion_that_does_not_load_leaves_the_one_before_in_place(served_versions, books):
    await served_versions.look(books)
    books.broken.add(("unet", 4))
    name(books, champion=4, previous=1)
    await served_versions.look(books)
    assert served_versions.champion == PinnedVersions()
    assert "champion is not served" in served_versions.problem


@pytest.mark.parametrize(
    "named",
    [{"champion": 3, "previous": 1}, {"champion": 1, "previous": 3},
     {"champion": 1, "candidate": 3}],
)  # fmt: skip
async def test_a_triton_that_was_started_anew_is_given_everything_again(
    served_versions, books, named
):
    name(books, **named)
    await served_versions.look(books)
    books.restart()
    # What it starts with by itself.
    books.ensembles |= {"denoiser": {}, "condition": {}, "embed_text": {}, "embed_image": {}}
    await served_versions.look(books)
    assert books.versions["unet"] == {1, 3}
    assert "denoiser.unet3" in books.ensembles


async def test_a_champion_that_cannot_be_let_go_of_again_serves_on(served_versions, books):
    await served_versions.look(books)
    books.broken |= {("unet", 4), ("unet", 1)}
    name(books, champion=1, candidate=4)
    await served_versions.look(books)
    assert served_versions.champion == PinnedVersions()
    assert "candidate is not served" in served_versions.problem


async def test_a_new_clip_embeds_once_its_vectors_are_there(served_versions, books):
    vectors = served_versions._vectors
    vectors.refuses = True
    aliases.write(books.repository, "clip_text", Aliases(champion=2, previous=1))
    await served_versions.look(books)
    assert (vectors.clip, served_versions.clip) == (1, 1)
    assert "CLIP 2 are not all there" in served_versions.problem
    # Its networks are there already, for whoever makes the vectors.
    assert {"embed_image.clip2", "embed_image"} <= set(books.ensembles)
    vectors.refuses = False
    served_versions._again = 0
    await served_versions.look(books)
    assert (vectors.clip, served_versions.problem) == (2, "")
    assert books.versions["clip_text"] == books.versions["clip_image"] == {1, 2}


async def test_a_roll_back_waits_for_no_load(served_versions, books):
    name(books, champion=3, previous=1)
    await served_versions.look(books)
    name(books, champion=1, previous=3, candidate=4)
    await served_versions.offer_held(books)
    assert served_versions.by_alias == {
        "champion": PinnedVersions(),
        "previous": PinnedVersions(unet=3),
    }
    assert books.versions["unet"] == {1, 3}


async def test_what_took_long_to_load_does_not_undo_a_change_meanwhile(served_versions, books):
    name(books, champion=3, previous=1)
    await served_versions.look(books)
    name(books, champion=3, previous=1, candidate=4)
    load = books.load_ensemble

    async def roll_back_meanwhile(*told):
        books.load_ensemble = load
        name(books, champion=1, previous=3, candidate=4)
        await served_versions.offer_held(books)
        await load(*told)

    books.load_ensemble = roll_back_meanwhile
    await served_versions.look(books)
    assert served_versions.champion == PinnedVersions()
    await served_versions.look(books)
    assert served_versions.by_alias == {
        "champion": PinnedVersions(),
        "candidate": PinnedVersions(unet=4),
        "previous": PinnedVersions(unet=3),
    }


async def test_a_candidate_that_ends_triton_is_not_tried_again(served_versions, books):
    await served_versions.look(books)
    name(books, champion=1, candidate=4)
    settle = books.settle

    async def end(network):
        raise Away

    books.settle = end
    with pytest.raises(Away):
        await served_versions.look(books)
    books.settle = settle
    books.restart()
    books.ensembles |= {"denoiser": {}, "condition": {}, "embed_text": {}, "embed_image": {}}
    await served_versions.look(books)
    assert served_versions.by_alias == {"champion": PinnedVersions()}
    assert "Triton ended while it was loaded" in served_versions.problem
    # Another choice is another try.
    name(books, champion=1, candidate=5)
    await served_versions.look(books)
    assert served_versions.named("candidate") == PinnedVersions(unet=5)


async def test_what_a_restarted_triton_lost_is_not_offered_meanwhile(served_versions, books):
    name(books, champion=3, previous=1)
    await served_versions.look(books)
    books.restart()
    books.ready = False
    await served_versions.look(books)
    assert not served_versions.ready


async def test_a_clip_that_does_not_load_keeps_no_other_from_serving(served_versions, books):
    aliases.write(books.repository, "clip_text", Aliases(champion=2, previous=1))
    await served_versions.look(books)
    books.broken.add(("clip_text", 3))
    aliases.write(books.repository, "clip_text", Aliases(champion=1, previous=2, candidate=3))
    await served_versions.look(books)
    assert served_versions.clip == 1
    assert "CLIP is not served" in served_versions.problem
    assert books.versions["clip_text"] == {1, 2}


async def test_a_gateway_that_starts_leaves_the_clip_that_serves_alone(books):
    found = ServedVersions(books)
    vectors = Vectors()
    vectors.clip = 3
    aliases.write(books.repository, "clip_text", Aliases(champion=3, previous=2))
    for network in CLIP:
        books.versions[network] = {2, 3}
    found._vectors, found._clips = vectors, frozenset({3})
    await found.look(books)
    assert found.ready
    assert books.versions["clip_text"] == {2, 3}
    assert not {"clip_text", "clip_image"} & set(books.settled)


async def test_what_was_said_of_an_earlier_choice_is_over_at_once(served_versions, books):
    books.broken.add(("unet", 4))
    name(books, champion=1, candidate=4)
    await served_versions.look(books)
    assert served_versions.problem
    name(books, champion=1)
    assert not served_versions.problem


async def test_it_is_known_that_a_gateway_follows(books):
    async with ServedVersions(books).following(Vectors()):
        assert locks.is_followed(books.repository)
        async with ServedVersions(books).following(Vectors()):
            assert locks.is_followed(books.repository)
        assert locks.is_followed(books.repository)
    assert not locks.is_followed(books.repository)


async def test_two_models_with_candidates_make_one_set(served_versions, books):
    name(books, champion=1, candidate=3)
    aliases.write(books.repository, "controlnet", Aliases(champion=1, candidate=2))
    await served_versions.look(books)
    assert served_versions.named("candidate") == PinnedVersions(unet=3, controlnet=2)
    assert "denoiser.controlnet2-unet3" in books.ensembles
