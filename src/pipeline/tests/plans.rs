//! What comes of jobs that are right: defaults, overrides, paths.

use super::*;
use crate::geom::Blend;
use crate::pipeline::{DeviceChoice, ModelChoice, OutputPaths, RasterPlan, TemplateChoice, from_flags};
use crate::scene::{
    AreaRequest, Compression, MaskRequest, MaskSource, NodataValue, RasterFormat, RasterLayout, Resolution,
    SceneRequest, ScoreType, StretchMethod, ValueRange,
};

const JOB: &str = "model: m\nscene: a.tif\nclasses: [background, 'building, roof']\n";

fn one(job: &str) -> Plan {
    plan(job, &[], vec![rgb("a.tif")]).unwrap_or_else(|error| panic!("{}", shown(&error)))
}

#[test]
fn defaults_match_paper_except_blend() {
    let plan = one(JOB);
    assert_eq!(plan.method.debias, 0.3);
    assert_eq!(plan.method.logit_scale, 50.0);
    assert_eq!(plan.method.threshold, 0.0);
    assert_eq!(plan.method.templates, TemplateChoice::ImageNet80);
    assert_eq!((plan.tiling.window, plan.tiling.stride, plan.tiling.batch), (224, 112, None));
    assert_eq!(plan.tiling.blend, Blend::Hann);
    assert_eq!(plan.device, DeviceChoice::Auto);
    assert_eq!(plan.background, Some(0));
    assert_eq!(plan.classes[1].name, "building");
    assert_eq!(plan.classes[1].prompts, ["building", "roof"]);
    assert_eq!(plan.queries(), 3);
    assert_eq!(plan.scenes[0].bands, [1, 2, 3]);
    assert_eq!(plan.scenes[0].stretch.method, StretchMethod::None);
    let outputs = OutputPaths {
        labels: "output/job/a_labels.tif".into(),
        scores: None,
        confidence: None,
        margin: None,
        polygons: None,
        graph: None,
        zones: None,
        preview: None,
        report: None,
        areas: None,
    };
    assert_eq!(plan.scenes[0].outputs, outputs);
    assert_eq!(plan.notes, [""; 0]);
}

#[test]
fn stride_defaults_to_half_window() {
    assert_eq!(one(&format!("{JOB}tiling: {{window: 160}}\n")).tiling.stride, 80);
}

#[test]
fn bands_follow_colours_names_and_numbers() {
    use ColourRole::{Alpha, Blue, Green, Red, Undefined};
    let resolve = |job: &str, info: SceneInfo| plan(job, &[], vec![info]).unwrap().scenes[0].bands;
    let landsat = || scene("a.tif", &[(Blue, "UInt16"), (Green, "UInt16"), (Red, "UInt16")]);
    assert_eq!(resolve(JOB, landsat()), [3, 2, 1]);
    let unnamed = scene("a.tif", &[(Alpha, "Byte"), (Undefined, "Byte"), (Undefined, "Byte"), (Undefined, "Byte")]);
    assert_eq!(resolve(JOB, unnamed), [2, 3, 4]);
    assert_eq!(resolve(&format!("{JOB}bands: [green, 1, Red]\n"), landsat()), [2, 1, 3]);
    let mut named = landsat();
    named.bands[0].name = Some("B8".into());
    assert_eq!(resolve(&format!("{JOB}bands: [b8, b8, 2]\n"), named), [1, 1, 2]);
    let grey = scene("a.tif", &[(ColourRole::Grey, "Byte")]);
    assert_eq!(resolve(&format!("{JOB}bands: [1, 1, 1]\n"), grey), [1, 1, 1]);
}

