from django.db import migrations, models
import django.db.models.deletion

from agent_factory_site.common.db.triggers import AppendOnly
from research.db.result_triggers import REPLACEABLE, KeepFormerResults


class Migration(migrations.Migration):

    dependencies = [
        ("research", "0006_double_exposures"),
    ]

    operations = [
        migrations.AddField(
            model_name="resultevent",
            name="revision",
            field=models.IntegerField(db_default=0, default=0),
        ),
        migrations.AddConstraint(
            model_name="resultevent",
            constraint=models.CheckConstraint(
                condition=models.Q(("revision__gte", 0)), name="research_resultevent_revision"
            ),
        ),
        migrations.CreateModel(
            name="ResultRevision",
            fields=[
                ("pk", models.CompositePrimaryKey("event_id", "revision", blank=True, editable=False, primary_key=True, serialize=False)),
                ("event", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="former", to="research.resultevent")),
                ("revision", models.IntegerField()),
                ("content", models.UUIDField()),
                ("value", models.FloatField()),
                ("covariate", models.FloatField(null=True)),
                ("judge", models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="research.judge")),
                ("occurred_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField()),
                ("audit", models.UUIDField()),
                ("replaced_at", models.DateTimeField()),
                ("replaced_by", models.UUIDField()),
            ],
        ),
        AppendOnly("research_resultrevision"),
        AppendOnly("research_resultevent", replaceable=REPLACEABLE),
        KeepFormerResults(),
    ]
