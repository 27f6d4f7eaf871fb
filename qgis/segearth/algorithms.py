"""The algorithms: each is a command of the program, with its inputs and outputs as Processing knows them."""

import html
import json
import os

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
    QgsProviderRegistry,
    QgsVectorLayer,
)

from . import binary, parameters, process, results


def file_of(layer):
    """The file of a layer, with the name of its layer where the file holds several: `a.gpkg:roads`."""
    if layer is None:
        return None
    parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
    path = parts.get("path") or layer.source().split("|")[0]
    name = parts.get("layerName") if isinstance(layer, QgsVectorLayer) else None
    return "{}:{}".format(path, name) if name and path.lower().endswith((".gpkg", ".sqlite")) else path


class Command(QgsProcessingAlgorithm):
    """A command of the program."""

    command = ""
    title = ""
    group_name = ""
    # Options that the algorithm gives itself.
    handled = ()

    def __init__(self):
        super().__init__()
        self.made = []

    def createInstance(self):
        return type(self)()

    def name(self):
        return self.command

    def displayName(self):
        return self.title

    def group(self):
        return self.group_name

    def groupId(self):
        return self.group_name.lower().replace(" ", "_")

    def shortHelpString(self):
        known = binary.commands().get(self.command, {})
        return "<p>{}.</p><p>Calls <tt>segearth {}</tt>.</p>".format(html.escape(known.get("about", self.title)), self.command)

    def canExecute(self):
        return (True, "") if binary.find() else (False, binary.HOW_TO_GET)

    def initAlgorithm(self, configuration=None):
        self.inputs()
        known = binary.commands().get(self.command, {"arguments": []})
        self.made = parameters.parameters(known, self.handled)
        for _, parameter in self.made:
            self.addParameter(parameter)

    def inputs(self):
        """Adds the parameters of its own."""
        raise NotImplementedError

    def line(self, values, context):
        """The arguments for its own parameters."""
        raise NotImplementedError

    def finish(self, log, values, context):
        """The outputs by name, once the program has ended."""
        return {}

    def processAlgorithm(self, values, context, feedback):
        line = [self.command] + self.line(values, context) + parameters.arguments(self, self.made, values, context)
        log = process.run(line, feedback)
        return self.finish(log, values, context)

    def raster(self, values, name, context):
        layer = self.parameterAsRasterLayer(values, name, context)
        if layer is None:
            raise QgsProcessingException(self.invalidRasterError(values, name))
        return file_of(layer)

    def destination(self, values, name, context):
        path = self.parameterAsOutputLayer(values, name, context)
        results.style(path, self.title, context)
        return path


class Segment(Command):
    command, title, group_name = "segment", "Segment scene", "Segmentation"
    handled = ("classes", "output", "polygons", "model", "from")

    def inputs(self):
        self.addParameter(QgsProcessingParameterRasterLayer("SCENE", "Scene"))
        self.addParameter(
            QgsProcessingParameterString(
                "CLASSES", "Classes: one a line, with synonyms after commas", "background\nbuilding,roof,house\nroad\ntree\nwater", multiLine=True
            )
        )
        self.addParameter(QgsProcessingParameterFile("LEARNT", "Learnt classes instead of words", extension="safetensors", optional=True))
        self.addParameter(QgsProcessingParameterString("MODEL", "Model: a name or folder; empty: the built-in model", optional=True))
        self.addParameter(QgsProcessingParameterRasterDestination("OUTPUT", "Class map"))
        self.addParameter(QgsProcessingParameterVectorDestination("POLYGONS", "Polygons", QgsProcessing.TypeVectorPolygon, optional=True, createByDefault=False))

    def line(self, values, context):
        learnt = self.parameterAsFile(values, "LEARNT", context)
        words = "; ".join(one.strip() for one in self.parameterAsString(values, "CLASSES", context).splitlines() if one.strip())
        line = [self.raster(values, "SCENE", context), "--classes=" + ("@" + learnt if learnt else words)]
        line += ["--output", self.destination(values, "OUTPUT", context), "--overwrite"]
        model = self.parameterAsString(values, "MODEL", context)
        line += ["--model", model] if model else []
        if values.get("POLYGONS"):
            line += ["--polygons", self.destination(values, "POLYGONS", context)]
        return line

    def finish(self, log, values, context):
        outputs = {what.upper(): path for what, path in log.outputs()}
        outputs["OUTPUT"] = outputs.pop("LABELS", None)
        return outputs


class Run(Command):
    command, title, group_name = "run", "Run job", "Segmentation"
    handled = ("output",)

    def inputs(self):
        self.addParameter(QgsProcessingParameterFile("JOB", "Job file", fileFilter="Jobs (*.yaml *.yml)"))
        self.addParameter(QgsProcessingParameterMultipleLayers("SCENES", "Scenes instead of the job's", QgsProcessing.TypeRaster, optional=True))
        self.addParameter(QgsProcessingParameterString("SET", "Keys of the job to override: KEY.PATH=VALUE, one a line", multiLine=True, optional=True))
        self.addParameter(QgsProcessingParameterFolderDestination("OUTPUT", "Folder of the outputs"))

    def line(self, values, context):
        line = [self.parameterAsFile(values, "JOB", context)]
        for layer in self.parameterAsLayerList(values, "SCENES", context) or []:
            line += ["--input", file_of(layer)]
        for one in self.parameterAsString(values, "SET", context).splitlines():
            if one.strip():
                line += ["--set", one.strip()]
        folder = self.parameterAsString(values, "OUTPUT", context)
        os.makedirs(folder, exist_ok=True)
        return line + ["--output", folder, "--overwrite"]

    def finish(self, log, values, context):
        outputs = log.outputs()
        for summary in log.summaries:
            scene = os.path.splitext(os.path.basename(summary.get("scene", "")))[0] or self.title
            results.load([one["path"] for one in summary.get("outputs", [])], scene, context)
        return {"OUTPUT": self.parameterAsString(values, "OUTPUT", context), "FILES": [path for _, path in outputs]}