#[test]
fn stretch_defaults_by_pixel_type() {
    let deep = || {
        use ColourRole::{Blue, Green, Red};
        scene("a.tif", &[(Red, "UInt16"), (Green, "UInt16"), (Blue, "UInt16")])
    };
    let resolve = |rest: &str| plan(&format!("{JOB}{rest}"), &[], vec![deep()]).unwrap();
    assert_eq!(resolve("").scenes[0].stretch.method, StretchMethod::Percentile { low: 2.0, high: 98.0 });
    assert_eq!(
        resolve("stretch: percentile:1,99.5\n").scenes[0].stretch.method,
        StretchMethod::Percentile { low: 1.0, high: 99.5 }
    );
    assert_eq!(resolve("stretch: mean-std:2.5\n").scenes[0].stretch.method, StretchMethod::MeanStd { k: 2.5 });
    let all = ValueRange { low: 0.0, high: 3000.0 };
    assert_eq!(resolve("stretch: values:0,3000\n").scenes[0].stretch.method, StretchMethod::Given([all; 3]));
    let long = resolve("stretch: {method: min-max, joint: true, gamma: 0.8}\n").scenes[0].stretch.clone();
    assert_eq!((long.method, long.joint, long.gamma), (StretchMethod::MinMax, true, 0.8));
    // Taking 16 bits for 8 is allowed, and said.
    let notes = resolve("stretch: none\n").notes;
    assert!(notes.len() == 1 && notes[0].contains("UInt16"), "{notes:?}");
}

#[test]
fn mask_and_nodata_accept_all_forms() {
    let asked = |rest: &str| {
        plan(&format!("{JOB}{rest}\n"), &[], vec![rgb("a.tif")]).map(|plan| plan.scenes[0].info.access.mask)
    };
    for (rest, source) in [
        ("mask: auto", MaskSource::Auto),
        ("mask: none", MaskSource::None),
        ("mask: Band:2", MaskSource::Band(2)),
        ("mask: 'band: 3'", MaskSource::Band(3)),
    ] {
        assert_eq!(asked(rest).unwrap(), MaskRequest { source, nodata: None }, "{rest}");
    }
    for (rest, value, tolerance) in [
        ("nodata: 0", 0.0, 0.0),
        ("nodata: 12.0", 12.0, 0.0),
        ("nodata: 0~8", 0.0, 8.0),
        ("nodata: {value: 255, tolerance: 2.5}", 255.0, 2.5),
        ("mask: nodata\nnodata: -3 ~ 4", -3.0, 4.0),
    ] {
        let nodata = asked(rest).unwrap().nodata;
        assert_eq!(nodata, Some(NodataValue { value, tolerance }), "{rest}");
    }
    for (rest, part) in [
        ("mask: band:0", "`band:0` is not a valid mask"),
        ("mask: [1]", "must be"),
        ("nodata: [0, 0, 0]", "must be a number, text such as"),
        ("nodata: {tolerance: 3}", "is missing the key `value`"),
        ("nodata: {value: 0, tolerance: -1}", "the tolerance is -1"),
        ("nodata: .inf", "finite"),
        ("nodata: 300", "the nodata value 300 cannot occur in a.tif"),
        ("mask: none\nnodata: 0", "treats every pixel as valid"),
    ] {
        let error = asked(rest).unwrap_err();
        assert!(shown(&error).contains(part), "{rest}: {}", shown(&error));
    }
}

#[test]
fn set_overrides_any_key() {
    let sets =
        ["tiling.stride=56", "classes[1]={name: roof, colour: red, threshold: 0.25}", "device=cuda:1", "scene=b.tif"];
    let plan = plan(JOB, &sets, vec![rgb("b.tif")]).unwrap();
    assert_eq!(plan.tiling.stride, 56);
    assert_eq!(plan.classes[1].colour, [255, 0, 0]);
    assert_eq!(plan.classes[1].threshold, Some(0.25));
    assert_eq!(plan.classes[1].prompts, ["roof"]);
    assert_eq!(plan.device, DeviceChoice::Cuda(1));
}

