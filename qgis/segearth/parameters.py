"""Parameters of Processing, made from what the program says of its options."""

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterString,
)

# Options that have no place in a form: how a run is divided among machines, and what the plugin decides itself.
LEFT_OUT = {"overwrite", "shard", "workers", "metrics", "json", "set", "input"}
# Values that are written to a file.
WRITTEN = (".tif", ".png", ".html", ".csv", ".graphml", ".prom")


def name_of(option):
    """`min-area` is MIN_AREA."""
    return option.replace("-", "_").upper()


def describe(help_text):
    """The first sentence for the form."""
    return help_text.replace("`", "").split(" [default")[0].strip()


def parameters(command, handled):
    """A parameter for each option that is not in `handled`, advanced, with the option that it stands for."""
    made = []
    for argument in command["arguments"]:
        option = argument["option"]
        if option is None or option in handled or option in LEFT_OUT:
            continue
        parameter = _parameter(name_of(option), argument)
        parameter.setHelp(argument["help"])
        parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
        made.append((argument, parameter))
    return made


def _parameter(name, argument):
    text, value = describe(argument["help"]), argument["value"]
    if value is None:
        return QgsProcessingParameterBoolean(name, text, defaultValue=False)
    if argument["values"] and not argument["several"]:
        default = argument["values"].index(argument["default"]) if argument["default"] in argument["values"] else None
        return QgsProcessingParameterEnum(name, text, options=argument["values"], defaultValue=default, optional=True)
    writes = argument["help"].startswith("Write")
    if writes and value.endswith(WRITTEN):
        filters = "{} (*.{})".format(value.split(".")[-1].upper(), value.split(".")[-1])
        destination = QgsProcessingParameterFileDestination(name, text, filters, optional=True, createByDefault=False)
        return destination
    if value.startswith("FILE") and not writes and not argument["several"]:
        return QgsProcessingParameterFile(name, text, optional=True)
    several = " (several: one a line)" if argument["several"] else ""
    return QgsProcessingParameterString(name, text + several, optional=True, multiLine=argument["several"])


def arguments(algorithm, made, values, context):
    """The arguments of the program for what the user has set."""
    line = []
    for argument, parameter in made:
        name, option = parameter.name(), "--" + argument["option"]
        if isinstance(parameter, QgsProcessingParameterBoolean):
            if algorithm.parameterAsBoolean(values, name, context):
                line.append(option)
        elif isinstance(parameter, QgsProcessingParameterEnum):
            if values.get(name) is not None:
                chosen = argument["values"][algorithm.parameterAsEnum(values, name, context)]
                if chosen != argument["default"]:
                    line += [option, chosen]
        elif isinstance(parameter, QgsProcessingParameterFileDestination):
            path = algorithm.parameterAsFileOutput(values, name, context)
            if path:
                line += [option, path]
        elif isinstance(parameter, QgsProcessingParameterFile):
            path = algorithm.parameterAsFile(values, name, context)
            if path:
                line += [option, path]
        else:
            text = algorithm.parameterAsString(values, name, context)
            for one in text.splitlines() if argument["several"] else [text]:
                if one.strip():
                    # With an equals sign: a value may begin with a hyphen.
                    line.append("{}={}".format(option, one.strip()))
    return line
