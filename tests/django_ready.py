"""Imported by the process from which programs of tests are forked (see ``tests.programs``)."""

from __future__ import annotations

import gc

import django

django.setup()

from django.db import connections  # noqa: E402 - settings and models are there now

assert not any(each.connection for each in connections.all(initialized_only=True))
# Children look through nothing that was there before them.
gc.freeze()
