"""The search page in a real browser: what a person can do with it, and that it reaches nowhere else."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from gateway_calls import png
from gateway_store import BACKENDS, at, settings_of
from page_browser import CHROMIUM, SKIP, Watched, chromium, load_all_pictures, searched
from playwright.sync_api import Browser, Page, expect

from lookalike.bootstrap import wire_jobs
from services.gateway.app import create_app
from services.gateway.server import listen, url_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=SKIP)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(prepared / "store", folder / "store")
    workspace = at(folder)
    app = create_app(workspace, wire_jobs(settings_of(folder), workspace))
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield url_of(listening)
    server.should_exit = True
    thread.join()
    listening.close()
    workspace.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture
def watched(browser: Browser, address: str) -> Iterator[tuple[Page, Watched]]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    watch = Watched(page, address)
    page.goto(address)
    yield page, watch
    context.close()
    assert watch.elsewhere == []


@pytest.fixture
def page(watched: tuple[Page, Watched]) -> Iterator[Page]:
    yield watched[0]
    assert watched[1].complaints == []


def test_it_begins_with_a_random_image_and_shows_what_answered(page: Page) -> None:
    assert searched(page) in BACKENDS
    expect(page.locator("#hits li")).to_have_count(12)
    load_all_pictures(page)
    facts = page.locator("#facts").inner_text()
    assert "color_edges@1" in facts
    assert "total" in facts
    values = [float(text) for text in page.locator("#hits .bar span").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    bars = page.locator("#hits progress").evaluate_all("bars => bars.map(bar => bar.value)")
    assert bars == pytest.approx(values, abs=0.001)


def test_the_button_searches_with_another_random_image(page: Page) -> None:
    searched(page)
    with page.expect_response(lambda response: response.url.endswith("/search")):
        page.get_by_role("button", name="A random image").click()
    searched(page)


def test_an_upload_finds_its_like(page: Page) -> None:
    searched(page)
    blue = {"name": "blue.png", "mimeType": "image/png", "buffer": png((30, 40, 220))}
    with page.expect_response(lambda response: response.url.endswith("/search")):
        page.get_by_label("Choose an image").set_input_files(blue)  # type: ignore[arg-type]
    searched(page)
    expect(page.locator("#hits li").first).to_contain_text("blue")
    expect(page.locator("#query")).to_have_attribute("alt", "the query, blue.png")
    assert page.locator("#query").evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
    assert "embed" in page.locator("#facts").inner_text()


def test_clicking_a_hit_searches_with_it_and_going_back_returns(page: Page) -> None:
    searched(page)
    before = page.url
    hit = page.locator("#hits button").nth(3)
    image_id = hit.get_attribute("data-id")
    with page.expect_response(lambda response: response.url.endswith("/search")):
        hit.click()
    searched(page)
    assert f"id={image_id}" in page.url
    expect(page.locator(f'#hits [data-id="{image_id}"]')).to_have_count(0)  # an image is no hit of its own
    page.go_back()
    expect(page).to_have_url(before)
    searched(page)


def test_every_backend_can_be_chosen_and_is_kept_in_the_address(page: Page) -> None:
    searched(page)
    assert page.get_by_label("Model").evaluate("select => select.value") == "color_edges@1"
    keys = []
    for backend in BACKENDS:
        page.get_by_label("Backend").select_option(backend)
        expect(page.locator("#status")).to_contain_text(f"through {backend} ")
        keys.append(page.locator("#hits .key").all_inner_texts())
    assert all(one == keys[0] for one in keys)
    page.reload()
    assert searched(page) == BACKENDS[-1]
    assert page.locator("#hits .key").all_inner_texts() == keys[0]


def test_an_error_is_shown(watched: tuple[Page, Watched]) -> None:
    page, watch = watched
    searched(page)
    page.get_by_label("Choose an image").set_input_files(
        {"name": "no.png", "mimeType": "image/png", "buffer": b"not an image"}  # type: ignore[arg-type]
    )
    expect(page.get_by_role("alert")).to_contain_text("not an image of a format that is read")
    expect(page.locator("#hits li")).to_have_count(0)
    page.get_by_role("button", name="A random image").click()
    searched(page)
    expect(page.get_by_role("alert")).to_have_count(0)
    # The browser itself says that an answer was a 415; nothing else went wrong.
    assert all("415" in text for text in watch.complaints), watch.complaints


def test_an_image_can_be_dropped_and_pasted(page: Page) -> None:
    searched(page)
    for kind in ("drop", "paste"):
        with page.expect_response(lambda response: response.url.endswith("/search")):
            page.evaluate(
                """async ([kind, bytes]) => {
                    const held = new DataTransfer();
                    held.items.add(new File([new Uint8Array(bytes)], kind + ".png", { type: "image/png" }));
                    const event = kind === "drop"
                        ? new DragEvent("drop", { dataTransfer: held, bubbles: true, cancelable: true })
                        : new ClipboardEvent("paste", { clipboardData: held, bubbles: true });
                    document.body.dispatchEvent(event);
                }""",
                [kind, list(png((30, 200, 40)))],
            )
        searched(page)
        expect(page.locator("#query")).to_have_attribute("alt", f"the query, {kind}.png")
        expect(page.locator("#hits li").first).to_contain_text("green")


def test_the_keyboard_reaches_everything(page: Page) -> None:
    searched(page)
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert [one for one in reached if one in ("backend", "k", "image", "random")] == ["backend", "k", "image", "random"]
    assert "BUTTON" in reached
    with page.expect_response(lambda response: response.url.endswith("/search")):
        page.locator("#hits button").first.press("Enter")
    searched(page)


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_a_phone(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    searched(page)
    load_all_pictures(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, select, .file')]
            .filter(e => e.offsetParent && e.getBoundingClientRect().height < 44).map(e => e.outerHTML)"""
    )
    assert small == []  # large enough for a finger (WCAG 2.5.5)


def test_the_interface_is_documented_on_a_page_of_our_own(page: Page, address: str) -> None:
    searched(page)
    page.goto(f"{address}/docs")
    expect(page.get_by_text("/v1/galleries/{gallery}/search/batch")).to_be_visible()
