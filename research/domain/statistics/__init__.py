"""Is it better, by how much, and may we stop: pure statistics from sufficient statistics.

:func:`comparison.compare` answers for one metric and two arms, :func:`verdict.decide` for the experiment.
Conventions and sources stand with each formula and in ``docs/statistics.md``.
"""
