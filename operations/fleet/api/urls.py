"""Below ``/api/v1/operations/``."""

from __future__ import annotations

from django.urls import path

from . import agents, runs

urlpatterns = [
    path("events", runs.EventsView.as_view(), name="events"),
    path("runs", runs.RunsView.as_view(), name="runs"),
    path("runs/<path:run_id>/steps", runs.RunStepsView.as_view(), name="run-steps"),
    path("runs/<path:run_id>/finish", runs.RunFinishView.as_view(), name="run-finish"),
    path("runs/<path:run_id>", runs.RunView.as_view(), name="run"),
    path("agents", agents.AgentsView.as_view(), name="agents"),
    # Names of agents may have slashes.
    path("agents/<path:agent>/pause", agents.AgentPauseView.as_view(), name="agent-pause"),
    path("agents/<path:agent>/resume", agents.AgentResumeView.as_view(), name="agent-resume"),
    path("agents/<path:agent>/kill", agents.AgentKillView.as_view(), name="agent-kill"),
    path("agents/<path:agent>/rename", agents.AgentRenameView.as_view(), name="agent-rename"),
    path("agents/<path:agent>/merge", agents.AgentMergeView.as_view(), name="agent-merge"),
    path("agents/<path:agent>/archive", agents.AgentArchiveView.as_view(), name="agent-archive"),
    path("agents/<path:agent>/restore", agents.AgentRestoreView.as_view(), name="agent-restore"),
    path("agents/<path:agent>", agents.AgentView.as_view(), name="agent"),
]
