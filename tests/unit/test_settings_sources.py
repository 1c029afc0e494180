"""Which source of a setting wins, and that what is wrong in one is said with its name and without its value."""

from pathlib import Path

import pytest

from lookalike.errors import InvalidRequest
from lookalike.settings import Setting, explain, load, names
from lookalike.settings_sources import gather, variable

PORT = "LOOKALIKE_GATEWAY__PORT"
KEY = "LOOKALIKE_QDRANT__API_KEY"
HIDDEN = "correct-horse-battery"


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "lookalike.toml"


def shown(name: str, environment: dict[str, str], file: Path) -> Setting:
    return next(setting for setting in explain(environment, file) if setting.name == name)


def test_environment_then_named_file_then_settings_file_then_default(toml: Path, tmp_path: Path) -> None:
    named = tmp_path / "port"
    named.write_text("8003\n")
    steps: list[tuple[dict[str, str], str, int, str]] = [
        ({}, "", 8000, "default"),
        ({}, "[gateway]\nport = 8002\n", 8002, str(toml)),
        ({f"{PORT}_FILE": str(named)}, "[gateway]\nport = 8002\n", 8003, f"{PORT}_FILE"),
        ({PORT: "8004", f"{PORT}_FILE": str(named)}, "[gateway]\nport = 8002\n", 8004, PORT),
    ]
    for environment, text, port, source in steps:
        toml.write_text(text)
        assert load(environment, toml).gateway.port == port
        assert shown("gateway.port", environment, toml).source == source


def test_one_group_may_come_from_several_sources(toml: Path) -> None:
    toml.write_text('[gateway]\nport = 8002\nhost = "::1"\n')
    settings = load({PORT: "1"}, toml)
    assert (settings.gateway.host, settings.gateway.port, settings.gateway.threads) == ("::1", 1, 40)


def test_the_settings_file_may_be_named_and_must_then_exist(toml: Path) -> None:
    toml.write_text("[gateway]\nport = 8002\n")
    assert load({"LOOKALIKE_CONFIG": str(toml)}).gateway.port == 8002
    with pytest.raises(InvalidRequest, match=r"LOOKALIKE_CONFIG: cannot read .*absent\.toml: No such file"):
        load({"LOOKALIKE_CONFIG": str(toml.with_name("absent.toml"))})


def test_an_empty_variable_says_nothing(toml: Path) -> None:
    assert load({PORT: "", "LOOKALIKE_QDRANT__URL": ""}, toml) == load({}, toml)


@pytest.mark.parametrize("text", ['backends = ["exact", "faiss"]', 'backends = "exact,faiss"'])
def test_lists_are_separated_by_commas_in_the_environment_and_either_way_in_the_file(toml: Path, text: str) -> None:
    toml.write_text(f"[build]\n{text}\n")
    assert load({}, toml).build.backends == ("exact", "faiss")
    assert load({"LOOKALIKE_BUILD__BACKENDS": " annoy , qdrant,"}, toml).build.backends == ("annoy", "qdrant")


@pytest.mark.parametrize(
    ("environment", "suggestion"),
    [
        ({"LOOKALIKE_GATEWAY__PROT": "1"}, "LOOKALIKE_GATEWAY__PORT"),
        ({"LOOKALIKE_STORGE__FOLDER": "x"}, "LOOKALIKE_STORAGE__FOLDER"),
        ({"LOOKALIKE_QDRANT__APIKEY_FILE": "x"}, "LOOKALIKE_QDRANT__API_KEY"),
        ({"LOOKALIKE_GATEWAY_PORT": "1"}, "LOOKALIKE_GATEWAY__PORT"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(
    environment: dict[str, str], suggestion: str, toml: Path
) -> None:
    with pytest.raises(InvalidRequest, match=rf"unknown setting .*did you mean {suggestion}\?"):
        load(environment, toml)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gateway]\nprot = 1\n", r"unknown setting gateway\.prot; did you mean gateway\.port\?"),
        ("[gatway]\nport = 1\n", r"unknown setting 'gatway'; did you mean gateway\?"),
        ("port = 1\n", "unknown setting 'port'"),
        ("gateway = 1\n", "unknown setting 'gateway'"),
        ("[gateway\n", "line 1"),
    ],
)
def test_what_is_wrong_in_the_settings_file_names_the_file(text: str, message: str, toml: Path) -> None:
    toml.write_text(text)
    with pytest.raises(InvalidRequest, match=message) as caught:
        load({}, toml)
    assert str(toml) in caught.value.message


