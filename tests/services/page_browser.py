"""The search page in a real browser, as several suites open it."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SKIP = "the search page in a browser: runs where chromium is"
STATUS = re.compile(r"^\d+ hits? from \S+ through (\w+) in [\d.]+ ms$")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of its own."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield made
        made.close()


class Watched:
    """What a page said and asked for beside what was wanted of it."""

    def __init__(self, page: Page, address: str) -> None:
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self._address = address
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _error(self, error: Error) -> None:
        self.complaints.append(str(error))

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self._address}/", "blob:", "data:")):
            self.elsewhere.append(request.url)


def searched(page: Page) -> str:
    """Waits for an answer and says which backend gave it."""
    expect(page.locator("#status")).to_have_text(STATUS)
    found = STATUS.match(page.locator("#status").inner_text())
    assert found is not None
    return found[1]


def load_all_pictures(page: Page) -> None:
    """Also those below the fold; one that is none fails here."""
    page.evaluate(
        """async () => {
            const pictures = [...document.querySelectorAll("#hits img")];
            for (const picture of pictures) picture.loading = "eager";
            await Promise.all(pictures.map((picture) => picture.decode()));
        }"""
    )