class Vectorize(Command):
    command, title, group_name = "vectorize", "Vectorize class map", "Products"
    handled = ("output", "recipe", "scores")

    def inputs(self):
        self.addParameter(QgsProcessingParameterRasterLayer("LABELS", "Class map"))
        self.addParameter(QgsProcessingParameterEnum("RECIPE", "Product", options=self.recipes(), defaultValue=self.default()))
        self.addParameter(QgsProcessingParameterRasterLayer("SCORES", "Scores", optional=True))
        self.addParameter(QgsProcessingParameterVectorDestination("OUTPUT", "Vectors", QgsProcessing.TypeVectorAnyGeometry))

    @staticmethod
    def recipe():
        known = binary.commands().get("vectorize", {"arguments": []})["arguments"]
        return next((one for one in known if one["option"] == "recipe"), {"values": ["landcover"], "default": "landcover"})

    def recipes(self):
        return self.recipe()["values"]

    def default(self):
        return self.recipes().index(self.recipe()["default"])

    def line(self, values, context):
        recipe = self.recipes()[self.parameterAsEnum(values, "RECIPE", context)]
        scores = self.parameterAsRasterLayer(values, "SCORES", context)
        self.path = self.destination(values, "OUTPUT", context)
        line = [self.raster(values, "LABELS", context), "--recipe", recipe, "--output", self.path, "--overwrite"]
        return line + (["--scores", file_of(scores)] if scores else [])

    def finish(self, log, values, context):
        return {"OUTPUT": self.path}


class Learn(Command):
    command, title, group_name = "learn", "Learn from examples", "Segmentation"
    handled = ("examples", "output", "classes", "class-field")

    def inputs(self):
        self.addParameter(QgsProcessingParameterMultipleLayers("SCENES", "Scenes", QgsProcessing.TypeRaster))
        self.addParameter(QgsProcessingParameterMapLayer("EXAMPLES", "Examples: points, lines, polygons or a class map"))
        self.addParameter(QgsProcessingParameterString("CLASS_FIELD", "Field with the class", "class", optional=True))
        self.addParameter(QgsProcessingParameterString("CLASSES", "Words to begin with: one class a line", multiLine=True, optional=True))
        self.addParameter(QgsProcessingParameterFileDestination("OUTPUT", "Learnt classes", "Learnt classes (*.safetensors)"))

    def line(self, values, context):
        scenes = [file_of(layer) for layer in self.parameterAsLayerList(values, "SCENES", context)]
        examples = file_of(self.parameterAsLayer(values, "EXAMPLES", context))
        words = "; ".join(one.strip() for one in self.parameterAsString(values, "CLASSES", context).splitlines() if one.strip())
        field = self.parameterAsString(values, "CLASS_FIELD", context)
        self.path = self.parameterAsFileOutput(values, "OUTPUT", context)
        line = scenes + ["--examples", examples, "--output", self.path, "--overwrite"]
        line += ["--classes=" + words] if words else []
        return line + (["--class-field", field] if field and field != "class" else [])

    def finish(self, log, values, context):
        return {"OUTPUT": self.path}


class Change(Command):
    command, title, group_name = "change", "Compare two class maps", "Products"
    handled = ("output", "polygons")

    def inputs(self):
        self.addParameter(QgsProcessingParameterRasterLayer("BEFORE", "Earlier class map"))
        self.addParameter(QgsProcessingParameterRasterLayer("AFTER", "Later class map"))
        self.addParameter(QgsProcessingParameterFolderDestination("OUTPUT", "Folder of the results"))

    def line(self, values, context):
        self.folder = self.parameterAsString(values, "OUTPUT", context)
        os.makedirs(self.folder, exist_ok=True)
        line = [self.raster(values, "BEFORE", context), self.raster(values, "AFTER", context), "--output", self.folder]
        return line + ["--polygons", "change.gpkg", "--overwrite"]

    def finish(self, log, values, context):
        paths = [os.path.join(self.folder, name) for name in ("change.tif", "change.gpkg")]
        results.load([path for path in paths if os.path.exists(path)], self.title, context)
        return {"OUTPUT": self.folder}


class Evaluate(Command):
    command, title, group_name = "evaluate", "Evaluate class map", "Products"
    handled = ("prediction", "reference", "json")

    def inputs(self):
        self.addParameter(QgsProcessingParameterRasterLayer("PREDICTION", "Class map"))
        self.addParameter(QgsProcessingParameterMapLayer("REFERENCE", "Reference: a class map or polygons"))
        self.addParameter(QgsProcessingParameterFileDestination("OUTPUT", "Figures", "JSON (*.json)"))

    def line(self, values, context):
        reference = self.parameterAsLayer(values, "REFERENCE", context)
        path = file_of(reference)
        self.path = self.parameterAsFileOutput(values, "OUTPUT", context)
        line = ["--prediction", self.raster(values, "PREDICTION", context), "--json", self.path, "--overwrite"]
        if isinstance(reference, QgsVectorLayer) and path.count(".gpkg:"):
            path, _, layer = path.rpartition(":")
            line += ["--layer", layer]
        return line + ["--reference", path]

    def finish(self, log, values, context):
        with open(self.path, encoding="utf-8") as file:
            figures = json.load(file)
        numbers = {key.upper(): value for key, value in figures.items() if isinstance(value, (int, float))}
        return {"OUTPUT": self.path, **numbers}


ALGORITHMS = (Segment, Run, Vectorize, Learn, Change, Evaluate)
