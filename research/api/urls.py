"""Below ``/api/v1/research/``."""

from __future__ import annotations

from django.urls import path

from . import (
    analysis,
    assignments,
    experiments,
    flags,
    growthbook,
    overruling,
    paired_analysis,
    planning,
    results,
)

_EXPERIMENT = "experiments/<str:experiment>"

urlpatterns = [
    path("exclusion-groups", overruling.ExclusionGroupsView.as_view(), name="exclusion-groups"),
    path("exclusion-groups/<str:key>", overruling.ExclusionGroupView.as_view(), name="exclusion-group"),
    path("experiments", experiments.ExperimentsView.as_view(), name="experiments"),
    path(_EXPERIMENT, experiments.ExperimentView.as_view(), name="experiment"),
    path(f"{_EXPERIMENT}/analyze", analysis.AnalyzeView.as_view(), name="analyze"),
    path(f"{_EXPERIMENT}/approve", experiments.ExperimentApproveView.as_view(), name="experiment-approve"),
    path(f"{_EXPERIMENT}/archive", experiments.ExperimentArchiveView.as_view(), name="experiment-archive"),
    path(f"{_EXPERIMENT}/assign", assignments.AssignView.as_view(), name="assign"),
    path(f"{_EXPERIMENT}/assignments", assignments.AssignmentsView.as_view(), name="assignments"),
    path(f"{_EXPERIMENT}/decide", experiments.ExperimentDecideView.as_view(), name="experiment-decide"),
    path(f"{_EXPERIMENT}/exposures", assignments.ExposuresView.as_view(), name="exposures"),
    path(f"{_EXPERIMENT}/overrides", overruling.OverridesView.as_view(), name="overrides"),
    path(
        f"{_EXPERIMENT}/overrides/remove", overruling.OverrideRemovalView.as_view(), name="override-removal"
    ),
    path(f"{_EXPERIMENT}/pause", experiments.ExperimentPauseView.as_view(), name="experiment-pause"),
    path(f"{_EXPERIMENT}/pairs", results.PairsView.as_view(), name="pairs"),
    path(f"{_EXPERIMENT}/pairs/analysis", paired_analysis.PairAnalysisView.as_view(), name="pairs-analysis"),
    path(f"{_EXPERIMENT}/plan", planning.PlanView.as_view(), name="plan"),
    path(f"{_EXPERIMENT}/results", results.ResultsView.as_view(), name="results"),
    path(f"{_EXPERIMENT}/resume", experiments.ExperimentResumeView.as_view(), name="experiment-resume"),
    path(f"{_EXPERIMENT}/start", experiments.ExperimentStartView.as_view(), name="experiment-start"),
    path(f"{_EXPERIMENT}/stop", experiments.ExperimentStopView.as_view(), name="experiment-stop"),
    path(f"{_EXPERIMENT}/variants/<str:variant>/stop", experiments.ArmStopView.as_view(), name="arm-stop"),
    path("flags", flags.FlagsView.as_view(), name="flags"),
    path("flags/<str:flag>", flags.FlagView.as_view(), name="flag"),
    path("flags/<str:flag>/archive", flags.FlagArchiveView.as_view(), name="flag-archive"),
    path("sdk/growthbook", growthbook.GrowthBookView.as_view(), name="sdk-growthbook"),
    path("holdout", overruling.HoldoutView.as_view(), name="holdout"),
]
