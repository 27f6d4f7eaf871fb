"""Finds the program, and asks it for its commands."""

import json
import os
import shutil
import subprocess

from qgis.core import QgsSettings

SETTING = "segearth/binary"
HOW_TO_GET = (
    "The program segearth was not found. Install it as its guide says (make build, then put target/release/segearth on the PATH), or "
    "set its path under Settings > Options > Processing > Providers > segearth, or in the environment variable SEGEARTH."
)

_commands = {}


def find():
    """The path of the program: from the setting, the variable SEGEARTH, the PATH, or where cargo and pip install programs."""
    setting = QgsSettings().value(SETTING, "", type=str)
    for candidate in (setting, os.environ.get("SEGEARTH", "")):
        if candidate:
            found = shutil.which(os.path.expanduser(candidate))
            if found:
                return found
    found = shutil.which("segearth")
    if found:
        return found
    for folder in ("~/.cargo/bin", "~/.local/bin", "/usr/local/bin"):
        found = shutil.which("segearth", path=os.path.expanduser(folder))
        if found:
            return found
    return None


def environment():
    """The environment of the program: QGIS' own settings of GDAL and Python are not its business."""
    kept = dict(os.environ)
    for name in ("PYTHONHOME", "PYTHONPATH", "GDAL_DRIVER_PATH"):
        kept.pop(name, None)
    return kept


def hidden():
    """Keeps Windows from opening a console."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if hasattr(subprocess, "CREATE_NO_WINDOW") else {}


def commands():
    """The commands and their options, by name: as the installed program says, else as it was when the plugin was made."""
    path = find()
    key = (path, os.path.getmtime(path)) if path else None
    if key not in _commands:
        text = None
        if path:
            try:
                text = subprocess.run(
                    [path, "reference", "json"], capture_output=True, timeout=60, check=True, env=environment(), **hidden()
                ).stdout.decode("utf-8")
            except (OSError, subprocess.SubprocessError):
                text = None
        if text is None:
            with open(os.path.join(os.path.dirname(__file__), "commands.json"), encoding="utf-8") as file:
                text = file.read()
        _commands[key] = {command["name"]: command for command in json.loads(text)}
    return _commands[key]
