use std::fs;

use segearth::error::Result;
use segearth::geom::Size;
use segearth::journal::{Division, Fingerprint, Journal, Layer, RowFile, Sample, Strip, remove};

use super::{Folder, parts, refused};

const SCENE: Size = Size { width: 6, height: 9 };

/// A `journal.yaml`, and the file of each of its parts: all are read, added to where rows are missing, and read again.
pub fn journal(data: &[u8]) {
    let [journal, rows] = parts(data);
    let folder = Folder::new();
    folder.write("journal.yaml", journal);
    if let Err(error) = take_up(&folder, rows) {
        refused(&error);
    }
    remove(folder.path()).expect("a journal can be thrown away");
}

fn take_up(folder: &Folder, rows: &[u8]) -> Result<()> {
    let mut identity = Fingerprint::default();
    identity.set("scene", "a.tif");
    Journal::fingerprint_entry(folder.path(), "scene");
    let layers = [("labels", 1, Sample::U8), ("scores", 2, Sample::F32)];
    let layers = layers.map(|(name, planes, sample)| Layer { name: name.into(), planes, sample });
    let journal = Journal::open(folder.path(), &identity, &layers, SCENE, &Division::whole(vec![SCENE.window()]))?;
    assert!(journal.first() < journal.shards());
    for index in [0, 1, journal.first(), journal.shards()] {
        journal.band(index);
    }
    for &part in journal.parts() {
        // Opened once, the file has its name.
        drop(journal.part(part)?);
        for entry in fs::read_dir(folder.path()).expect("the folder").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "rows") {
                fs::write(entry.path(), rows).expect("the part's file");
            }
        }
        let mut file = journal.part(part)?;
        file.failed_windows().iter().for_each(|window| drop(window.to_string()));
        let (before, missing) = (file.rows(), part.height - file.rows());
        // One that is damaged in itself is refused when it is read.
        let Ok(read) = count(&mut file, &layers).inspect_err(refused) else { continue };
        assert_eq!(read, before);
        let bytes = |layer: &Layer| vec![7; layer.bytes() * missing * part.width];
        file.append(&Strip { rows: missing, layers: layers.iter().map(bytes).collect() })?;
        assert_eq!(count(&mut file, &layers)?, part.height);
    }
    Ok(())
}

/// Reads all rows into a scene's own width.
fn count(file: &mut RowFile, layers: &[Layer]) -> Result<usize> {
    let (part, mut rows) = (file.part(), 0);
    let mut reader = file.read()?;
    loop {
        let count = reader.available()?.min(2);
        if count == 0 {
            return Ok(rows);
        }
        let mut into: Vec<Vec<u8>> = layers.iter().map(|layer| vec![0; layer.bytes() * count * SCENE.width]).collect();
        reader.take(count, &mut into, SCENE.width, part.col);
        rows += count;
    }
}
