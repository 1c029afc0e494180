"""reembed and collect: what they say before, what they do, and what they refuse."""

import json

from cli_outcome import Cli

REEMBED = ["reembed", "colors", "-m", "color_edges", "-b", "exact"]


def test_an_estimate_is_said_first_and_alone_when_asked_for(ready: Cli) -> None:
    ready("models", "import", "baseline:pixels16")
    alone = ready("reembed", "colors", "-m", "pixels16", "-b", "exact", "-b", "faiss", "--estimate")
    assert alone.status == 0
    assert alone.out.startswith("24 of 24 images to embed under pixels16@1: about ")
    assert ready("gallery", "show", "colors", "--json").document["live"].keys() == {"color_edges@1"}
    said = ready("reembed", "colors", "-m", "pixels16", "-b", "exact", "--estimate", "--sample", "0", "--json").document
    assert (said["to_embed"], said["embed_s"], list(said["indexes"])) == (24, None, ["exact"])
    made = ready("reembed", "colors", "-m", "pixels16", "-b", "exact", "--max-drop", "1")
    assert made.status == 0
    assert "24 of 24 images to embed under pixels16@1" in made.err
    assert "exact: precision " in made.err
    assert made.out == (
        "24 embedded, 0 there already, 0 failed, 1 indexes built; pixels16@1 is live in colors: exact\n"
    )


def test_with_nothing_to_do_it_says_so(ready: Cli) -> None:
    made = ready("reembed", "colors", "--json").document
    assert (made["embedded"], made["built"], made["promoted"]) == (0, [], False)
    again = ready("reembed", "colors")
    assert again.out.startswith("0 embedded, 24 there already, 0 failed, 0 indexes built; color_edges@1 is live")
    assert again.out.endswith(", as before\n")


def test_build_parameters_are_given_by_backend(ready: Cli) -> None:
    made = ready("reembed", "colors", "-b", "faiss", "--params", json.dumps({"faiss": {"metric": "l2"}}), "--json")
    assert made.document["built"]
    assert "which is not built" in ready(*REEMBED, "--params", '{"faiss": {}}').error
    assert "an object for each backend" in ready(*REEMBED, "--params", '{"exact": 3}').error
    assert "switched off" in ready(*REEMBED, "--no-gate", "--gate-k", "3").error


def test_collect_takes_what_was_replaced_once_it_is_old(ready: Cli) -> None:
    ready("models", "import", "baseline:pixels16")
    ready("reembed", "colors", "-m", "pixels16", "-b", "exact", "--no-gate")
    assert ready("collect", "colors", "--json").document == [
        {"gallery": "colors", "deleted": {}, "former_left": 2, "kept_back": []}
    ]
    [made] = ready("collect", "--older-than", "0", "--json").document
    assert made["former_left"] == 0
    assert made["deleted"]["index"]["objects"] > 0
    assert ready("rollback", "colors").status == 2
    assert ready("gallery", "show", "colors", "--json").document["live"].keys() == {"pixels16@1"}
    assert ready("collect", "nowhere").error.startswith("there is no gallery")
