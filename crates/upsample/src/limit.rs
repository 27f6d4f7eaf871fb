//! The widest vector instructions that the kernels may use, which an environment variable lowers: to measure other processors'
//! speed, and to tell a kernel's fault from a processor's.

use std::ffi::OsStr;

use segearth_error::{Error, Result};

/// Environment variable with the widest instructions that the kernels may use: `portable`, `avx2` or `avx512` (without AMX).
pub const INSTRUCTIONS_VARIABLE: &str = "SEGEARTH_MAX_CPU_ISA";

/// The widest instructions that may be used, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Those that every processor has.
    Portable,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// AVX-512 with its extensions for int8, without AMX.
    Avx512,
    /// All that the processor has.
    None,
}

impl Limit {
    /// Returns the limit that the environment sets.
    ///
    /// # Errors
    /// The variable has another value than those allowed.
    pub fn from_environment() -> Result<Self> {
        std::env::var_os(INSTRUCTIONS_VARIABLE).map_or(Ok(Self::None), |value| Self::parse(&value))
    }

    fn parse(value: &OsStr) -> Result<Self> {
        match value.to_string_lossy().to_ascii_lowercase().as_str() {
            "" => Ok(Self::None),
            "portable" => Ok(Self::Portable),
            "avx2" => Ok(Self::Avx2),
            "avx512" => Ok(Self::Avx512),
            other => Err(Error::input(format!(
                "{INSTRUCTIONS_VARIABLE} is `{}`; allowed are `portable`, `avx2` and `avx512`",
                other.escape_debug()
            ))
            .with_hint(format!("Unset {INSTRUCTIONS_VARIABLE} to use all that the processor has."))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;

    #[test]
    fn values_of_the_variable() {
        let limit = |text: &str| Limit::parse(OsStr::new(text));
        assert_eq!(limit("").unwrap(), Limit::None);
        assert_eq!(limit("AVX2").unwrap(), Limit::Avx2);
        assert_eq!(limit("avx512").unwrap(), Limit::Avx512);
        let error = limit("sse9").unwrap_err().to_string();
        assert!(error.contains("`sse9`; allowed are `portable`"), "{error}");
    }

    #[test]
    fn levels_stay_within_the_limit() {
        assert_eq!(Level::up_to(Limit::Portable).name(), "portable");
        assert_ne!(Level::up_to(Limit::Avx2).name(), "AVX-512");
        assert_eq!(Level::up_to(Limit::None).name(), Level::best().name());
    }
}
