"""Let `dagster` commands find this project when they are run in its root folder.

Python imports this module at start-up in a folder that contains ``mess_assets/definitions.py``
(see ``mess-dagster.pth``), and nowhere else. It is needed because ``dagster asset materialize``
reads neither pyproject.toml nor workspace.yaml. The variables below are read by that command
only, so they do not affect ``dagster dev -w ...``. Variables that are already set are not changed.
"""

import os
import warnings
from pathlib import Path

for _command in ("MATERIALIZE", "LIST", "WIPE"):
    os.environ.setdefault(f"DAGSTER_CLI_ASSET_{_command}_MODULE_NAME", "mess_assets.definitions")
os.environ.setdefault("DAGSTER_HOME", str(Path.cwd() / ".dagster"))
# Disables telemetry for every DAGSTER_HOME, whether or not its dagster.yaml does.
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")

# `dagster dev` and `dagster asset materialize` are supported here; Dagster would announce their
# successor `dg` on every call.
warnings.filterwarnings("ignore", message=r"Function `\w+_command` is superseded")
