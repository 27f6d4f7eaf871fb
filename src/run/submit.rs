//! `segearth submit`: the scripts and manifests of a sharded job, and their submission.

#![expect(clippy::indexing_slicing, reason = "JSON makes a key that is not there")]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{job, process};
use crate::cli::{ArrayArgs, JobArgs, KubernetesArgs, SlurmArgs, SubmitCommand};
use crate::error::{Context, Error, Result};
use crate::pipeline;
use crate::report::Reporter;

/// Submits a job, or prints what would be submitted. The job is validated first: here an error costs nothing yet.
pub fn run(command: &SubmitCommand, trust: bool, reporter: &Reporter) -> Result<()> {
    match command {
        SubmitCommand::Slurm(args) => slurm(args, trust, reporter),
        SubmitCommand::Kubernetes(args) => {
            reporter.print(&manifests(args, trust)?);
            Ok(())
        }
    }
}

fn slurm(args: &SlurmArgs, trust: bool, reporter: &Reporter) -> Result<()> {
    let spec = pipeline::load(&args.job.job, &args.job.overrides())?;
    let finished = job::is_finished(&spec, trust, reporter)?;
    let program = process::program()?;
    let words = |first: &[&str]| command_line(&program.to_string_lossy(), first, &args.job, trust);
    let array = format!("{} {}", words(&["run"])?, args.array.task_flags().join(" "));
    let merge = words(&["merge"])?;
    let name = args.job.job.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let options = sbatch_options(&args.array, args.time.as_deref());
    let array_arguments = [
        vec![format!("--job-name={name}"), format!("--array=1-{}", args.array.tasks), "--requeue".to_owned()],
        options,
        args.sbatch.clone(),
    ]
    .concat();
    // The merge reads and writes; it needs neither GPU nor many cores. It also runs after a failed task, and then says what is
    // missing: after "afterok" it would wait for ever.
    let merge_arguments = |after: &str| {
        let own = vec![format!("--job-name={name}-merge"), format!("--dependency=afterany:{after}")];
        let given =
            args.sbatch.iter().filter(|argument| !argument.starts_with("--gpus") && !argument.starts_with("--gres"));
        [own, given.cloned().collect()].concat()
    };
    if args.dry_run {
        let shown = |arguments: &[String], command: &str| {
            format!(
                "sbatch {} --wrap {}\n",
                arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
                quoted(command)
            )
        };
        reporter.print(&(shown(&array_arguments, &array) + &shown(&merge_arguments("ARRAY"), &merge)));
        return Ok(());
    }
    if finished {
        reporter.note("The job is finished; nothing was submitted.");
        return Ok(());
    }
    let first = sbatch(&array_arguments, &array)?;
    let second = sbatch(&merge_arguments(&first), &merge)?;
    reporter.print(&format!("array {first} ({} tasks), merge {second}\n", args.array.tasks));
    Ok(())
}

fn sbatch_options(array: &ArrayArgs, time: Option<&str>) -> Vec<String> {
    let mut options = Vec::new();
    options.extend(array.cpus.map(|cpus| format!("--cpus-per-task={cpus}")));
    options.extend(array.gpus.map(|gpus| format!("--gpus-per-task={gpus}")));
    options.extend(array.gpus.map(|_| "--ntasks=1".to_owned()));
    options.extend(array.memory.as_ref().map(|memory| format!("--mem={memory}")));
    options.extend(time.map(|time| format!("--time={time}")));
    options
}

/// Submits a command. Returns its job number in Slurm.
fn sbatch(arguments: &[String], command: &str) -> Result<String> {
    let output = Command::new("sbatch").arg("--parsable").args(arguments).arg("--wrap").arg(command).output().map_err(
        |cause| {
            Error::input("cannot start sbatch")
                .with_hint("Submit from a machine that has Slurm, or print the commands with --dry-run.")
                .with_source(cause)
        },
    )?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let number = String::from_utf8_lossy(&output.stdout);
    // With several clusters the number has the cluster's name behind it.
    let number = number.trim().split(';').next().unwrap_or_default().to_owned();
    if !output.status.success() || number.is_empty() {
        return Err(Error::input("Slurm refused the job").with_source(said));
    }
    Ok(number)
}

/// The command line of a task, which means the same from any folder.
fn command_line(program: &str, first: &[&str], job: &JobArgs, trust: bool) -> Result<String> {
    let folder = std::env::current_dir().input(|| "cannot find the working folder".into())?;
    let words = [vec![program.to_owned()], arguments(first, &folder.join(&job.job), job, trust)].concat();
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    Ok(format!("cd {} && {}", quoted(&folder.to_string_lossy()), words.join(" ")))
}

