"""Every write of what assignment depends on renews the token under which processes keep definitions."""

from django.db import migrations

from research.db.definition_triggers import NoticeDefinitions


class Migration(migrations.Migration):
    dependencies = [("research", "0001_initial")]

    operations = [
        NoticeDefinitions(
            [
                "research_experiment",
                "research_variant",
                "research_metric",
                "research_phase",
                "research_runningperiod",
                "research_override",
                "research_exclusiongroup",
                "research_holdout",
            ]
        )
    ]
