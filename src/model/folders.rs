//! The user's folders, by the environment; `None` where it names none.

use std::path::PathBuf;

/// Returns the folder of files that can be regenerated: `$SEGEARTH_CACHE`, else `$XDG_CACHE_HOME/segearth`, else `~/.cache/segearth`.
pub fn cache() -> Option<PathBuf> {
    variable("SEGEARTH_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("segearth")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/segearth")))
}

/// Returns the folder of files that the user wants to keep: `$own`, else `$XDG_DATA_HOME/segearth/{name}`, else `~/.local/share/segearth/{name}`.
pub fn data(own: &str, name: &str) -> Option<PathBuf> {
    variable(own)
        .or_else(|| variable("XDG_DATA_HOME").map(|data| data.join("segearth").join(name)))
        .or_else(|| variable("HOME").map(|home| home.join(".local/share/segearth").join(name)))
}

/// An empty variable is none.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
