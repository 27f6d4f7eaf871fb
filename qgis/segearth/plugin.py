"""Adds the provider to Processing, and says where the program is looked for."""

from qgis.core import Qgis, QgsApplication

from . import binary
from .provider import SegearthProvider


class SegearthPlugin:
    """The plugin as QGIS loads and unloads it."""

    def __init__(self, iface):
        self.iface = iface
        self.provider = None

    def initProcessing(self):
        """Called by qgis_process, which has no window."""
        self.provider = SegearthProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):
        self.initProcessing()
        if binary.find() is None and self.iface is not None:
            self.iface.messageBar().pushMessage("segearth", binary.HOW_TO_GET, Qgis.Warning, 15)

    def unload(self):
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
