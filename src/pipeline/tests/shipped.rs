//! The jobs in `pipelines/`: each resolves, and those of the paper hold the paper's numbers.

use super::*;
use crate::geom::Blend;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")
}

fn resolved(name: &str) -> Result<Plan> {
    let spec = crate::pipeline::load(&folder().join(name), &[Override::set("scene=a.tif")]);
    spec.and_then(|spec| resolve_scenes(&spec, &FACTS, vec![rgb("a.tif")]))
}

fn shipped(name: &str) -> Plan {
    resolved(name).unwrap_or_else(|error| panic!("{name}: {}", shown(&error)))
}

#[test]
fn shipped_jobs_resolve_without_notes() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "learnt.yaml" {
            // Its classes are to be learnt first; all else is right.
            let error = shown(&resolved(name).unwrap_err());
            assert!(error.contains("there is no file of learnt classes") && !error.contains("2 errors"), "{error}");
        } else {
            let plan = shipped(name);
            assert!(plan.notes.is_empty(), "{name}: {:?}", plan.notes);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=job.schema.json\n"), "{name}");
        assert!(text.contains(&format!("pipelines/{name} ")), "{name} shows how to run it");
        count += 1;
    }
    assert_eq!(count, 21);
}

#[test]
fn schema_file_is_up_to_date() {
    let path = folder().join("job.schema.json");
    let schema = crate::pipeline::json_schema();
    // The schema changes with the types: UPDATE_SCHEMA=1 cargo test schema_file
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == schema, "{} is out of date: write `segearth schema` into it", path.display());
}

#[test]
fn paper_jobs_have_paper_settings() {
    // Method text, section 6: classes, threshold, background, λ.
    let table: &[(&str, &str, f32, &str, f32)] = &[
        (
            "openearthmap",
            "background; bareland,barren; grass; pavement; road; tree,forest; water,river; cropland; building,roof,house",
            0.1,
            "background",
            0.3,
        ),
        (
            "loveda",
            "background; building,roof,house; road; water; barren; forest; agricultural",
            0.3,
            "background",
            0.3,
        ),
        (
            "isaid",
            "background; ship; store tank; baseball diamond; tennis court; basketball court; ground track field; bridge; \
             large vehicle; small vehicle; helicopter; swimming pool; roundabout; soccer ball field; plane; harbor",
            0.4,
            "background",
            0.3,
        ),
        ("potsdam", "road,parking lot; building; low vegetation; tree; car; clutter,background", 0.1, "clutter", 0.3),
        ("vaihingen", "impervious surface; building; low vegetation; tree; car; clutter", 0.1, "clutter", 0.3),
        ("uavid", "background; building; road; car; tree; vegetation; human", 0.3, "background", 0.3),
        ("udd5", "vegetation; building; road; vehicle; background", 0.4, "background", 0.3),
        ("vdd", "background; facade; road; vegetation; vehicle; roof; water", 0.3, "background", 0.3),
        ("whu-aerial-inria", "background; building", 0.6, "background", 0.3),
        ("whu-satellite", "background; building", 0.7, "background", 0.3),
        ("xbd", "background; building", 0.0, "background", 0.0),
        ("chn6-cug", "background; road", 0.8, "background", 0.3),
        ("roads", "background; road", 0.7, "background", 0.3),
        ("wbs-si", "background; water", 0.6, "background", 0.3),
    ];
    for (name, classes, threshold, background, debias) in table {
        let plan = shipped(&format!("paper-{name}.yaml"));
        let written: Vec<String> = plan.classes.iter().map(|class| class.prompts.join(",")).collect();
        assert_eq!(written.join("; "), *classes, "{name}");
        assert_eq!(plan.method.threshold, *threshold, "{name}");
        assert_eq!(plan.method.debias, *debias, "{name}");
        assert_eq!(plan.background.map(|index| plan.classes[index].name.as_str()), Some(*background), "{name}");
        assert_eq!((plan.tiling.window, plan.tiling.stride, plan.tiling.blend), (224, 112, Blend::Average), "{name}");
    }
}
