"""A headless Chromium for tests that read a page as a person does. Without one, or without Playwright, they are skipped and say why."""

import contextlib
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextlib.contextmanager
def chromium():
    """Playwright's Browser on the Chromium of this machine; nothing is downloaded."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: `make test` installs it")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