#[test]
fn set_expands_short_forms() {
    let job = "model: m\nscene: a.tif\nclasses: [background, 'water,river', road]\nstretch: percentile:1,99\n\
               outputs: {polygons: true}\n";
    let plan_of =
        |sets: &[&str]| plan(job, sets, vec![rgb("a.tif")]).unwrap_or_else(|error| panic!("{}", shown(&error)));
    let sets = ["classes[1].threshold=0.4", "classes[1].colour=#ff0000", "classes[2].prompts=[road, street]"];
    let classes = plan_of(&sets).classes;
    assert_eq!((classes[1].name.as_str(), classes[1].threshold, classes[1].colour), ("water", Some(0.4), [255, 0, 0]));
    assert_eq!(classes[1].prompts, ["water", "river"]);
    assert_eq!(
        (classes[2].name.as_str(), classes[2].prompts.as_slice()),
        ("road", &["road", "street"].map(String::from)[..])
    );
    let renamed = plan_of(&["classes[1].name=lake", "classes[1].prompts[1]=pond"]).classes;
    assert_eq!(
        (renamed[1].name.as_str(), renamed[1].prompts.as_slice()),
        ("lake", &["water", "pond"].map(String::from)[..])
    );

    let stretch = |set: &str| plan_of(&[set]).scenes[0].stretch.clone();
    let gamma = stretch("stretch.gamma=0.6");
    assert_eq!((gamma.method, gamma.gamma), (StretchMethod::Percentile { low: 1.0, high: 99.0 }, 0.6));
    assert_eq!(stretch("stretch.percentiles[1]=98").method, StretchMethod::Percentile { low: 1.0, high: 98.0 });
    let other = plan(&job.replace("percentile:1,99", "values:0,3000"), &["stretch.joint=true"], vec![rgb("a.tif")]);
    let all = ValueRange { low: 0.0, high: 3000.0 };
    let other = other.unwrap().scenes[0].stretch.clone();
    assert_eq!((other.method, other.joint), (StretchMethod::Given([all; 3]), true));

    let product = |job: &str, set: &str| plan(job, &[set], vec![rgb("a.tif")]).unwrap();
    let wanted = product(job, "outputs.polygons.diagonal=true");
    assert!(wanted.product.unwrap().options.diagonal);
    assert!(wanted.scenes[0].outputs.polygons.is_some());
    let unwanted = job.replace("polygons: true", "polygons: false");
    assert!(product(&unwanted, "outputs.polygons.diagonal=true").product.unwrap().options.diagonal);
    let named = product(&job.replace("polygons: true", "polygons: p.fgb"), "outputs.polygons.recipe=water");
    assert_eq!(named.scenes[0].outputs.polygons, Some("output/job/p.fgb".into()));

    let area = |job: &str, set: &str| inputs(&parsed(job, set)).unwrap().scenes.remove(0).area;
    let bounds = "model: m\nscene: /vsimem/a.tif\nclasses: [a, b]\naoi: [1, 2, 3, 4]\n";
    assert!(matches!(area(bounds, "aoi.crs=EPSG:32632"), Some(AreaRequest::Bounds { crs, .. }) if crs == "EPSG:32632"));
    let file = bounds.replace("[1, 2, 3, 4]", "/vsimem/area.gpkg");
    assert!(matches!(area(&file, "aoi.layer=x"), Some(AreaRequest::File { layer: Some(layer), .. }) if layer == "x"));
    let mask =
        |nodata: &str, set: &str| inputs(&parsed(&format!("{bounds}nodata: {nodata}\n"), set)).unwrap().scenes[0].mask;
    assert_eq!(mask("0", "nodata.tolerance=8"), mask("0~8", "device=cpu"));
    assert_eq!(mask("0~8", "nodata.value=1"), mask("1~8", "device=cpu"));
    let scenes = inputs(&parsed(bounds, "scene[0]=/vsimem/b.tif")).unwrap().scenes;
    assert_eq!(scenes[0].files, [PathBuf::from("/vsimem/b.tif")]);
}

fn parsed(job: &str, set: &str) -> crate::pipeline::Spec {
    super::parse(Path::new("job.yaml"), job.to_owned(), &[Override::set(set)]).unwrap()
}

