from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0003_labelling")]

    operations = [
        migrations.AddField(
            model_name="participation",
            name="attempts_before",
            field=models.PositiveSmallIntegerField(default=0),
        ),
    ]
