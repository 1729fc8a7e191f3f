"""What follows from the aliases, over a Triton that keeps books of what it was told to hold."""

from __future__ import annotations

import pytest

from gateway.lineups import LineUps
from gateway.loading import Away, NotLoaded
from pipeline import lineup
from pipeline.errors import NotFound, Unavailable
from pipeline.lineup import LineUp
from versions import aliases, locks
from versions.aliases import CLIP, Aliases


class Books:
    """A loader as strict as Triton: ensembles need their versions, a load takes the config's."""

    def __init__(self, repository):
        self.repository = repository
        self.ready = True
        self.versions = {name: {1} for name in (*lineup.NETWORKS, *CLIP)}
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
def line_ups(books):
    found = LineUps(books)
    found._vectors = Vectors()
    return found


def name(books, **named):
    aliases.write(books.repository, "unet", Aliases(**named))


async def test_nothing_is_offered_before_triton_is_ready(line_ups, books):
    books.ready = False
    await line_ups.look(books)
    assert not line_ups.ready
    with pytest.raises(Unavailable, match="being loaded"):
        line_ups.named("champion")
    books.ready = True
    await line_ups.look(books)
    assert line_ups.champion == LineUp()


async def test_a_candidate_is_loaded_beside_the_champion(line_ups, books):
    name(books, champion=1, candidate=3)
    await line_ups.look(books)
    assert line_ups.by_alias == {"champion": LineUp(), "candidate": LineUp(unet=3)}
    assert books.versions["unet"] == {1, 3}
    assert {"denoiser", "denoiser.unet3", "condition.unet3"} <= set(books.ensembles)


async def test_what_is_loaded_is_switched_to_without_a_word_to_triton(line_ups, books):
    name(books, champion=1, candidate=3)
    await line_ups.look(books)
    books.settled.clear()
    for champion, previous in ((3, 1), (1, 3), (3, 1)):
        name(books, champion=champion, previous=previous)
        await line_ups.look(books)
        assert line_ups.champion == LineUp(unet=champion)
        assert line_ups.named("previous") == LineUp(unet=previous)
    assert books.settled == []


async def test_what_nobody_names_goes_once_no_render_needs_it(line_ups, books):
    name(books, champion=1, candidate=3)
    await line_ups.look(books)
    with line_ups.flying(LineUp(unet=3)):
        name(books, champion=1)
        await line_ups.look(books)
        with pytest.raises(NotFound, match="no candidate is served; there is: champion"):
            line_ups.named("candidate")
        # Another version comes, and the one in flight stays all the same.
        name(books, champion=1, candidate=4)
        await line_ups.look(books)
        assert books.versions["unet"] == {1, 3, 4}
        assert "denoiser.unet3" in books.ensembles
    await line_ups.look(books)
    assert books.versions["unet"] == {1, 4}
    assert "denoiser.unet3" not in books.ensembles


async def test_the_exported_versions_go_like_any_others(line_ups, books):
    name(books, champion=3)
    await line_ups.look(books)
    await line_ups.look(books)
    assert books.versions["unet"] == {3}
    assert not {"denoiser", "condition"} & set(books.ensembles)


async def test_a_candidate_that_does_not_load_is_told_and_nothing_else_changes(line_ups, books):
    await line_ups.look(books)
    books.broken.add(("unet", 4))
    name(books, champion=1, candidate=4)
    await line_ups.look(books)
    assert line_ups.by_alias == {"champion": LineUp()}
    assert "candidate is not served" in line_ups.problem
    assert books.versions["unet"] == {1}
    name(books, champion=1)
    await line_ups.look(books)
    assert line_ups.problem == ""


async def test_a_champion_that_does_not_load_leaves_the_one_before_in_place(line_ups, books):
    await line_ups.look(books)
    books.broken.add(("unet", 4))
    name(books, champion=4, previous=1)
    await line_ups.look(books)
    assert line_ups.champion == LineUp()
    assert "champion is not served" in line_ups.problem


@pytest.mark.parametrize(
    "named",
    [{"champion": 3, "previous": 1}, {"champion": 1, "previous": 3},
     {"champion": 1, "candidate": 3}],
)  # fmt: skip
async def test_a_triton_that_was_started_anew_is_given_everything_again(line_ups, books, named):
    name(books, **named)
    await line_ups.look(books)
    books.restart()
    # What it starts with by itself.
    books.ensembles |= {"denoiser": {}, "condition": {}, "embed_text": {}, "embed_image": {}}
    await line_ups.look(books)
    assert books.versions["unet"] == {1, 3}
    assert "denoiser.unet3" in books.ensembles


async def test_a_champion_that_cannot_be_let_go_of_again_serves_on(line_ups, books):
    await line_ups.look(books)
    books.broken |= {("unet", 4), ("unet", 1)}
    name(books, champion=1, candidate=4)
    await line_ups.look(books)
    assert line_ups.champion == LineUp()
    assert "candidate is not served" in line_ups.problem


