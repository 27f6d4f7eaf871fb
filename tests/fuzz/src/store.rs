use segearth::embeddings::{Store, TokenReader};
use segearth::error::Result;

use super::{Folder, parts, refused};

/// A store's `zarr.json`, that of a scene and of its tokens, and the first chunk: all are read as a job reads them.
pub fn store(data: &[u8]) {
    let [root, scene, tokens, chunk] = parts(data);
    let folder = Folder::new();
    for (name, bytes) in
        [("zarr.json", root), ("s/zarr.json", scene), ("s/tokens/zarr.json", tokens), ("s/tokens/c/0/0/0/0", chunk)]
    {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in the temporary one");
        folder.write(name, bytes);
    }
    if let Err(error) = read(&folder) {
        refused(&error);
    }
}

fn read(folder: &Folder) -> Result<()> {
    let store = Store::open(folder.path())?;
    store.check_model(&store.model().clone())?;
    for scene in store.scenes()? {
        store.check_facts(&scene, scene.card())?;
        scene.is_complete();
        let Some(first) = scene.chunks().next() else { continue };
        let mut reader = TokenReader::new(&scene);
        for window in scene.windows(first).into_iter().take(3) {
            let mut tokens = Vec::new();
            match reader.append(window, &mut tokens) {
                Ok(()) => assert_eq!(tokens.len(), scene.card().tokens() * store.model().width),
                Err(error) => refused(&error),
            }
            scene.card().footprint(window, 0, store.model().patch);
        }
    }
    Ok(())
}
