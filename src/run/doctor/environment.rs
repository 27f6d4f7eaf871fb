//! Environment variables that change what the program does.

use serde_json::json;

use crate::report::DoctorReport;

/// Documented variables whose values may stand in a bug report.
const SHOWN: &[&str] = &[
    "SEGEARTH_MODELS",
    "SEGEARTH_DOWNLOADS",
    "SEGEARTH_CACHE",
    "SEGEARTH_LOG",
    "SEGEARTH_SHARDS",
    "SEGEARTH_FETCH_BASE",
    "SEGEARTH_GPU_KERNELS",
    "SEGEARTH_MAX_CPU_ISA",
    "SEGEARTH_LIBTORCH",
    "SEGEARTH_LAUNCHER",
    "NO_COLOR",
    "TERM",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "GDAL_CACHEMAX",
    "GDAL_HTTP_MAX_RETRY",
    "GDAL_HTTP_RETRY_DELAY",
    "GDAL_DISABLE_READDIR_ON_OPEN",
    "GDAL_DATA",
    "GDAL_DRIVER_PATH",
    "GDAL_SKIP",
    "PROJ_DATA",
    "PROJ_LIB",
    "CPL_DEBUG",
    "CURL_CA_BUNDLE",
    "SLURM_ARRAY_TASK_ID",
];

/// Beginnings of others that matter; they may hold credentials, so only their names are shown.
const NAMED: &[&str] = &[
    "SEGEARTH_",
    "HF_TOKEN",
    "GDAL_",
    "CPL_",
    "OGR_",
    "VSI",
    "AWS_",
    "AZURE_",
    "GS_",
    "OSS_",
    "PROJ_",
    "MKL_",
    "KMP_",
    "OMP_",
    "ONEDNN_",
    "DNNL_",
    "CUDA_",
    "SLURM_ARRAY",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
];

pub fn list(report: &mut DoctorReport) {
    report.section("environment");
    let mut variables: Vec<(String, Option<String>)> = std::env::vars_os()
        .filter_map(|(name, value)| shown(&name.to_string_lossy(), &value.to_string_lossy()))
        .collect();
    variables.sort();
    for (name, value) in variables {
        match value {
            Some(value) => report.fact(&name, value),
            None => report.valued_fact(&name, "set (not shown)", json!({ "set": true })),
        }
    }
}

/// The variable if it matters, with its value if that may be shown.
fn shown(name: &str, value: &str) -> Option<(String, Option<String>)> {
    // An empty variable counts as unset, but not for those of others.
    if SHOWN.contains(&name) {
        return Some((name.to_owned(), Some(value.to_owned())));
    }
    NAMED.iter().any(|start| name.starts_with(start)).then(|| (name.to_owned(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_may_be_secret_are_not_shown() {
        for name in ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "GDAL_HTTP_BEARER", "GDAL_HTTP_USERPWD", "https_proxy"] {
            assert_eq!(shown(name, "secret"), Some((name.to_owned(), None)), "{name}");
        }
        assert_eq!(shown("SEGEARTH_LOG", "json"), Some(("SEGEARTH_LOG".to_owned(), Some("json".to_owned()))));
        assert_eq!(shown("EDITOR", "vi"), None);
    }

    #[test]
    fn documented_variables_are_known() {
        let page = include_str!("../../../docs/src/reference/environment.md");
        let cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
        let names = cells.flat_map(|(cell, _)| {
            cell.split('`').filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        });
        let unknown: Vec<&str> = names
            .filter(|name| name.len() > 3 && !["HOME", "LIBTORCH"].contains(name) && shown(name, "").is_none())
            .collect();
        assert_eq!(unknown, Vec::<&str>::new());
    }
}
