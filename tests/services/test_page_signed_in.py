"""The search page of a gateway whose keys are on, in a real browser: signing in, searching, signing out."""

import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from gateway_access import EVERYWHERE
from gateway_calls import png
from gateway_store import settings_of
from page_browser import CHROMIUM, SKIP, Watched, chromium, load_all_pictures, searched
from playwright.sync_api import Browser, Page, expect

from lookalike.bootstrap import wire, wire_jobs
from lookalike.pipeline.workspace import Workspace
from lookalike.types.api_keys import Scope, new_key
from services.gateway.app import create_app
from services.gateway.doors import make_access, web_rules
from services.gateway.server import listen, make_server, url_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=SKIP)


@dataclass(frozen=True)
class Served:
    """A gateway, and what makes keys for it."""

    url: str
    workspace: Workspace


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("signed-in")
    shutil.copytree(prepared / "store", folder / "store")
    settings = settings_of(folder)
    workspace = wire(settings)
    access = make_access(settings, workspace, EVERYWHERE)
    rules = web_rules(settings, EVERYWHERE, keys_on=True)
    app = create_app(workspace, wire_jobs(settings, workspace), access=access, web=rules)
    listening, ready = listen("127.0.0.1", 0), threading.Event()
    server = make_server(app, ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    assert ready.wait(30)
    yield Served(url_of(listening), workspace)
    server.should_exit = True
    thread.join()
    listening.close()
    workspace.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture
def watched(browser: Browser, served: Served) -> Iterator[tuple[Page, Watched]]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    watch = Watched(page, served.url)
    page.goto(served.url)
    yield page, watch
    context.close()
    assert watch.elsewhere == []


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_with_a_key_everything_of_the_page_works(watched: tuple[Page, Watched], served: Served) -> None:
    page, watch = watched
    made, key = served.workspace.api_keys.create("somebody", Scope.ADMIN)
    expect(page.get_by_label("API key")).to_be_focused()
    expect(page.locator("#search")).to_be_hidden()
    sign_in(page, key)
    searched(page)
    expect(page.get_by_label("API key")).to_be_hidden()
    expect(page.locator("#who")).to_have_text("somebody")
    load_all_pictures(page)  # pictures go with the cookie

    blue = {"name": "blue.png", "mimeType": "image/png", "buffer": png((30, 40, 220))}
    with page.expect_response(lambda response: response.url.endswith("/search")):
        page.get_by_label("Choose an image").set_input_files(blue)  # type: ignore[arg-type]
    searched(page)
    expect(page.locator("#hits li").first).to_contain_text("blue")

    # No script sees the key or the cookie, and nothing keeps them.
    seen = page.evaluate(
        "[document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage), location.href]"
    )
    assert not any(made.key_id in text for text in seen)
    assert page.locator("#key").input_value() == ""
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert key not in cookie["value"]

    page.reload()
    searched(page)
    made_there = page.evaluate(
        """async () => {
            const answer = await fetch("/v1/galleries", { method: "POST", body: JSON.stringify({ name: "mine" }),
                                       headers: { "Content-Type": "application/json" } });
            return [answer.status, (await answer.json()).code];
        }"""
    )
    assert made_there == [403, "scope_missing"]  # the cookie of a key for everything only reads
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    expect(page.locator("#hits li")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()
    assert all("403" in text for text in watch.complaints), watch.complaints


def test_a_wrong_key_is_said_and_another_may_be_tried(watched: tuple[Page, Watched], served: Served) -> None:
    page, watch = watched
    sign_in(page, new_key()[1])
    expect(page.get_by_role("alert")).to_contain_text("nobody has this API key here")
    _, key = served.workspace.api_keys.create("somebody", Scope.READ)
    sign_in(page, key)
    searched(page)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert all("401" in text for text in watch.complaints), watch.complaints


def test_a_key_that_is_revoked_meanwhile_is_asked_for_again(watched: tuple[Page, Watched], served: Served) -> None:
    page, watch = watched
    made, key = served.workspace.api_keys.create("short", Scope.READ)
    sign_in(page, key)
    searched(page)
    served.workspace.api_keys.revoke(made.key_id)
    is_refused = page.evaluate(
        """async () => {
            for (const until = Date.now() + 30000; Date.now() < until; await new Promise((go) => setTimeout(go, 300)))
                if ((await fetch("/v1/backends")).status === 401) return true;
            return false;
        }"""
    )
    assert is_refused  # what the gateway knows of a key is five seconds old at most
    page.get_by_role("button", name="A random image").click()
    expect(page.get_by_role("alert")).to_contain_text("has been revoked")
    expect(page.get_by_label("API key")).to_be_visible()
    assert all(re.search("401", text) for text in watch.complaints), watch.complaints


def test_events_reach_the_page_with_its_cookie(watched: tuple[Page, Watched], served: Served) -> None:
    page, watch = watched
    _, key = served.workspace.api_keys.create("watcher", Scope.WRITE)
    job = page.request.post(
        f"{served.url}/v1/galleries/colors/evaluations",
        headers={"X-API-Key": key},
        data={"k": 3, "num_queries": 2},
    ).json()["job"]
    sign_in(page, key)
    searched(page)
    state = page.evaluate(
        """job => new Promise((done, failed) => {
            const events = new EventSource(`/v1/jobs/${job}/events`);
            events.addEventListener("job", (event) => {
                const { state } = JSON.parse(event.data);
                if (state === "succeeded" || state === "failed") { events.close(); done(state); }
            });
            events.addEventListener("error", () => failed("no events"));
        })""",
        job,
    )
    assert state == "succeeded"
    assert watch.complaints == []
