"""Which models TorchServe should serve, and the steps that make it so: for any registered and any served ones."""

from hypothesis import given
from hypothesis import strategies as st

from lookalike.embedding.remote_protocol import served_name
from lookalike.pipeline.served_models import (
    Register,
    Scale,
    Served,
    Unregister,
    is_complete,
    plan,
    wanted_models,
)
from lookalike.types.models import ModelManifest, ResizePolicy

NAMES = st.sampled_from([f"m{number}" for number in range(6)])
WANTED = st.dictionaries(NAMES, st.integers(0, 3))
SERVED = st.dictionaries(
    NAMES,
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)).map(
        lambda three: Served(three[0], max(three[1], three[2]), three[2])
    ),
)


def after(action, served: dict[str, Served]) -> dict[str, Served]:
    """What a TorchServe does that does what it is told, at once."""
    match action:
        case Register(name, workers):
            assert name not in served, "TorchServe refuses a name that it has"
            return {**served, name: Served(workers, workers, workers)}
        case Scale(name, workers):
            assert name in served
            return {**served, name: Served(workers, workers, workers)}
        case Unregister(name):
            return {known: one for known, one in served.items() if known != name}


def manifest(name: str, version: int, *, digest: str | None = None) -> ModelManifest:
    return ModelManifest(
        name=name,
        version=version,
        dimension=2,
        input_size=4,
        resize_policy=ResizePolicy.SQUASH,
        digest=digest or f"{name}-{version}",
    )


@given(wanted=WANTED, served=SERVED)
def test_the_plan_makes_the_served_models_equal_to_the_wanted_ones(wanted, served):
    found = dict(served)
    for action in plan(wanted, served):
        found = after(action, found)
    assert {name: one.workers for name, one in found.items()} == wanted
    assert plan(wanted, found) == ()


@given(wanted=WANTED, served=SERVED)
def test_nothing_is_done_to_what_is_as_it_should_be(wanted, served):
    for action in plan(wanted, served):
        one = served.get(action.name)
        was_right = one is not None and one.workers == wanted.get(action.name) and one.alive >= one.workers
        assert not was_right


@given(wanted=WANTED, served=SERVED)
def test_what_frees_memory_comes_first_and_no_model_is_touched_twice(wanted, served):
    actions = plan(wanted, served)
    assert len({action.name for action in actions}) == len(actions)
    frees = [
        isinstance(action, Unregister) or (isinstance(action, Scale) and action.workers < served[action.name].workers)
        for action in actions
    ]
    assert frees == sorted(frees, reverse=True)


@given(wanted=WANTED, served=SERVED)
def test_it_is_complete_only_when_nothing_is_left_to_do(wanted, served):
    if is_complete(wanted, served):
        assert all(isinstance(action, Scale) for action in plan(wanted, served))
        assert all(served[name].ready >= workers for name, workers in wanted.items())


def test_a_worker_that_starts_is_waited_for_and_one_that_was_given_up_is_started_again():
    assert plan({"m": 2}, {"m": Served(workers=2, alive=2, ready=0)}) == ()
    assert not is_complete({"m": 2}, {"m": Served(workers=2, alive=2, ready=0)})
    assert plan({"m": 2}, {"m": Served(workers=2, alive=1, ready=1)}) == (Scale("m", 2),)


def test_the_newest_version_and_what_is_live_have_workers_and_others_once_they_are_asked_for():
    first, second, third, other = (manifest("a", 1), manifest("a", 2), manifest("a", 3), manifest("b", 1))
    found = wanted_models([first, second, third, other], {first.embedding_digest}, set(), workers=2)
    assert {str(one.manifest.ref): one.workers for one in found.values()} == {"a@1": 2, "a@2": 0, "a@3": 2, "b@1": 2}
    found = wanted_models([first, second, third, other], set(), {served_name(second)}, workers=1)
    assert {str(one.manifest.ref): one.workers for one in found.values()} == {"a@1": 0, "a@2": 1, "a@3": 1, "b@1": 1}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5)), unique=True))
def test_every_registered_version_has_a_name_of_its_own(versions):
    manifests = [manifest(name, version) for name, version in versions]
    found = wanted_models(manifests, set(), set(), workers=1)
    assert sorted(str(one.manifest.ref) for one in found.values()) == sorted(str(one.ref) for one in manifests)
    for name, one in found.items():
        assert name == served_name(one.manifest)


def test_what_nobody_registered_is_served_no_longer():
    assert plan({}, {"stranger": Served(1, 1, 1)}) == (Unregister("stranger"),)
