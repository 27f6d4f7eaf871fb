//! Which libtorch was loaded, and what it says of itself, for `segearth doctor`.

#![expect(unsafe_code, reason = "calls a function of libtorch that its C interface lacks")]

use std::fs;
use std::path::PathBuf;

use libloading::os::unix::Library;

/// The libtorch of this process.
#[derive(Clone, Debug)]
pub struct TorchFacts {
    /// As it was built, such as `2.11.0`.
    pub version: Option<String>,
    /// The vector instructions that its kernels use, such as `AVX512`.
    pub instructions: Option<String>,
    /// Where libtorch_cpu.so was found.
    pub file: Option<PathBuf>,
    pub threads: usize,
}

/// Looks which libtorch was loaded.
pub fn torch_facts() -> TorchFacts {
    let config = config().unwrap_or_default();
    let after = |mark: &str| {
        let rest = config.split_once(mark)?.1;
        let end = rest.find([',', '\n']).unwrap_or(rest.len());
        rest.get(..end).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut paths = maps.lines().filter_map(|line| line.get(line.find('/')?..));
    let file = paths.find(|path| path.ends_with("/libtorch_cpu.so"));
    TorchFacts {
        version: after("TORCH_VERSION="),
        instructions: after("CPU capability usage:"),
        file: file.map(PathBuf::from),
        threads: super::threads(),
    }
}

/// What `torch.__config__.show()` prints.
fn config() -> Option<String> {
    /// A `std::string` of libstdc++ (its ABI since GCC 5): pointer, length, and room for short texts.
    #[repr(C)]
    struct Text {
        start: *const u8,
        length: usize,
        room: [usize; 2],
    }
    // A C++ function that returns a `std::string` takes a pointer to where it is made as its first argument (Itanium C++ ABI).
    type ShowConfig = unsafe extern "C" fn(*mut Text);
    let program = Library::this();
    // SAFETY: the function `std::string at::show_config()` has been in libtorch since 1.0 under this name, which holds its arguments;
    // the ABI of the text is what libtorch 2.11 and torch-sys are built with. The text is copied and then leaked, once.
    unsafe {
        let show_config = program.get::<ShowConfig>(b"_ZN2at11show_configB5cxx11Ev\0");
        let show_config = show_config.or_else(|_| program.get::<ShowConfig>(b"_ZN2at11show_configEv\0")).ok()?;
        let mut text = std::mem::MaybeUninit::<Text>::uninit();
        show_config(text.as_mut_ptr());
        let text = text.assume_init();
        let bytes = std::slice::from_raw_parts(text.start, text.length);
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_says_what_it_is() {
        let facts = torch_facts();
        assert!(facts.version.as_deref().is_some_and(|version| version.starts_with("2.")), "{facts:?}");
        assert!(facts.instructions.is_some() && facts.threads > 0, "{facts:?}");
        assert!(facts.file.is_some_and(|file| file.is_file()));
    }
}
