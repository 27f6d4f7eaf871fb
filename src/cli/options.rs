//! What is said of a run and changes nothing of its results.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::shard::Shard;
use crate::pipeline::Override;

#[derive(Args, Clone, Debug, Default)]
pub struct RunOptions {
    /// Limit memory use to SIZE, such as 4GB; very wide scenes are then computed in columns [default: half of the free memory]
    #[arg(long, value_name = "SIZE", help_heading = "Run options")]
    pub memory: Option<Memory>,
    /// Discard earlier results and restart; replace outputs that exist
    #[arg(long, help_heading = "Run options")]
    pub overwrite: bool,
    /// Continue where windows cannot be computed: exit code 3, and nodata where no other window reaches
    #[arg(long, alias = "allow-holes", help_heading = "Run options")]
    pub allow_failed_windows: bool,
    /// Compute shard I of N of the job, for `segearth merge`; auto: as Slurm, Kubernetes or another scheduler says
    #[arg(long, value_name = "I/N|auto", conflicts_with = "overwrite", help_heading = "Run options")]
    pub shard: Option<Shard>,
    /// Divide the job among N processes on this machine, each with its own GPU if there are any; auto: one for each GPU
    #[arg(long, value_name = "N|auto", conflicts_with_all = ["shard", "overwrite", "metrics"], help_heading = "Run options")]
    pub workers: Option<Workers>,
    #[command(flatten)]
    pub metrics: MetricsOption,
}

/// Number of processes that divide a job on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One for each GPU, at least one.
    Auto,
    Count(usize),
}

/// More processes than machines have GPUs or cores.
const MOST_WORKERS: usize = 256;

impl FromStr for Workers {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        match (written, written.parse()) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(count)) if (1..=MOST_WORKERS).contains(&count) => Ok(Self::Count(count)),
            _ => Err(format!("give a number from 1 to {MOST_WORKERS}, or auto")),
        }
    }
}

/// How the pixels of scenes are read, whatever is done with them.
#[derive(Args, Clone, Debug, Default)]
pub struct PixelOptions {
    /// Read these bands as red, green and blue: numbers from 1, names or colours [default: as the file says, else 1,2,3]
    #[arg(long, value_name = "R,G,B")]
    pub bands: Option<String>,
    /// Mask pixels by auto, none, alpha, nodata or band:N [default: auto, the first of mask band, alpha and nodata value]
    #[arg(long, value_name = "MASK")]
    pub mask: Option<String>,
    /// Treat this value as nodata, with a tolerance as VALUE~TOLERANCE [default: the file's nodata value]
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub nodata: Option<String>,
    /// Stretch values to 0 to 255: none, min-max, percentile[:LOW,HIGH], mean-std[:K] or values:LOW,HIGH; 'percentile gamma:0.6'
    /// brightens what is dark [default: none for 8-bit scenes, else percentile:2,98]
    #[arg(long, value_name = "STRETCH")]
    pub stretch: Option<String>,
}

impl PixelOptions {
    /// The flags that are given, after those of `others`, with the key of a job and the value that each stands for.
    pub fn given_after<'a>(
        &'a self,
        others: impl IntoIterator<Item = (&'static str, &'static str, Option<&'a String>)>,
    ) -> Vec<(&'static str, &'static str, &'a String)> {
        let own = [
            ("--bands", "bands", self.bands.as_ref()),
            ("--mask", "mask", self.mask.as_ref()),
            ("--nodata", "nodata", self.nodata.as_ref()),
            ("--stretch", "stretch", self.stretch.as_ref()),
        ];
        others.into_iter().chain(own).filter_map(|(flag, key, value)| Some((flag, key, value?))).collect()
    }
}

/// `--from STORE`: a store of embeddings that has to be there.
pub fn from_store(store: &str) -> [Override; 2] {
    [Override::text("--from", "embeddings.store", store), Override::yaml("--from", "embeddings.create", "false")]
}

/// A flag that decides how a scene is seen, as a key of a job.
pub fn scene_option(flag: &str, key: &str, value: &str) -> Override {
    match key {
        "bands" => Override::list(flag, key, value),
        "tiling.window" | "tiling.stride" | "resolution" | "method.debias" | "method.logit_scale" => {
            Override::yaml(flag, key, value)
        }
        _ => Override::text(flag, key, value),
    }
}

#[derive(Args, Clone, Debug, Default)]
pub struct MetricsOption {
    /// Write throughput, queue lengths and memory to this file, for Prometheus' textfile collector
    #[arg(long, value_name = "FILE.prom", help_heading = "Run options")]
    pub metrics: Option<PathBuf>,
}

/// A number of bytes: `4GB`, `800 MB`, `1.5GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub bytes: u64,
}

const UNITS: [(&str, f64); 10] = [
    ("kib", 1024.0),
    ("mib", 1048576.0),
    ("gib", 1073741824.0),
    ("tib", 1099511627776.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
    ("m", 1e6),
    ("g", 1e9),
];

impl FromStr for Memory {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let wrong = || format!("{written:?} is not an amount of memory; write it as 800MB, 4GB or 1.5GiB");
        let lower = written.trim().to_lowercase();
        let (number, unit) =
            UNITS.iter().find_map(|(name, bytes)| Some((lower.strip_suffix(name)?, *bytes))).ok_or_else(wrong)?;
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let bytes = number * unit;
        if (1e6..1e16).contains(&bytes) { Ok(Self { bytes: bytes as u64 }) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_accepts_units() {
        let bytes = |text: &str| text.parse::<Memory>().map(|memory| memory.bytes);
        assert_eq!(bytes("4GB"), Ok(4_000_000_000));
        assert_eq!(bytes("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(bytes("800m"), Ok(800_000_000));
        for wrong in ["4", "GB", "-1GB", "1kb", "nanGB", "1e300GB", "4 pounds"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
