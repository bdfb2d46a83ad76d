"""Bodies without a length, by what the server says of where they end."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest

from agent_factory_site.common.api.bodies import received_body
from agent_factory_site.common.errors import Invalid

pytestmark = pytest.mark.once


def asked(**environ: Any) -> WSGIRequest:
    return WSGIRequest(
        {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "wsgi.input": BytesIO(b"body"), **environ}
    )


def test_a_body_in_chunks_is_read_where_the_server_ends_it() -> None:
    chunked = asked(**{"wsgi.input_terminated": True}, HTTP_TRANSFER_ENCODING="chunked")
    assert received_body(chunked, 100) == b"body"


def test_a_body_in_chunks_is_refused_and_not_taken_for_empty_where_it_does_not() -> None:
    with pytest.raises(Invalid) as caught:
        received_body(asked(HTTP_TRANSFER_ENCODING="chunked"), 100)
    assert caught.value.code == "bad_content_length"


def test_no_body_is_empty() -> None:
    assert received_body(asked(), 100) == b""
    assert received_body(asked(CONTENT_LENGTH="4"), 100) == b"body"
