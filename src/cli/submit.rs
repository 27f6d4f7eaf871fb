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

/// What both engines are told.
#[derive(Args, Debug)]
pub struct ArrayArgs {
    /// Tasks that share the job
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub tasks: u32,
    /// GPUs of each task
    #[arg(long, value_name = "N")]
    pub gpus: Option<u32>,
    /// Cores of each task
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// Memory of each task, in the engine's own form, such as 16G (Slurm) or 16Gi (Kubernetes)
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
}

#[derive(Args, Debug)]
pub struct SlurmArgs {
    #[command(flatten)]
    pub job: JobArgs,
    #[command(flatten)]
    pub array: ArrayArgs,
    /// Time limit of each task, such as 4:00:00
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// Print the scripts instead of submitting them
    #[arg(long)]
    pub dry_run: bool,
    /// More arguments for sbatch
    #[arg(last = true, value_name = "SBATCH ARGUMENTS")]
    pub sbatch: Vec<String>,
}

#[derive(Args, Debug)]
pub struct KubernetesArgs {
    #[command(flatten)]
    pub job: JobArgs,
    #[command(flatten)]
    pub array: ArrayArgs,
    /// The container image that holds segearth
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    /// The persistent volume claim on which scenes, job and outputs lie; all tasks must be able to mount it
    #[arg(long, value_name = "NAME")]
    pub claim: String,
    /// Where the claim is mounted
    #[arg(long, value_name = "PATH", default_value = "/data")]
    pub mount: String,
}
