//! The arguments of `segearth submit`.

use clap::{Args, Subcommand};

use super::JobArgs;

#[derive(Debug, Subcommand)]
pub enum SubmitCommand {
    /// Submit a job to Slurm: an array of shards, and a merge that waits for them
    #[command(after_help = "Examples:\n  \
        segearth submit slurm city.yaml --tasks 16 --cpus 8 --memory 16G --time 4:00:00\n  \
        segearth submit slurm city.yaml --tasks 4 --gpus 1 -- --partition=gpu --account=maps")]
    Slurm(SlurmArgs),
    /// Print the manifests of a job for Kubernetes: an indexed Job of shards, and the merge
    #[command(
        name = "k8s",
        after_help = "Example:\n  \
        segearth submit k8s /data/city.yaml --tasks 16 --image registry/segearth --claim maps --mount /data > jobs.yaml"
    )]
    Kubernetes(KubernetesArgs),
}

/// What both schedulers get.
#[derive(Args, Debug)]
pub struct ArrayArgs {
    /// Divide the job into this many shards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub tasks: u32,
    /// Request this many GPUs for each task
    #[arg(long, value_name = "N")]
    pub gpus: Option<u32>,
    /// Request this many cores for each task
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// Request this much memory for each task, in the scheduler's form, such as 16G (Slurm) or 16Gi (Kubernetes)
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Let tasks continue where windows cannot be computed, as `segearth run --allow-failed-windows` does
    #[arg(long)]
    pub allow_failed_windows: bool,
}

impl ArrayArgs {
    /// What a task's command ends with.
    pub fn task_flags(&self) -> Vec<&'static str> {
        let failed = self.allow_failed_windows.then_some("--allow-failed-windows");
        ["--shard", "auto"].into_iter().chain(failed).collect()
    }
}

#[derive(Args, Debug)]
pub struct SlurmArgs {
    #[command(flatten)]
    pub job: JobArgs,
    #[command(flatten)]
    pub array: ArrayArgs,
    /// Limit each task to this time, such as 4:00:00
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// Print the scripts instead of submitting them
    #[arg(long)]
    pub dry_run: bool,
    /// Pass these arguments to sbatch
    #[arg(last = true, value_name = "SBATCH ARGUMENTS")]
    pub sbatch: Vec<String>,
}

#[derive(Args, Debug)]
pub struct KubernetesArgs {
    #[command(flatten)]
    pub job: JobArgs,
    #[command(flatten)]
    pub array: ArrayArgs,
    /// Use this container image, which contains segearth
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    /// Mount this persistent volume claim with scenes, job and outputs; all tasks must be able to mount it
    #[arg(long, value_name = "NAME")]
    pub claim: String,
    /// Mount the claim here
    #[arg(long, value_name = "PATH", default_value = "/data")]
    pub mount: String,
}
