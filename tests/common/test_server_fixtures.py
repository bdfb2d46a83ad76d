"""The servers and the browser that tests are given are real."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from redis import Redis

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.once


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_gets_an_empty_redis(redis_url: str, attempt: int) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")
        assert client.get("left") == b"behind"


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>Hello</h1><script>document.title = String(6 * 7)</script>")

    def log_message(self, *args: object) -> None:
        """Nothing: the browser says what it got."""


def test_the_browser_runs_pages_of_this_machine(chromium: Browser) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Hello)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        with chromium.new_context() as context:
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            assert page.title() == "42"
            assert page.text_content("h1") == "Hello"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
