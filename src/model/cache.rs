//! Where the program keeps what it can make again.

use std::path::PathBuf;

/// `$SEGEARTH_CACHE`, else `$XDG_CACHE_HOME/segearth`, else `~/.cache/segearth`; `None` where the environment names none.
pub fn folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("SEGEARTH_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("segearth")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/segearth")))
}