async def test_a_new_clip_embeds_once_its_vectors_are_there(line_ups, books):
    vectors = line_ups._vectors
    vectors.refuses = True
    aliases.write(books.repository, "clip_text", Aliases(champion=2, previous=1))
    await line_ups.look(books)
    assert (vectors.clip, line_ups.clip) == (1, 1)
    assert "CLIP 2 are not all there" in line_ups.problem
    # Its networks are there already, for whoever makes the vectors.
    assert {"embed_image.clip2", "embed_image"} <= set(books.ensembles)
    vectors.refuses = False
    line_ups._again = 0
    await line_ups.look(books)
    assert (vectors.clip, line_ups.problem) == (2, "")
    assert books.versions["clip_text"] == books.versions["clip_image"] == {1, 2}


async def test_a_roll_back_waits_for_no_load(line_ups, books):
    name(books, champion=3, previous=1)
    await line_ups.look(books)
    name(books, champion=1, previous=3, candidate=4)
    await line_ups.offer_held(books)
    assert line_ups.by_alias == {"champion": LineUp(), "previous": LineUp(unet=3)}
    assert books.versions["unet"] == {1, 3}


async def test_what_took_long_to_load_does_not_undo_a_change_meanwhile(line_ups, books):
    name(books, champion=3, previous=1)
    await line_ups.look(books)
    name(books, champion=3, previous=1, candidate=4)
    load = books.load_ensemble

    async def roll_back_meanwhile(*told):
        books.load_ensemble = load
        name(books, champion=1, previous=3, candidate=4)
        await line_ups.offer_held(books)
        await load(*told)

    books.load_ensemble = roll_back_meanwhile
    await line_ups.look(books)
    assert line_ups.champion == LineUp()
    await line_ups.look(books)
    assert line_ups.by_alias == {
        "champion": LineUp(), "candidate": LineUp(unet=4), "previous": LineUp(unet=3),
    }  # fmt: skip


async def test_a_candidate_that_ends_triton_is_not_tried_again(line_ups, books):
    await line_ups.look(books)
    name(books, champion=1, candidate=4)
    settle = books.settle

    async def end(network):
        raise Away

    books.settle = end
    with pytest.raises(Away):
        await line_ups.look(books)
    books.settle = settle
    books.restart()
    books.ensembles |= {"denoiser": {}, "condition": {}, "embed_text": {}, "embed_image": {}}
    await line_ups.look(books)
    assert line_ups.by_alias == {"champion": LineUp()}
    assert "Triton ended while it was loaded" in line_ups.problem
    # Another choice is another try.
    name(books, champion=1, candidate=5)
    await line_ups.look(books)
    assert line_ups.named("candidate") == LineUp(unet=5)


async def test_what_a_restarted_triton_lost_is_not_offered_meanwhile(line_ups, books):
    name(books, champion=3, previous=1)
    await line_ups.look(books)
    books.restart()
    books.ready = False
    await line_ups.look(books)
    assert not line_ups.ready


async def test_a_clip_that_does_not_load_keeps_no_other_from_serving(line_ups, books):
    aliases.write(books.repository, "clip_text", Aliases(champion=2, previous=1))
    await line_ups.look(books)
    books.broken.add(("clip_text", 3))
    aliases.write(books.repository, "clip_text", Aliases(champion=1, previous=2, candidate=3))
    await line_ups.look(books)
    assert line_ups.clip == 1
    assert "CLIP is not served" in line_ups.problem
    assert books.versions["clip_text"] == {1, 2}


async def test_a_gateway_that_starts_leaves_the_clip_that_serves_alone(books):
    found = LineUps(books)
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


async def test_what_was_said_of_an_earlier_choice_is_over_at_once(line_ups, books):
    books.broken.add(("unet", 4))
    name(books, champion=1, candidate=4)
    await line_ups.look(books)
    assert line_ups.problem
    name(books, champion=1)
    assert not line_ups.problem


async def test_it_is_known_that_a_gateway_follows(books):
    async with LineUps(books).following(Vectors()):
        assert locks.is_followed(books.repository)
        async with LineUps(books).following(Vectors()):
            assert locks.is_followed(books.repository)
        assert locks.is_followed(books.repository)
    assert not locks.is_followed(books.repository)


async def test_two_models_with_candidates_make_one_line_up(line_ups, books):
    name(books, champion=1, candidate=3)
    aliases.write(books.repository, "controlnet", Aliases(champion=1, candidate=2))
    await line_ups.look(books)
    assert line_ups.named("candidate") == LineUp(unet=3, controlnet=2)
    assert "denoiser.controlnet2-unet3" in books.ensembles
