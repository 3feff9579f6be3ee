import django.db.models.deletion
from django.db import migrations, models

# The newest version of the time at which the lease was handed out, or the oldest of all: what was read until now.
STOOD = """
UPDATE annotation_lease SET guideline_version_id = (
    SELECT version.id FROM annotation_guidelineversion version JOIN annotation_task task USING (campaign_id)
    WHERE task.id = annotation_lease.task_id
      AND (version.created_at <= annotation_lease.created_at OR version.number = 1)
    ORDER BY version.number DESC LIMIT 1
)
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0003_labelling")]

    operations = [
        migrations.AddField(
            model_name="lease",
            name="guideline_version",
            field=models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="leases",
                to="annotation.guidelineversion",
            ),
        ),
        migrations.RunSQL(STOOD, migrations.RunSQL.noop),
    ]
