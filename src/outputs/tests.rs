//! Outputs after a kill at every step of publishing, and what is kept, refused or replaced.

use std::fs;
use std::path::{Path, PathBuf};

use super::publish::steps;
use super::*;
use crate::journal::Fingerprint;

fn run(stride: &str) -> Fingerprint {
    let mut run = Fingerprint::default();
    run.set("tiling.stride", stride);
    run.set("device", "cpu");
    run
}

/// A file of three parts, as a Shapefile is one, with a style beside it.
fn product(folder: &Path, stride: &str) -> Product {
    let file = |name: &str| folder.join(name);
    Product {
        files: ["a.shp", "a.shx", "a.dbf"].map(file).to_vec(),
        companions: vec![file("a.qml")],
        stray: vec![file("a.qix"), file("a.shp.aux.xml")],
        ..Product::file(&file("a.shp"), run(stride))
    }
}

fn staged(product: &Product, content: &str) -> Staging {
    let staging = Staging::begin(product).unwrap();
    for name in ["a.shp", "a.shx", "a.dbf", "a.qml"] {
        fs::write(staging.path().with_file_name(name), format!("{content} {name}")).unwrap();
    }
    staging
}

fn write(product: &Product, content: &str, existing: Existing) {
    publish([staged(product, content)], existing).unwrap();
}

fn verdict(product: &Product) -> Result<Verdict, String> {
    check([product], Existing::Refuse, false).map(|verdicts| verdicts[0].clone()).map_err(|error| error.to_string())
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

/// Takes the first `count` steps only, as if the process were killed then.
#[test]
fn kill_after_any_step_is_recognised_and_loses_nothing() {
    for (old, existing) in [("112", Existing::Replace), ("56", Existing::Refuse)] {
        for count in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            write(&product(folder, old), "old", Existing::Refuse);
            let new = product(folder, "56");
            let staging = staged(&new, "new");
            let all = steps(&staging, existing).unwrap();
            let (whole, steps) = (all.len(), all.into_iter().take(count));
            steps.for_each(|step| step.take(&new).unwrap());
            for name in ["a.shp", "a.shx", "a.dbf", "a.qml"] {
                let found = read(folder, name);
                assert!([format!("old {name}"), format!("new {name}")].contains(&found), "{count}: {name}: {found}");
            }
            drop(staging);
            match verdict(&new) {
                // Before the first file is renamed, nothing has changed.
                Err(said) => assert!(old == "112" && said.contains("tiling.stride was 112, is 56"), "{count}: {said}"),
                Ok(Verdict::Keep) => {
                    assert!(count >= whole || (old == "56" && count < 2), "{count}: it is not complete yet")
                }
                Ok(verdict) => assert_eq!(verdict, Verdict::Write, "{count}"),
            }
            // A run with the old fingerprint does not accept a mixture of old and new files as its own.
            if old == "112" && (2..whole).contains(&count) {
                assert_ne!(verdict(&product(folder, old)), Ok(Verdict::Keep), "{count}");
            }
            write(&new, "new", existing);
            assert_eq!(verdict(&new), Ok(Verdict::Keep), "{count}");
            assert_eq!(read(folder, "a.dbf"), "new a.dbf");
            if count >= whole {
                break;
            }
        }
    }
}

