//! Outputs at every step of their way, as a kill would leave them.

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

/// All steps but the last ones are taken, then nothing more: as if the process were killed.
#[test]
fn a_kill_after_any_step_is_recognised_and_loses_nothing() {
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
                // Before the first file has its name, all is as it was.
                Err(said) => assert!(old == "112" && said.contains("tiling.stride was 112, is 56"), "{count}: {said}"),
                Ok(Verdict::Keep) => {
                    assert!(count >= whole || (old == "56" && count < 2), "{count}: it is not whole yet")
                }
                Ok(verdict) => assert_eq!(verdict, Verdict::Write, "{count}"),
            }
            // The run on the old facts does not take half of the new files for its own.
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
fn what_is_kept_and_what_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let own = product(folder, "112");
    assert_eq!(verdict(&own), Ok(Verdict::Write));
    write(&own, "own", Existing::Refuse);
    assert_eq!(verdict(&own), Ok(Verdict::Keep));
    // Another device made it: the same job, and not the same bytes.
    let mut gpu = own.clone();
    gpu.run.set("device", "cuda");
    assert_eq!(verdict(&gpu), Ok(Verdict::Write));
    // Another time and the same content is no edit; the same size and other content is one.
    let dbf = folder.join("a.dbf");
    fs::write(&dbf, "own a.dbf").unwrap();
    assert_eq!(verdict(&own), Ok(Verdict::Keep));
    fs::write(&dbf, "OWN a.dbf").unwrap();
    assert_eq!(verdict(&own), Ok(Verdict::KeepEdited(dbf.display().to_string())));
    assert!(check([&own], Existing::Refuse, true).is_err(), "a command that makes it again refuses");
    fs::write(&dbf, "own a.dbf").unwrap();
    // A part that is gone is made again, and so is the whole.
    fs::remove_file(folder.join("a.shx")).unwrap();
    assert_eq!(verdict(&own), Ok(Verdict::Write));
    // An edited style stays; an index of somebody else's would be taken for the new file's.
    fs::write(folder.join("a.qml"), "mine").unwrap();
    write(&own, "own", Existing::Refuse);
    assert_eq!((read(folder, "a.qml").as_str(), read(folder, "a.shx").as_str()), ("mine", "own a.shx"));
    fs::remove_file(folder.join("a.shx")).unwrap();
    fs::write(folder.join("a.qix"), "mine").unwrap();
    assert!(verdict(&own).unwrap_err().contains("a.qix: readers would take it for a part of a.shp"));
    write(&own, "own", Existing::Replace);
    assert!(!folder.join("a.qix").exists() && read(folder, "a.qml") == "own a.qml");
    // The record is lost, or damaged: nobody knows whose the file is.
    for damage in ["", "{", "{\"format\": 99, \"writes\": []}"] {
        fs::write(folder.join(".segearth/a.shp.json"), damage).unwrap();
        assert!(verdict(&own).unwrap_err().contains("a.shp: a file of 9 bytes that segearth has no record of"));
    }
}

#[test]
fn what_appears_or_is_edited_meanwhile_stays() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let own = product(folder, "112");
    let staging = staged(&own, "new");
    fs::write(folder.join("a.dbf"), "mine").unwrap();
    let error = publish([staging], Existing::Refuse).unwrap_err();
    assert!(error.to_string().contains("a.dbf: a file of 4 bytes"), "{error}");
    assert!(!folder.join("a.shp").exists() && read(folder, "a.dbf") == "mine");
    fs::remove_file(folder.join("a.dbf")).unwrap();
    // In the very last moment: the look was before.
    let staging = staged(&own, "new");
    let mut steps = steps(&staging, Existing::Refuse).unwrap().into_iter();
    steps.next().unwrap().take(&own).unwrap();
    fs::write(folder.join("a.dbf"), "mine").unwrap();
    let refused = steps.map(|step| step.take(&own)).find_map(Result::err).unwrap();
    assert!(refused.to_string().contains("a.dbf appeared while its new content was made"), "{refused}");
    assert_eq!(read(folder, "a.dbf"), "mine");
}

#[test]
fn one_run_at_a_time_works_on_an_output_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let own = product(folder.path(), "112");
    let first = Staging::begin(&own).unwrap();
    assert!(Staging::begin(&own).unwrap_err().to_string().contains("another run is at work on"));
    let text = format!("cannot write {}", first.path().display());
    assert_eq!(first.shown(&text), format!("cannot write {}", folder.path().join("a.shp").display()));
    drop(first);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // What a killed run has left goes with the next.
    let left: PathBuf = folder.path().join(".segearth/a.shp.partial");
    fs::create_dir_all(left.join("deep")).unwrap();
    fs::write(left.join("a.dbf"), "half").unwrap();
    let next = Staging::begin(&own).unwrap();
    assert_eq!(fs::read_dir(next.path().parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn statistics_are_no_edit_of_a_sidecar() {
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
    assert!(verdict(&product).unwrap_err().contains("l.tif.aux.xml: readers would take it"));
}