/// The arguments of the program: a command, the job file, and the user's overrides.
fn arguments(command: &[&str], file: &Path, job: &JobArgs, trust: bool) -> Vec<String> {
    let mut words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    words.push(file.display().to_string());
    if !job.input.is_empty() {
        words.push("--input".to_owned());
        words.extend(job.input.iter().cloned());
    }
    for (flag, value) in [("--output", &job.output), ("--device", &job.device)] {
        words.extend(value.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
    }
    words.extend(job.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
    words.extend(trust.then(|| "--trust".to_owned()));
    words
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn manifests(args: &KubernetesArgs, trust: bool) -> Result<String> {
    // Scenes and job lie on the claim, which need not be mounted here: the tasks check the job themselves.
    let name: String = args.job.job.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = format!("segearth-{}", name.trim_matches('-'));
    let tasks = args.array.tasks;
    let task = |first: &[&str], last: &[&str]| -> Value {
        let mut words = arguments(first, &args.job.job, &args.job, trust);
        words.extend(last.iter().map(|word| (*word).to_owned()));
        json!(words)
    };
    let resources = |gpus: Option<u32>| {
        let mut limits = serde_json::Map::new();
        limits.extend(args.array.cpus.map(|cpus| ("cpu".to_owned(), json!(cpus.to_string()))));
        limits.extend(args.array.memory.as_ref().map(|memory| ("memory".to_owned(), json!(memory))));
        limits.extend(gpus.map(|gpus| ("nvidia.com/gpu".to_owned(), json!(gpus))));
        json!({ "limits": limits })
    };
    // Failed windows that are allowed are an exit code of their own, for which Kubernetes would start the task again.
    let command = match args.array.allow_failed_windows {
        true => json!(["sh", "-c", "segearth \"$@\" || test $? -eq 3", "segearth"]),
        false => json!(["segearth"]),
    };
    let job = |name: &str, mut spec: Value, words: Value, gpus: Option<u32>| {
        spec["template"] = json!({ "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "segearth",
                "image": args.image,
                "command": command,
                "args": words,
                "workingDir": args.mount,
                "env": [{ "name": "SEGEARTH_SHARDS", "value": tasks.to_string() }],
                "resources": resources(gpus),
                "volumeMounts": [{ "name": "data", "mountPath": args.mount }],
            }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": args.claim } }],
        } });
        let job = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name }, "spec": spec });
        serde_yaml::to_string(&job).internal(|| "a manifest cannot be written as YAML".into())
    };
    // A task that is evicted resumes where it stopped: it is worth starting again.
    let array =
        json!({ "completions": tasks, "parallelism": tasks, "completionMode": "Indexed", "backoffLimit": 4 * tasks });
    let shards = job(&name, array, task(&["run"], &args.array.task_flags()), args.array.gpus)?;
    let merge = job(&format!("{name}-merge"), json!({ "backoffLimit": 2 }), task(&["merge"], &[]), None)?;
    Ok(format!(
        "# The shards; apply this first, then wait:\n#   kubectl wait --for=condition=complete --timeout=-1s job/{name}\n\
         {shards}---\n# The merge; apply it when the shards are complete.\n{merge}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn submit(line: &str) -> SubmitCommand {
        match crate::cli::Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            crate::cli::Command::Submit(command) => command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn allowed_failed_windows_reach_the_tasks() {
        let line = "segearth submit k8s /data/city.yaml --tasks 2 --image i --claim c --allow-failed-windows";
        let SubmitCommand::Kubernetes(args) = submit(line) else { panic!("not k8s") };
        let text = manifests(&args, false).unwrap();
        assert_eq!(text.matches("--allow-failed-windows").count(), 1, "{text}");
        assert!(text.contains("test $? -eq 3"), "{text}");
        assert_eq!(args.array.task_flags(), ["--shard", "auto", "--allow-failed-windows"]);
    }

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quoted("a/b-1.tif"), "a/b-1.tif");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn manifests_name_the_array_and_the_merge() {
        let line = "segearth submit k8s jobs/City_1.yaml --tasks 16 --image registry/segearth:1 --claim maps --gpus 1 \
                    --memory 16Gi --set tiling.stride=56 --output out";
        let SubmitCommand::Kubernetes(args) = submit(line) else { panic!("k8s") };
        insta::assert_snapshot!(manifests(&args, false).unwrap());
    }
}