#[test]
fn unchanged_outputs_are_kept_and_foreign_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let own = product(folder, "112");
    assert_eq!(verdict(&own), Ok(Verdict::Write));
    write(&own, "own", Existing::Refuse);
    assert_eq!(verdict(&own), Ok(Verdict::Keep));
    // Written on another kind of device: the same job, but other bytes.
    let mut gpu = own.clone();
    gpu.run.set("device", "cuda");
    assert_eq!(verdict(&gpu), Ok(Verdict::Write));
    // Another time with the same content is not an edit; the same size with other content is.
    let dbf = folder.join("a.dbf");
    fs::write(&dbf, "own a.dbf").unwrap();
    assert_eq!(verdict(&own), Ok(Verdict::Keep));
    fs::write(&dbf, "OWN a.dbf").unwrap();
    assert_eq!(verdict(&own), Ok(Verdict::KeepEdited(dbf.display().to_string())));
    assert!(check([&own], Existing::Refuse, true).is_err(), "a command that writes again refuses");
    fs::write(&dbf, "own a.dbf").unwrap();
    // If one file is missing, the whole output is written again.
    fs::remove_file(folder.join("a.shx")).unwrap();
    assert_eq!(verdict(&own), Ok(Verdict::Write));
    // An edited style stays; a foreign spatial index would be read as the new file's.
    fs::write(folder.join("a.qml"), "mine").unwrap();
    write(&own, "own", Existing::Refuse);
    assert_eq!((read(folder, "a.qml").as_str(), read(folder, "a.shx").as_str()), ("mine", "own a.shx"));
    fs::remove_file(folder.join("a.shx")).unwrap();
    fs::write(folder.join("a.qix"), "mine").unwrap();
    assert!(verdict(&own).unwrap_err().contains("a.qix: other programs would read it as part of a.shp"));
    write(&own, "own", Existing::Replace);
    assert!(!folder.join("a.qix").exists() && read(folder, "a.qml") == "own a.qml");
    // Without a readable record the file's origin is unknown.
    for damage in ["", "{", "{\"format\": 99, \"writes\": []}"] {
        fs::write(folder.join(".segearth/a.shp.json"), damage).unwrap();
        assert!(verdict(&own).unwrap_err().contains("a.shp: a file of 9 bytes that segearth has no record of"));
    }
}

#[test]
fn files_created_or_edited_meanwhile_stay() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let own = product(folder, "112");
    let staging = staged(&own, "new");
    fs::write(folder.join("a.dbf"), "mine").unwrap();
    let error = publish([staging], Existing::Refuse).unwrap_err();
    assert!(error.to_string().contains("a.dbf: a file of 4 bytes"), "{error}");
    assert!(!folder.join("a.shp").exists() && read(folder, "a.dbf") == "mine");
    fs::remove_file(folder.join("a.dbf")).unwrap();
    // Created after the check, before the rename.
    let staging = staged(&own, "new");
    let mut steps = steps(&staging, Existing::Refuse).unwrap().into_iter();
    steps.next().unwrap().take(&own).unwrap();
    fs::write(folder.join("a.dbf"), "mine").unwrap();
    let refused = steps.map(|step| step.take(&own)).find_map(Result::err).unwrap();
    assert!(refused.to_string().contains("a.dbf was created by another process in the meantime"), "{refused}");
    assert_eq!(read(folder, "a.dbf"), "mine");
}

#[test]
fn staging_locks_the_output_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let own = product(folder.path(), "112");
    let first = Staging::begin(&own).unwrap();
    assert!(Staging::begin(&own).unwrap_err().to_string().contains("another run is writing"));
    let text = format!("cannot write {}", first.path().display());
    assert_eq!(first.shown(&text), format!("cannot write {}", folder.path().join("a.shp").display()));
    drop(first);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // The next run removes the folder of a killed one.
    let left: PathBuf = folder.path().join(".segearth/a.shp.partial");
    fs::create_dir_all(left.join("deep")).unwrap();
    fs::write(left.join("a.dbf"), "half").unwrap();
    let next = Staging::begin(&own).unwrap();
    assert_eq!(fs::read_dir(next.path().parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn statistics_in_a_sidecar_are_not_an_edit() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("l.tif");
    let product = Product::raster(&target, run("112"));
    let sidecar = folder.path().join("l.tif.aux.xml");
    let computed = "<PAMDataset>\n  <PAMRasterBand band=\"1\">\n    <Histograms><HistItem/></Histograms>\n    <Metadata>\n      \
                    <MDI key=\"STATISTICS_MEAN\">3.5</MDI>\n    </Metadata>\n  </PAMRasterBand>\n</PAMDataset>\n";
    fs::write(&sidecar, computed).unwrap();
    assert_eq!(verdict(&product), Ok(Verdict::Write));
    let said = computed.replace("<Metadata>", "<Description>mine</Description><Metadata>");
    fs::write(&sidecar, said).unwrap();
    assert!(verdict(&product).unwrap_err().contains("l.tif.aux.xml: other programs would read it"));
}
