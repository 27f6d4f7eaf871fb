"""Results as layers: with the styles that the program has written, in a group of their own."""

import os

from qgis.core import (
    QgsLayerTreeGroup,
    QgsProcessingContext,
    QgsProcessingLayerPostProcessorInterface,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorLayer,
)

RASTERS = (".tif", ".tiff")
VECTORS = (".gpkg", ".fgb", ".geojson", ".json", ".geojsonl", ".geojsons", ".ndjson", ".shp", ".parquet")
# Post processors live as long as Processing may call them.
_keep = []


class Styled(QgsProcessingLayerPostProcessorInterface):
    """Gives a loaded layer its own style and puts it into a group."""

    def __init__(self, group):
        super().__init__()
        self.group = group

    def postProcessLayer(self, layer, context, feedback):
        if layer is None or not layer.isValid():
            return
        layer.loadDefaultStyle()
        layer.triggerRepaint()
        project = context.project()
        node = project.layerTreeRoot().findLayer(layer.id()) if project else None
        if node is None or not self.group:
            return
        root = project.layerTreeRoot()
        group = root.findGroup(self.group) or root.insertGroup(0, self.group)
        if isinstance(node.parent(), QgsLayerTreeGroup) and node.parent() is not group:
            clone = node.clone()
            # Vectors above rasters.
            group.insertChildNode(0 if layer.type() == layer.VectorLayer else len(group.children()), clone)
            node.parent().removeChildNode(node)


def layers(path):
    """The layers of a file as name and QgsMapLayer: of a GeoPackage each of its layers."""
    extension, stem = os.path.splitext(path)[1].lower(), os.path.splitext(os.path.basename(path))[0]
    if extension in RASTERS:
        return [(stem, QgsRasterLayer(path, stem))]
    if extension not in VECTORS:
        return []
    found = QgsProviderRegistry.instance().querySublayers(path) if extension == ".gpkg" else []
    found = [one for one in found if one.name() != "layer_styles" and one.providerKey() == "ogr"]
    if len(found) <= 1:
        uri = found[0].uri() if found else path
        return [(stem, QgsVectorLayer(uri, stem, "ogr"))]
    return [("{} {}".format(stem, one.name()), QgsVectorLayer(one.uri(), one.name(), "ogr")) for one in found]


def load(paths, group, context):
    """Lets Processing load these files when it is done."""
    for path in paths:
        for name, layer in layers(path):
            if not layer.isValid():
                continue
            layer.loadDefaultStyle()
            if isinstance(layer, QgsVectorLayer):
                layer.setName(name)
            context.temporaryLayerStore().addMapLayer(layer)
            details = QgsProcessingContext.LayerDetails(name, context.project(), name)
            context.addLayerToLoadOnCompletion(layer.id(), details)
            style(layer.id(), group, context)


def style(identifier, group, context):
    """Has a layer that Processing will load styled and grouped."""
    if context.willLoadLayerOnCompletion(identifier):
        processor = Styled(group)
        _keep.append(processor)
        context.layerToLoadOnCompletionDetails(identifier).setPostProcessor(processor)