def test_variables_of_other_programs_and_of_the_tests_are_left_alone(toml: Path) -> None:
    load({"LOOKALIKE_TEST_SHARED": "x", "LOOKALIKE_EDITOR": "vi", "HOME": "/"}, toml)


@pytest.mark.parametrize(
    ("environment", "setting"),
    [
        ({PORT: "many"}, "gateway.port"),
        ({PORT: "70000"}, "gateway.port"),
        ({"LOOKALIKE_BUILD__BACKENDS": "exact,fais"}, "build.backends"),
        ({"LOOKALIKE_SEARCH__BACKEND": "fais"}, "search.backend"),
        ({"LOOKALIKE_URLS__ALLOWED_NETWORKS": "10.0.0.1/8"}, "urls.allowed_networks"),
        ({"LOOKALIKE_EMBEDDER__PRECISION": "float16"}, "embedder.precision"),
    ],
)
def test_a_bad_value_names_the_setting_and_its_source(environment: dict[str, str], setting: str, toml: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load(environment, toml)
    assert f"setting {setting} ({next(iter(environment))}):" in caught.value.message
    assert caught.value.details["setting"] == setting


def test_a_bad_value_of_the_settings_file_names_the_file(toml: Path) -> None:
    toml.write_text('[gateway]\nport = "many"\n')
    with pytest.raises(InvalidRequest) as caught:
        load({}, toml)
    assert f"setting gateway.port ({toml}):" in caught.value.message


def test_a_secret_is_read_from_its_file_and_never_shown(toml: Path, tmp_path: Path) -> None:
    named = tmp_path / "key"
    named.write_text(f"{HIDDEN}\n")
    environment = {f"{KEY}_FILE": str(named)}
    settings = load(environment, toml)
    assert settings.qdrant.api_key is not None
    assert settings.qdrant.api_key.get_secret_value() == HIDDEN
    setting = shown("qdrant.api_key", environment, toml)
    assert (setting.value, setting.source) == ("**********", f"{KEY}_FILE")
    for said in (repr(settings), str(settings), settings.model_dump_json(), repr(explain(environment, toml))):
        assert HIDDEN not in said
    assert HIDDEN not in repr(gather(names(), {KEY: HIDDEN}, toml))


def test_a_secret_is_not_in_an_error(toml: Path, tmp_path: Path) -> None:
    toml.write_text(f'[qdrant]\napi_key = ["{HIDDEN}"]\n')
    with pytest.raises(InvalidRequest) as caught:
        load({}, toml)
    assert HIDDEN not in f"{caught.value.message}{caught.value.details}{caught.value.__cause__}"
    named = tmp_path / "key"
    named.write_bytes(b"\xff\xfe" + HIDDEN.encode())
    with pytest.raises(InvalidRequest, match="is not UTF-8 text") as caught:
        load({f"{KEY}_FILE": str(named)}, tmp_path / "absent.toml")
    assert HIDDEN not in caught.value.message


def test_a_password_within_a_url_is_masked(toml: Path) -> None:
    setting = shown("qdrant.url", {"LOOKALIKE_QDRANT__URL": f"http://me:{HIDDEN}@host:6333/x"}, toml)
    assert setting.value == "http://***@host:6333/x"


def test_a_named_file_that_cannot_be_read_is_said(toml: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=rf"{KEY}_FILE: cannot read .*absent: No such file"):
        load({f"{KEY}_FILE": str(tmp_path / "absent")}, toml)


def test_every_setting_is_explained_once_with_its_meaning(toml: Path) -> None:
    found = explain({}, toml)
    assert [setting.name for setting in found] == names()
    assert all(setting.description for setting in found)
    assert [setting.variable for setting in found] == [variable(name) for name in names()]
    assert {setting.source for setting in found} == {"default"}
