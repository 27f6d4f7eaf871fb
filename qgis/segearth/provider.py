"""The provider: a list of algorithms, and the setting with the path of the program."""

import os

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from . import binary
from .algorithms import ALGORITHMS


class SegearthProvider(QgsProcessingProvider):
    """Processing > Toolbox > segearth."""

    def id(self):
        return "segearth"

    def name(self):
        return "segearth"

    def longName(self):
        return "segearth: classes by words"

    def icon(self):
        return QIcon(os.path.join(os.path.dirname(__file__), "icon.svg"))

    def load(self):
        try:
            from processing.core.ProcessingConfig import ProcessingConfig, Setting

            ProcessingConfig.settingIcons[self.name()] = self.icon()
            ProcessingConfig.addSetting(Setting(self.name(), binary.SETTING, "Path of the program segearth", "", valuetype=Setting.FILE))
            ProcessingConfig.readSettings()
        except ImportError:
            # Without the Processing plugin the environment variable and the PATH remain.
            pass
        self.refreshAlgorithms()
        return True

    def unload(self):
        try:
            from processing.core.ProcessingConfig import ProcessingConfig

            ProcessingConfig.removeSetting(binary.SETTING)
        except ImportError:
            pass

    def canBeActivated(self):
        return True

    def warningMessage(self):
        return "" if binary.find() else binary.HOW_TO_GET

    def loadAlgorithms(self):
        for make in ALGORITHMS:
            self.addAlgorithm(make())