#[test]
fn scenes_with_same_file_name_get_distinct_outputs() {
    let job =
        |rest: &str| format!("model: m\nscene: [A/t.tif, B/t.tif]\nclasses: [a, b]\noutputs: {{folder: o{rest}}}\n");
    let paths = |rest: &str, scenes: [&str; 2]| {
        let plan = plan(&job(rest), &[], scenes.map(rgb).to_vec()).unwrap_or_else(|error| panic!("{}", shown(&error)));
        let paths =
            plan.scenes.iter().flat_map(|scene| scene.outputs.named().map(|(_, path)| path.display().to_string()));
        (paths.collect::<Vec<_>>(), plan.notes)
    };
    let (found, notes) = paths(", scores: true", ["A/t.tif", "B/t.tif"]);
    assert_eq!(found, ["o/A_t_labels.tif", "o/A_t_scores.tif", "o/B_t_labels.tif", "o/B_t_scores.tif"]);
    assert_eq!(
        notes,
        [
            "2 scenes have the file name of another scene: in output names, {scene} becomes `A_t`, `B_t`. With {folder}, as in \
          '{folder}_{scene}_labels.tif', names do not depend on the other scenes of the job."
        ]
    );
    let (found, notes) = paths(", labels: '{folder}/{scene}.tif'", ["A/t.tif", "B/t.tif"]);
    assert_eq!((found, notes), (vec!["o/A/t.tif".to_owned(), "o/B/t.tif".to_owned()], vec![]));
    let (found, notes) = paths(", labels: '{folder}.tif'", ["A/t.tif", "B/u.tif"]);
    assert_eq!((found, notes), (vec!["o/A.tif".to_owned(), "o/B.tif".to_owned()], vec![]));
    for (rest, part) in [
        (", labels: '{folder}.tif'", "2 scenes would all write to `{folder}.tif`"),
        (", labels: '{name}_{scene}.tif'", "unknown placeholder `{name}` in `{name}_{scene}.tif`"),
        (", labels: '$DATA/{scene}.tif'", "`$DATA` is an environment variable"),
    ] {
        let error = plan(&job(rest), &[], vec![rgb("A/t.tif"), rgb("A/u.tif")]).unwrap_err();
        assert!(error.to_string().contains(part), "{}", shown(&error));
    }
}

#[test]
fn each_scene_gets_its_outputs() {
    let job = "model: m\nscene: [x/a.tif, b.tif]\nclasses: [a, b]\noutputs: {folder: out, polygons: true, scores: '{scene}/s.tif'}\n";
    let plan = plan(job, &[], vec![rgb("x/a.tif"), rgb("b.tif")]).unwrap();
    let paths: Vec<String> = plan
        .scenes
        .iter()
        .flat_map(|scene| {
            let outputs = &scene.outputs;
            [Some(&outputs.labels), outputs.scores.as_ref(), outputs.polygons.as_ref()]
        })
        .flatten()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(
        paths,
        [
            "out/a_labels.tif",
            "out/a/s.tif",
            "out/a_polygons.gpkg",
            "out/b_labels.tif",
            "out/b/s.tif",
            "out/b_polygons.gpkg"
        ]
    );
}

#[test]
fn relative_paths_start_from_job_folder_or_current_folder() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("models/mine");
    std::fs::create_dir_all(&bundle).unwrap();
    std::fs::write(folder.path().join("a.tif"), "").unwrap();
    let job = folder.path().join("job.yaml");
    std::fs::write(&job, "model: models/mine\nscene: a.tif\nclasses: [a, b]\n").unwrap();

    let spec = crate::pipeline::load(&job, &[]).unwrap();
    let plan = resolve_scenes(&spec, &FACTS, vec![rgb("a.tif")]).unwrap();
    assert_eq!(plan.model, ModelChoice::Bundle(bundle));
    assert_eq!(inputs(&spec).unwrap().scenes, [SceneRequest::file(folder.path().join("a.tif"))]);

    let spec = crate::pipeline::load(&job, &[Override::texts("--input", "scene", &["a.tif".into()])]).unwrap();
    insta::assert_snapshot!(shown(&inputs(&spec).unwrap_err()), @r"
    error: there is no file a.tif
      --> --input
     |
     | a.tif
     | ^^^^^

    hint: Paths in a job file are relative to its folder, paths on the command line to the current folder.
    ");
    // URLs and GDAL's virtual files are joined to nothing.
    let remote = Override::texts("--input", "scene", &["/vsizip/a.zip/a.tif".into(), "https://x.org/a.tif".into()]);
    let found = inputs(&crate::pipeline::load(&job, &[remote]).unwrap()).unwrap();
    let expected = ["/vsizip/a.zip/a.tif", "/vsicurl/https://x.org/a.tif"].map(SceneRequest::file);
    assert_eq!(found.scenes, expected);
}

