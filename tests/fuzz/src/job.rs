use std::cell::Cell;
use std::path::Path;

use segearth::error::Result;
use segearth::geom::{GeoTransform, Size};
use segearth::pipeline::{self, Lookup, ModelChoice, ModelFacts, Override};
use segearth::scene::{Access, BandInfo, ColourRole, Georeference, Recommended, SceneInfo, SceneRequest};

use super::{Folder, parts, refused};

const FACTS: ModelFacts = ModelFacts { window: 224, patch: 16, recommended: Recommended::NONE };

/// A job file, and values of `--set`, one a line: up to the plan, with a scene made up for each that the job names.
pub fn job(data: &[u8]) {
    let [text, sets] = parts(data);
    // A pattern that starts anywhere on the disk is looked for on all of it, as its author wishes.
    let slash = text.iter().position(|&byte| byte == b'/').unwrap_or(text.len());
    if text[slash..].iter().any(|byte| b"*?".contains(byte)) {
        return;
    }
    let folder = Folder::new();
    let path = folder.write("job.yaml", text);
    folder.write("a.tif", b"");
    let sets = String::from_utf8_lossy(sets);
    let sets: Vec<Override> = sets.lines().take(8).map(Override::set).collect();
    if let Err(error) = plan(&path, &sets) {
        refused(&error);
    }
}

fn plan(path: &Path, sets: &[Override]) -> Result<()> {
    let spec = pipeline::load(path, sets)?;
    spec.written();
    let mut lookup = MadeUp { scenes: Cell::new(0) };
    let views = pipeline::views(&spec, &mut lookup);
    let plan = pipeline::resolve(&spec, &mut lookup)?;
    views?;
    assert!(!plan.classes.is_empty() && plan.queries() >= plan.classes.len());
    Ok(())
}

/// Every model exists, and so does every scene.
struct MadeUp {
    scenes: Cell<usize>,
}

impl Lookup for MadeUp {
    fn is_result(&self, _: &Path) -> bool {
        false
    }

    fn find_model(&self, _: &ModelChoice) -> Result<()> {
        Ok(())
    }

    fn open_model(&mut self, _: &ModelChoice) -> Result<ModelFacts> {
        Ok(FACTS)
    }

    fn scenes(&self, request: &SceneRequest) -> Result<Vec<SceneInfo>> {
        let index = self.scenes.replace(self.scenes.get() + 1);
        Ok(vec![scene(&request.files[0], 1 + index % 5)])
    }
}

/// Scenes of one to five bands.
fn scene(path: &Path, bands: usize) -> SceneInfo {
    use ColourRole::{Blue, Green, Grey, Red, Undefined};
    let roles = if bands == 1 { vec![Grey] } else { vec![Red, Green, Blue, Undefined, Undefined] };
    let band = |role| BandInfo {
        name: None,
        role,
        pixel_type: "UInt16".into(),
        nodata: None,
        spectral: Default::default(),
        scaling: None,
    };
    SceneInfo {
        path: path.to_owned(),
        size: Size::new(1000, 500),
        bands: roles.into_iter().take(bands).map(band).collect(),
        georeference: Some(Georeference {
            transform: GeoTransform { coefficients: [0.0, 0.2, 0.0, 0.0, 0.0, -0.2] },
            crs_wkt: None,
            crs_name: None,
            geographic: bands.is_multiple_of(2),
            metres_per_unit: 1.0,
            pixel_is_point: false,
        }),
        access: Access::default(),
    }
}
