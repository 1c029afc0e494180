"""Every command and option is documented; what pages call exists."""

import shlex

import pytest
from pages import DOCS, REPOSITORY, commands, generator, pages

REFERENCE = generator()
KNOWN = dict(REFERENCE.commands())
CALLS = [
    (page, call)
    for page in pages()
    if page.name != "cli.md"  # it describes calls
    for call in commands(page)
    if call.startswith("lookalike ")
]


def test_the_page_is_what_the_code_says() -> None:
    assert (DOCS / "reference" / "cli.md").read_text(encoding="utf-8") == REFERENCE.cli_page(), "make docs"


@pytest.mark.parametrize("name", KNOWN)
def test_a_command_says_what_it_and_each_of_its_options_do(name: str) -> None:
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert f"\n## {name}\n" in page
    assert KNOWN[name].help
    for option in KNOWN[name].params:
        if option.param_type_name == "option":
            assert option.help, option.opts
            assert option.name in ("help", "as_json") or f"`{option.opts[0]}`" in page


def test_pages_call_the_command_line() -> None:
    assert len({page for page, _ in CALLS}) >= 5


@pytest.mark.parametrize(("page", "call"), CALLS, ids=[f"{page.stem}: {call}" for page, call in CALLS])
def test_what_a_page_calls_exists_with_those_options(page: object, call: str) -> None:
    words = [word for word in shlex.split(call)[1:] if word != "--json"]
    name = next((name for name in (" ".join(words[:2]), words[0]) if name in KNOWN), None)
    assert name is not None, call
    known = {option for parameter in KNOWN[name].params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("-") and not word[1:2].isdigit()} <= known


def test_the_make_targets_that_pages_call_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    called = {call.split()[1] for page in pages() for call in commands(page) if call.startswith("make ")}
    assert {"run", "test"} <= called
    for target in called:
        assert f"\n{target}:" in makefile
