"""Runs every algorithm of the plugin on the sample data without a window, and looks at what a user would see.

    run.py PLUGINS SAMPLE_DATA RESULTS [PICTURES]
"""

import os
import shutil
import sys
import tempfile

from qgis.core import (
    QgsApplication,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterVectorDestination,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize

PLUGINS, SAMPLES, RESULTS = sys.argv[1:4]
PICTURES = sys.argv[4] if len(sys.argv) > 4 else None


class Feedback(QgsProcessingFeedback):
    """Keeps what is said; cancels at the first progress where it is asked to."""

    def __init__(self, cancel=False):
        super().__init__(False)
        self.said, self.cancel_soon = [], cancel
        self.progressChanged.connect(self.progressed)
        self.seen = []

    def progressed(self, value):
        self.seen.append(value)
        if self.cancel_soon:
            self.cancel()

    def pushInfo(self, text):
        self.said.append(text)

    def pushWarning(self, text):
        self.said.append(text)

    def reportError(self, text, fatal=False):
        self.said.append("error: " + text)


def run(name, values, feedback=None):
    """Runs an algorithm; returns its outputs, what it said, and the layers that QGIS would load, as it would load them."""
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("segearth:" + name)
    assert algorithm is not None, name
    project = QgsProject()
    context, feedback = QgsProcessingContext(), feedback or Feedback()
    context.setProject(project)
    # What a user ticks as "Open output file after running algorithm".
    for key in ("OUTPUT", "POLYGONS"):
        definition = algorithm.parameterDefinition(key)
        if key in values and isinstance(definition, (QgsProcessingParameterRasterDestination, QgsProcessingParameterVectorDestination)):
            values = {**values, key: QgsProcessingOutputLayerDefinition(values[key], project)}
    ready, message = algorithm.checkParameterValues(values, context)
    assert ready, (name, message)
    outputs, good = algorithm.run(values, context, feedback)
    if not good:
        raise QgsProcessingException("\n".join(feedback.said))
    loaded = []
    for identifier, details in context.layersToLoadOnCompletion().items():
        layer = context.takeResultLayer(identifier)
        if layer is None:
            layer = (QgsRasterLayer if identifier.lower().endswith((".tif", ".tiff")) else QgsVectorLayer)(identifier, details.name)
        project.addMapLayer(layer)
        if details.postProcessor():
            details.postProcessor().postProcessLayer(layer, context, feedback)
        loaded.append(layer)
    return outputs, feedback, loaded, project


def legend(layer):
    """What the legend of a layer says: names and colours."""
    renderer = layer.renderer()
    if renderer.type() == "categorizedSymbol":
        return {one.label(): one.symbol().color().name() for one in renderer.categories()}
    if renderer.type() == "paletted":
        return {one.label: one.color.name() for one in renderer.classes()}
    return {renderer.type(): None}


def picture(name, layers):
    if PICTURES is None:
        return
    os.makedirs(PICTURES, exist_ok=True)
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setDestinationCrs(layers[-1].crs())
    settings.setOutputSize(QSize(900, 600))
    settings.setExtent(layers[-1].extent())
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(os.path.join(PICTURES, name + ".png"))


def main():
    sys.path.insert(0, PLUGINS)
    application = QgsApplication([], False)
    application.initQgis()
    from segearth import binary
    from segearth.provider import SegearthProvider

    assert binary.find() == os.path.realpath(os.environ["SEGEARTH"]), binary.find()
    provider = SegearthProvider()
    assert QgsApplication.processingRegistry().addProvider(provider)
    assert len(provider.algorithms()) == 6, provider.algorithms()
    os.makedirs(RESULTS, exist_ok=True)
    at = lambda name: os.path.join(RESULTS, name)
    village = os.path.join(SAMPLES, "village.tif")

    # The model that answers with the colours of the image is quick, and its labels are real labels.
    labels, polygons = at("labels.tif"), at("polygons.gpkg")
    values = {"SCENE": village, "CLASSES": "tree\nbuilding,roof\nwater", "MODEL": "fake:identity", "OUTPUT": labels}
    values.update({"POLYGONS": polygons, "CONFIDENCE": at("confidence.tif"), "REPORT": at("report.html"), "TTA": "none"})
    outputs, feedback, loaded, project = run("segment", values)
    assert outputs["OUTPUT"] == labels and os.path.exists(outputs["REPORT"]), outputs
    assert feedback.seen and feedback.seen[-1] == 100.0, feedback.seen
    names = {"tree", "building", "water"}
    assert len(loaded) == 2 and all(set(legend(layer)) == names for layer in loaded), [legend(layer) for layer in loaded]
    groups = [group.name() for group in project.layerTreeRoot().findGroups()]
    assert groups == ["Segment scene"], groups
    picture("segment", sorted(loaded, key=lambda layer: layer.type()) + [QgsRasterLayer(village)])
    confidence = QgsRasterLayer(at("confidence.tif"))
    assert confidence.renderer().type() == "singlebandpseudocolor"

    # Errors are those of the program, with their hint.
    try:
        run("segment", {**values, "BANDS": "1,2,9"})
        raise AssertionError("a band that is not there was accepted")
    except QgsProcessingException as error:
        assert "there is no band 9" in str(error) and "Hint: " in str(error), error

    job = at("job.yaml")
    with open(job, "w", encoding="utf-8") as file:
        file.write("model: fake:identity\nscene: {}\nclasses: [road, grass, 'sand,beach']\noutputs: {{polygons: true, scores: true}}\n".format(village))
    outputs, feedback, loaded, project = run("run", {"JOB": job, "OUTPUT": at("job")})
    assert {os.path.basename(path) for path in outputs["FILES"]} >= {"village_labels.tif", "village_scores.tif"}, outputs
    assert [group.name() for group in project.layerTreeRoot().findGroups()] == ["village"]
    kinds = sorted(layer.renderer().type() for layer in loaded)
    assert kinds == ["categorizedSymbol", "paletted", "singlebandpseudocolor"], kinds

    roads = os.path.join(SAMPLES, "village_roads.tif")
    recipes = provider.algorithm("vectorize").parameterDefinition("RECIPE").options()
    values = {"LABELS": roads, "RECIPE": recipes.index("roads"), "CLASS": "1", "OUTPUT": at("roads.gpkg"), "MIN_LENGTH": "5"}
    outputs, feedback, loaded, project = run("vectorize", values)
    assert QgsVectorLayer(outputs["OUTPUT"] + "|layername=roads", "roads").featureCount() > 0
    values = {"LABELS": labels, "RECIPE": recipes.index("landcover"), "OUTPUT": at("cover.geojson")}
    outputs, feedback, loaded, project = run("vectorize", values)
    assert set(legend(loaded[0])) == names, legend(loaded[0])
    assert [loaded[0].attributeDisplayName(index) for index in range(2)] == ["Class number", "Class"]
    picture("vectorize", loaded)

    outputs, feedback, loaded, project = run("change", {"BEFORE": labels, "AFTER": at("job/village_labels.tif"), "OUTPUT": at("change")})
    assert os.path.exists(at("change/change.html")), os.listdir(at("change"))
    changed = next(layer for layer in loaded if isinstance(layer, QgsVectorLayer))
    assert any("→" in name for name in legend(changed)), legend(changed)
    picture("change", [changed])

    outputs, feedback, loaded, project = run("evaluate", {"PREDICTION": labels, "REFERENCE": labels, "OUTPUT": at("figures.json")})
    assert outputs["MIOU"] == 1.0, outputs

    if os.environ.get("MODEL_TESTS", "1") == "1":
        itaipu = os.path.join(SAMPLES, "itaipu.tif")
        examples = os.path.join(SAMPLES, "itaipu_examples.geojson")
        # The built-in model takes its time: Cancel ends the program in order.
        try:
            values = {"SCENE": itaipu, "CLASSES": "water\ntree", "OUTPUT": at("cancelled.tif")}
            run("segment", values, Feedback(cancel=True))
            raise AssertionError("a cancelled run has finished")
        except QgsProcessingException as error:
            assert "Cancelled" in str(error), error
        assert not os.path.exists(at("cancelled.tif"))
        outputs, feedback, loaded, project = run(
            "learn", {"SCENES": [itaipu], "EXAMPLES": examples, "CLASS_FIELD": "class", "OUTPUT": at("classes.safetensors"), "PIXELS": "8"}
        )
        assert os.path.getsize(outputs["OUTPUT"]) > 1000

    # Without the program the forms are there, and say what is missing.
    os.environ["SEGEARTH"] = "/nowhere"
    path, os.environ["PATH"] = os.environ["PATH"], tempfile.gettempdir()
    home, os.environ["HOME"] = os.environ["HOME"], tempfile.gettempdir()
    if not shutil.which("segearth", path="/usr/local/bin"):
        assert binary.find() is None
        assert provider.algorithm("vectorize").create().parameterDefinition("MIN_AREA") is not None
        can, message = provider.algorithm("vectorize").canExecute()
        assert not can and "was not found" in message
    os.environ["PATH"], os.environ["HOME"] = path, home
    print("all algorithms run")


main()
