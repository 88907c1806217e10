"""Makes `dagster` commands find this project when they are typed in its root.

The environment runs this when Python starts in a folder that holds
``mess_assets/definitions.py`` (see ``mess-dagster.pth``), and nowhere else. It is needed
because ``dagster asset materialize`` reads neither pyproject.toml nor workspace.yaml; the
variables below are that command's own, so they leave ``dagster dev -w ...`` alone. What is
set already is kept.
"""

import os
import warnings
from pathlib import Path

for _command in ("MATERIALIZE", "LIST", "WIPE"):
    os.environ.setdefault(f"DAGSTER_CLI_ASSET_{_command}_MODULE_NAME", "mess_assets.definitions")
os.environ.setdefault("DAGSTER_HOME", str(Path.cwd() / ".dagster"))
# Off whatever home is used, and not only where its dagster.yaml says so.
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")

# `dagster dev` and `dagster asset materialize` work as ever; their recommended successor
# (`dg`) is documented, and need not be announced on every call.
warnings.filterwarnings("ignore", message=r"Function `\w+_command` is superseded")
