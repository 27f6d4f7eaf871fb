//! The vector product of a job: its recipe, which classes it takes, and what belongs beside it.

use std::path::PathBuf;

use super::errors::JobErrors;
use super::paths::is_local;
use super::plan::{ClassPlan, Product};
use super::spec::{OneOrMany, OutputForm, PolygonsForm, PolygonsKeys, RecipeForm, Spec};
use crate::location::split_layer;
use crate::scene::{ClassNames, ProductOptions, Recipe, is_background};

/// Names of the files of a product, `{scene}` in them.
pub(super) struct Names {
    pub polygons: Option<String>,
    pub graph: Option<String>,
    pub zones: Option<String>,
}

pub(super) fn names(spec: &Spec) -> Names {
    let (file, keys) = match &spec.outputs.polygons {
        None | Some(PolygonsForm::Wanted(false)) => return Names { polygons: None, graph: None, zones: None },
        Some(PolygonsForm::Wanted(true)) => (None, None),
        Some(PolygonsForm::Name(name)) => (Some(name.clone()), None),
        Some(PolygonsForm::Long(keys)) => (keys.file.clone(), Some(keys)),
    };
    let recipe = keys.map_or(Recipe::Plain, |keys| recipe(keys));
    let what = if recipe == Recipe::Plain { "polygons" } else { recipe.name() };
    let graph = keys.and_then(|keys| OutputForm::name(keys.graph.as_ref(), "{scene}_roads.graphml"));
    let zones = keys.filter(|keys| keys.zones.is_some());
    Names {
        polygons: Some(file.unwrap_or_else(|| format!("{{scene}}_{what}.gpkg"))),
        graph: graph.map(str::to_owned),
        zones: zones.map(|keys| keys.zone_table.clone().unwrap_or_else(|| "{scene}_zones.csv".to_owned())),
    }
}

fn recipe(keys: &PolygonsKeys) -> Recipe {
    match keys.recipe {
        None | Some(RecipeForm::Plain) => Recipe::Plain,
        Some(RecipeForm::Buildings) => Recipe::Buildings,
        Some(RecipeForm::Roads) => Recipe::Roads,
        Some(RecipeForm::Water) => Recipe::Water,
        Some(RecipeForm::Landcover) => Recipe::Landcover,
    }
}

/// The product, if the job has one. `background`: the index of the class that is left out by default.
pub(super) fn product(
    spec: &Spec,
    classes: &[ClassPlan],
    background: Option<usize>,
    errors: &mut JobErrors<'_>,
) -> Option<Product> {
    let keys = match &spec.outputs.polygons {
        None | Some(PolygonsForm::Wanted(false)) => return None,
        Some(PolygonsForm::Wanted(true) | PolygonsForm::Name(_)) => &PolygonsKeys::default(),
        Some(PolygonsForm::Long(keys)) => keys,
    };
    let recipe = recipe(keys);
    let wanted = match &keys.classes {
        None => Vec::new(),
        Some(OneOrMany::One(name)) => vec![name.clone()],
        Some(OneOrMany::Many(names)) => names.clone(),
    };
    let mut options = ProductOptions {
        classes: wanted,
        keep_background: keys.keep_background == Some(true),
        diagonal: keys.diagonal == Some(true),
        t_srs: keys.t_srs.clone(),
        layer_per_class: keys.layer_per_class == Some(true),
        min_area: keys.min_area,
        max_hole: keys.max_hole,
        opening: keys.opening,
        closing: keys.closing,
        tolerance: keys.tolerance,
        smooth: keys.smooth,
        plain_outlines: keys.plain_outlines == Some(true),
        least_iou: keys.least_iou,
        max_gap: keys.max_gap,
        min_length: keys.min_length,
        min_spur: keys.min_spur,
        graph: (!matches!(keys.graph, None | Some(OutputForm::Wanted(false)))).then(PathBuf::new),
        subtract: input(spec, "subtract", keys.subtract.as_deref(), errors),
        zones: input(spec, "zones", keys.zones.as_deref(), errors),
        zone_field: keys.zone_field.clone(),
        zone_table: keys.zone_table.as_ref().map(PathBuf::from),
        fields: keys.fields.iter().flatten().map(|field| field.kind()).collect(),
    };
    for option in options.invalid_options(recipe) {
        errors.add(&format!("outputs.polygons.{}", option.key), option.message).hint = Some(option.hint);
    }
    let names: Vec<String> = classes.iter().map(|class| class.name.clone()).collect();
    match recipe.classes(&ClassNames::of_indices(&names), &options.classes, "the job") {
        Err(error) if !names.is_empty() => {
            let key = if options.classes.is_empty() { "outputs.polygons.recipe" } else { "outputs.polygons.classes" };
            errors.add(key, error.to_string()).hint = error.hint().map(str::to_owned);
        }
        _ => {}
    }
    let whole_map = matches!(recipe, Recipe::Plain | Recipe::Landcover);
    if let Some(background) = background.filter(|_| whole_map && options.classes.is_empty() && !options.keep_background)
    {
        // The vectors know a background by that name; a job may call it otherwise.
        let others = names.iter().enumerate().filter(|&(index, name)| index != background && !is_background(name));
        options.classes = others.map(|(_, name)| name.clone()).collect();
    }
    Some(Product { recipe, options })
}

fn input(spec: &Spec, key: &str, name: Option<&str>, errors: &mut JobErrors<'_>) -> Option<PathBuf> {
    let (name, key) = (name?, format!("outputs.polygons.{key}"));
    let path = spec.input_path(&key, name);
    if is_local(name) && !split_layer(&path).0.is_file() {
        errors.add(&key, format!("there is no file {}", path.display())).hint = Some(
            "Give a vector file with polygons as FILE or FILE:LAYER. Paths in a job file are relative to its folder."
                .into(),
        );
    }
    Some(path)
}
