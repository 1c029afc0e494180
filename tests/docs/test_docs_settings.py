"""Every setting is documented, and the page says what the code does."""

from pages import DOCS, generator

from lookalike.settings import explain


def test_the_page_is_what_the_code_says() -> None:
    assert (DOCS / "reference" / "settings.md").read_text(encoding="utf-8") == generator().settings_page(), "make docs"


def test_every_setting_is_in_it_with_its_variable() -> None:
    page = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    for setting in explain({}, DOCS / "no-such-file.toml"):
        assert f"| `{setting.name}` | `{setting.variable}` |" in page