#[test]
fn surprising_settings_make_notes() {
    let job = "model: m\nscene: a.tif\nclasses: [{name: a, colour: red, prompts: [x]}, {name: b, colour: '#f00', prompts: [x, y]}]\n";
    let mut info = rgb("a.tif");
    info.georeference = None;
    let notes = plan(job, &[], vec![info]).unwrap().notes.join("\n");
    insta::assert_snapshot!(notes, @r"
    Classes `a` and `b` share the prompt `x`: pixels where it scores best get the first of the two.
    Classes `a` and `b` have the same colour.
    a.tif has no georeference: results are in pixel coordinates, areas in pixels.
    ");
}

#[test]
fn flags_and_job_file_make_same_plan() {
    let file = "model: m\nscene: a.tif\nclasses: [background, 'building,roof,house', road]\nbands: [3, 2, 1]\n\
                stretch: none\nmethod: {threshold: 0.4, debias: 0.1}\ntiling: {stride: 56, blend: average}\n\
                outputs: {folder: '', labels: out/l.tif, polygons: p.fgb}\n";
    let flags = [
        Override::text("SCENE", "scene", "a.tif"),
        Override::text("--model", "model", "m"),
        Override::classes("--classes", "background; building,roof,house; road"),
        Override::list("--bands", "bands", "3,2,1"),
        Override::text("--stretch", "stretch", "none"),
        Override::yaml("--threshold", "method.threshold", "0.4"),
        Override::yaml("--debias", "method.debias", "0.1"),
        Override::yaml("--stride", "tiling.stride", "56"),
        Override::text("--blend", "tiling.blend", "average"),
        Override::text("--output", "outputs.labels", "out/l.tif"),
        Override::text("--polygons", "outputs.polygons", "p.fgb"),
    ];
    let by_flags = resolve_scenes(&from_flags(&flags).unwrap(), &FACTS, vec![rgb("a.tif")]).unwrap();
    assert_eq!(by_flags, one(file));
}

#[test]
fn raster_plan_follows_outputs_keys() {
    let plan = one(&format!("{JOB}outputs: {{format: cog, compression: zstd, confidence: true, margin: m.tif}}\n"));
    let layout = RasterLayout { format: RasterFormat::Cog, compression: Compression::Zstd, overviews: true };
    assert_eq!(plan.rasters, RasterPlan { layout, scores: ScoreType::F32, certainty: ScoreType::U8 });
    let outputs = &plan.scenes[0].outputs;
    let paths: Vec<String> = outputs.named().map(|(key, path)| format!("{key} {}", path.display())).collect();
    let expected =
        ["labels output/job/a_labels.tif", "confidence output/job/a_confidence.tif", "margin output/job/m.tif"];
    assert_eq!(paths, expected);
    let types = one(&format!("{JOB}outputs: {{score_type: float32, overviews: none}}\n")).rasters;
    assert_eq!((types.certainty, types.layout.overviews), (ScoreType::F32, false));
    let refused = plan_error(&format!("{JOB}outputs: {{format: cog, overviews: none}}\n"));
    assert!(refused.contains("`format: cog` needs overviews"), "{refused}");
}

fn plan_error(job: &str) -> String {
    shown(&plan(job, &[], vec![rgb("a.tif")]).unwrap_err())
}

#[test]
fn scene_requests_follow_job() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["t/b.tif", "t/a.tif", "t/a.tif.aux.xml", "t/a.qml", "area.gpkg", "all.zip"] {
        std::fs::create_dir_all(folder.path().join("t")).unwrap();
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let at = |name: &str| folder.path().join(name);
    let asked = |rest: &str| {
        let job = at("job.yaml");
        std::fs::write(&job, format!("model: m\nclasses: [a, b]\n{rest}\n")).unwrap();
        crate::pipeline::load(&job, &[]).and_then(|spec| inputs(&spec)).map(|inputs| inputs.scenes)
    };
    let two = [at("t/a.tif"), at("t/b.tif")];
    assert_eq!(asked("scene: t/*").unwrap(), two.clone().map(SceneRequest::file));
    let mosaic =
        asked("scene: [t/b.tif, t/a.*]\nmosaic: true\nresolution: 0.5\naoi: area.gpkg\nassets: [red]").unwrap();
    let expected = SceneRequest {
        files: vec![at("t/b.tif"), at("t/a.tif")],
        mosaic: true,
        assets: vec!["red".into()],
        resolution: Some(Resolution::Metres(0.5)),
        area: Some(AreaRequest::File { path: at("area.gpkg"), layer: None }),
        ..SceneRequest::default()
    };
    assert_eq!(mosaic, [expected]);
    let zipped = asked("scene: all.zip/in/a.tif\nresolution: 1e-5 crs\naoi: [6, 50, 7.5, 51]").unwrap().remove(0);
    assert_eq!(zipped.files, [PathBuf::from(format!("/vsizip/{}", at("all.zip/in/a.tif").display()))]);
    assert_eq!(zipped.resolution, Some(Resolution::CrsUnits(1e-5)));
    assert_eq!(zipped.area, Some(AreaRequest::Bounds { bounds: [6.0, 50.0, 7.5, 51.0], crs: "EPSG:4326".into() }));
    let long = asked("scene: t/a.tif\naoi: {bounds: [0, 0, 10, 10], crs: EPSG:32632}").unwrap().remove(0);
    assert!(matches!(long.area, Some(AreaRequest::Bounds { crs, .. }) if crs == "EPSG:32632"));

    for (rest, part) in [
        ("scene: t/*.jp2", "no file matches"),
        ("scene: t/c.tif", "there is no file"),
        ("scene: s3://bucket/*.tif", "is a pattern on a server"),
        ("scene: none.zip/a.tif", "none.zip"),
        ("scene: t/a.tif\nresolution: 0", "`0` is not a valid resolution"),
        ("scene: t/a.tif\nresolution: half", "`half` is not a valid resolution"),
        ("scene: t/a.tif\naoi: none.gpkg", "none.gpkg"),
        ("scene: t/a.tif\naoi: [1, 2, 3]", "four numbers, not 3"),
        ("scene: t/a.tif\naoi: [5, 2, 3, 4]", "have no area"),
        ("scene: t/a.tif\naoi: {file: area.gpkg, bounds: [1, 2, 3, 4]}", "either a file or bounds"),
    ] {
        let error = asked(rest).unwrap_err();
        assert!(error.to_string().contains(part), "{rest}: {}", shown(&error));
        assert!(error.to_string().contains("job.yaml:"), "{rest}: {}", shown(&error));
    }
}

#[test]
fn grid_scene_uses_native_grid() {
    let mut info = rgb("a.tif");
    let native = crate::scene::NativeGrid {
        size: info.size,
        georeference: info.georeference.clone(),
        scale: [2.0; 2],
        resampling: crate::scene::Resampling::Values,
    };
    info.access.native = Some(native);
    info.size = Size::new(500, 250);
    let grid = |rest: &str| {
        plan(&format!("{JOB}resolution: 0.4\n{rest}"), &[], vec![info.clone()]).unwrap().scenes[0].output_grid().0
    };
    assert_eq!((grid(""), grid("grid: scene\n")), (Size::new(500, 250), Size::new(1000, 500)));
    let notes = one(&format!("{JOB}grid: scene\n")).notes;
    assert!(notes.len() == 1 && notes[0].contains("without `resolution`"), "{notes:?}");
}

#[test]
fn stac_item_names_its_outputs() {
    let mut info = rgb("/vsicurl/https://x.org/TCI.tif");
    info.access.name = Some("../S2A/../x".into());
    let outputs = plan(JOB, &[], vec![info]).unwrap().scenes.remove(0).outputs;
    assert_eq!(outputs.labels, PathBuf::from("output/job/_S2A_.._x_labels.tif"));
}

#[test]
fn alias_is_replaced_by_its_value() {
    let plan = one("model: m\nscene: a.tif\nclasses:\n  - &w water\n  - {name: wet, prompts: [*w, pond]}\n");
    assert_eq!(plan.classes[1].prompts, ["water", "pond"]);
}

#[test]
fn url_names_its_outputs_by_file() {
    let url = "/vsicurl/https://x.org/t/a.tif?key=1.5";
    let plan = plan(&JOB.replace("a.tif", &format!("'{url}'")), &[], vec![rgb(url)]).unwrap();
    assert_eq!(plan.scenes[0].outputs.labels, PathBuf::from("output/job/a_labels.tif"));
}
