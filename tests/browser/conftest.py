"""A signed-in page in a real browser, on a desktop and on a phone, that forgives nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests import browsers

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

BROWSER_PATIENCE = 120_000
"""Milliseconds until a page is taken to hang: with a server in one thread on a busy machine, seconds are nothing."""
SIZES = {"desktop": (1280, 900), "phone": (400, 800)}


@dataclass
class Desk:
    """A browser window, and everything in it that must not happen."""

    page: Page
    url: str
    phone: bool
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page = self.page
        page.on("console", lambda message: self._note(message.type in ("error", "warning"), message.text))
        page.on("pageerror", lambda error: self._note(True, f"script error: {error}"))
        page.on("request", self._request)
        page.on("response", lambda answer: self._note(answer.status >= 500, f"{answer.status} {answer.url}"))

    def _note(self, bad: bool, words: str) -> None:
        if bad:
            self.problems.append(words)

    def _request(self, request: Request) -> None:
        own = request.url.startswith((self.url, "data:", "blob:"))
        self._note(not own, f"a request to elsewhere: {request.url}")

    def open(self, path: str) -> Page:
        """Go to a page and wait until its scripts have taken it over."""
        self.page.goto(self.url + path)
        self.page.wait_for_function("!document.querySelector('[x-cloak][x-data]')")
        wider = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        self._note(wider > 0, f"{path} is {wider} pixels wider than the window")
        return self.page

    def sign_in(self, username: str = "ada", password: str = "") -> Page:
        """Type name and password on the sign-in page."""
        # Not imported above: this file is read before the applications are loaded.
        from tests.admin_data import PASSWORD

        page = self.open("/admin/login/")
        page.get_by_label("Username").fill(username)
        page.get_by_label("Password").fill(password or PASSWORD)
        with page.expect_navigation():
            page.get_by_role("button", name="Log in").click()
        return page


@pytest.fixture
def new_prices(transactional_db: None) -> None:
    """The flush after the last test took the prices away behind the back of what this process remembers."""
    from financial.models import PriceRevision

    PriceRevision.objects.update_or_create(id=1, defaults={"token": uuid4()})


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One Chromium for all of these tests, each of which opens a context of its own."""
    with browsers.chromium() as browser:
        yield browser


# Every page is opened, and the menus of a phone are used, on both in a quick run too.
on_both = pytest.mark.parametrize("desk", list(SIZES), indirect=True)


@pytest.fixture(params=["desktop", pytest.param("phone", marks=pytest.mark.slow)])
def desk(request: Any, chromium: Browser, live_server: Any, new_prices: None) -> Iterator[Desk]:
    """A window that nobody is signed in to; what went wrong in it fails the test."""
    from playwright.sync_api import expect

    width, height = SIZES[request.param]
    context = chromium.new_context(
        viewport={"width": width, "height": height}, is_mobile=request.param == "phone", locale="en-GB"
    )
    context.set_default_timeout(BROWSER_PATIENCE)
    expect.set_options(timeout=BROWSER_PATIENCE)
    desk = Desk(context.new_page(), live_server.url, request.param == "phone")
    try:
        yield desk
    finally:
        context.close()
    assert desk.problems == []


@pytest.fixture
def signed_in(desk: Desk) -> Callable[..., Desk]:
    """Signs in somebody with the scopes given; a superuser without any."""

    def sign_in(*scopes: str) -> Desk:
        from tests.admin_data import PASSWORD, staff

        staff(*scopes, password=PASSWORD, is_superuser=not scopes)
        desk.sign_in()
        return desk

    return sign_in
