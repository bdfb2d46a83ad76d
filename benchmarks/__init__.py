"""Benchmarks: ratios measured side by side in one run, on both databases.

``make bench`` runs them all and writes docs/benchmarks.md. Each module with a ``main()`` has one subject
and runs alone as well: ``python -m benchmarks ingest_batch`` (see :mod:`benchmarks.run`).
"""
