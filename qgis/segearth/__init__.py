"""Processing algorithms that call the program segearth. The plugin holds no logic of its own."""


def classFactory(iface):
    """Called by QGIS when the plugin is loaded."""
    from .plugin import SegearthPlugin

    return SegearthPlugin(iface)
