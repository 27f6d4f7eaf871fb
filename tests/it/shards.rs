//! A job shared by several processes: the results are those of one.

use std::fs;
use std::process::Command;

use crate::resume::start;
use crate::scenes::{noise, place, write_bands};
use crate::workdir::Workdir;

const JOB: &str = "scene: scene.tif\nmodel: fake:identity\nclasses: [red, green, blue]\nmethod: {logit_scale: 0.05}\n\
                   tiling: {stride: 56}\noutputs: {folder: out, scores: true, polygons: a.fgb}\n";
const OUTPUTS: [&str; 3] = ["out/scene_labels.tif", "out/scene_scores.tif", "out/a.fgb"];

/// Noise with a wedge of nodata: some rows cost much more than others.
fn scene(work: &Workdir) {
    let (width, height) = (700, 1300);
    let noise = noise(width * height);
    let bands: Vec<Vec<u8>> = (0..3)
        .map(|band| {
            let value = |at: usize| noise[(at * 7 + band * 13) % noise.len()].max(1);
            (0..width * height).map(|at| if at / width < 2 * (at % width) { 0 } else { value(at) }).collect()
        })
        .collect();
    write_bands(&work.path("scene.tif"), (width, height), &bands, |dataset| {
        place(dataset);
        for band in 1..=3 {
            dataset.rasterband(band).expect("a band").set_no_data_value(Some(0.0)).expect("nodata");
        }
    });
    work.write("job.yaml", JOB);
}

fn outputs(work: &Workdir) -> Vec<Vec<u8>> {
    OUTPUTS.iter().map(|name| fs::read(work.path(name)).expect(name)).collect()
}

#[test]
fn shards_in_any_order_and_repeated_make_the_results_of_one_run() {
    let work = Workdir::new();
    scene(&work);
    work.ok(["run", "job.yaml"]);
    let want = outputs(&work);
    for count in [1, 3, 8] {
        fs::remove_dir_all(work.path("out")).expect("outputs");
        let mut shards: Vec<usize> = (1..=count).rev().collect();
        shards.push(count.div_ceil(2)); // A task that is started twice harms nothing.
        for index in shards {
            let ran = work.ok(["run", "job.yaml", "--shard", &format!("{index}/{count}")]);
            if count > 1 {
                assert!(ran.stderr.contains(&format!("Shard {index}/{count} of ")), "{}", ran.stderr);
            }
            let none = OUTPUTS.iter().all(|name| !work.path(name).exists());
            assert_eq!(none, count > 1, "a part of a scene makes no results, the whole does");
        }
        work.ok(["merge", "job.yaml"]);
        assert!(outputs(&work) == want, "{count} shards");
        assert!(!work.path("out/scene_labels.tif.unfinished").exists());
        // All is there: nothing is done again.
        let before = work.files();
        for words in ["merge job.yaml", "run job.yaml", "run job.yaml --shard 1/5"] {
            assert!(work.ok(words.split(' ')).stderr.contains("is finished, by an earlier run"), "{words}");
        }
        assert_eq!(work.files(), before);
    }
}

/// The line of a summary that counts windows, without its times.
fn windows_line(said: &str) -> String {
    let line = said.lines().find(|line| line.contains(" windows")).expect("a line about windows");
    line.split(" in ").next().unwrap_or_default().to_owned()
}

/// Whoever computes the windows, a summary counts all of them, each once.
#[test]
fn summaries_count_what_was_done_by_all() {
    let work = Workdir::new();
    scene(&work);
    // 56 apart, windows of 224 begin at 0, 56, …, 476 across and 0, 56, …, 1076 down: 10 × 21. Those are empty that lie
    // wholly under row / 2 < column, that is whose lowest row is less than twice their first column.
    let starts = |side: usize| (0..).map(move |i: usize| (i * 56).min(side - 224)).take((side - 224).div_ceil(56) + 1);
    let empty = starts(700).flat_map(|col| starts(1300).map(move |row| (col, row)));
    let empty = empty.filter(|(col, row)| row + 223 < 2 * col).count();
    let all = starts(700).count() * starts(1300).count();
    let line = format!("{} windows, {empty} without data skipped", all - empty);
    let fresh = work.ok(["run", "job.yaml"]).stdout;
    assert_eq!(windows_line(&fresh), line);

    fs::remove_dir_all(work.path("out")).expect("outputs");
    let told = work.ok("run job.yaml --workers 3".split(' '));
    assert_eq!(windows_line(&told.stdout), format!("{line} by 3 workers"));

    fs::remove_dir_all(work.path("out")).expect("outputs");
    for shard in ["1/2", "2/2"] {
        work.ok(["run", "job.yaml", "--shard", shard]);
    }
    let merged = work.ok("merge job.yaml --metrics m.prom".split(' ')).stdout;
    assert_eq!(windows_line(&merged), format!("{line}, computed by 2 shards; merged"));
    let metrics = fs::read_to_string(work.path("m.prom")).expect("metrics");
    for (outcome, count) in [("computed", 0), ("earlier", all - empty), ("empty", empty)] {
        assert!(metrics.contains(&format!("outcome=\"{outcome}\"}} {count}\n")), "{metrics}");
    }
    // What was finished before is told as that; what a worker has just finished, by the worker alone.
    let again = work.ok("run job.yaml --workers 2".split(' '));
    assert_eq!(again.stderr.matches("is finished, by an earlier run").count(), 1, "{}", again.stderr);
    let small = noise(3 * 120 * 90);
    for name in ["a.tif", "b.tif"] {
        let bands: Vec<Vec<u8>> = small.chunks(120 * 90).map(<[u8]>::to_vec).collect();
        write_bands(&work.path(name), (120, 90), &bands, place);
    }
    work.write("small.yaml", JOB.replace("scene: scene.tif", "scene: [a.tif, b.tif]").replace(", polygons: a.fgb", ""));
    let told = work.ok("run small.yaml --workers 2".split(' '));
    assert!(!told.stderr.contains("by an earlier run"), "{}", told.stderr);
    assert_eq!(told.stdout.matches("\n1 windows in ").count(), 2, "{}", told.stdout);
}

/// The page of a shared job is that of an undisturbed one.
#[test]
fn a_page_does_not_depend_on_who_computed_the_windows() {
    let work = Workdir::new();
    scene(&work);
    work.write("job.yaml", JOB.replace("polygons: a.fgb", "report: true"));
    work.ok(["run", "job.yaml"]);
    let page = || fs::read(work.path("out/scene_report.html")).expect("a page");
    let want = page();
    fs::remove_dir_all(work.path("out")).expect("outputs");
    work.ok("run job.yaml --workers 3".split(' '));
    assert!(page() == want);
}

#[test]
fn shards_that_begin_in_the_same_instant_do_not_disturb_each_other() {
    let work = Workdir::new();
    scene(&work);
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for index in 1..=8 {
                let work = &work;
                scope.spawn(move || work.ok(["run", "job.yaml", "--shard", &format!("{index}/8")]));
            }
        });
        work.ok(["merge", "job.yaml"]);
        fs::remove_dir_all(work.path("out")).expect("outputs");
    }
}

/// Whole scenes go to one process, which finishes them; the large one is cut.
#[test]
fn many_scenes_are_dealt_by_cost() {
    let work = Workdir::new();
    scene(&work);
    let small = noise(3 * 120 * 90);
    for name in ["a.tif", "b.tif", "c.tif"] {
        let bands: Vec<Vec<u8>> = small.chunks(120 * 90).map(<[u8]>::to_vec).collect();
        write_bands(&work.path(name), (120, 90), &bands, place);
    }
    work.write("job.yaml", JOB.replace("scene: scene.tif", "scene: '*.tif'").replace(", polygons: a.fgb", ""));
    let labels = ["a", "b", "c", "scene"].map(|name| format!("out/{name}_labels.tif"));
    let read = || labels.clone().map(|name| fs::read(work.path(&name)).expect("labels"));
    work.ok(["run", "job.yaml"]);
    let want = read();
    fs::remove_dir_all(work.path("out")).expect("outputs");
    let there = || labels.iter().map(|name| work.path(name).exists()).collect::<Vec<_>>();
    work.ok(["run", "job.yaml", "--shard", "1/3"]);
    assert_eq!(there(), [true, true, true, false], "small scenes are whole");
    let ran = work.run(["merge", "job.yaml"]);
    assert!(ran.stderr.contains("  shard 2/3: 0 of ") && ran.stderr.contains("  shard 3/3: 0 of "), "{}", ran.stderr);
    assert!(!ran.stderr.contains("shard 1/3:"), "{}", ran.stderr);
    for shard in ["2/3", "3/3"] {
        work.ok(["run", "job.yaml", "--shard", shard]);
    }
    work.ok(["merge", "job.yaml"]);
    assert!(read() == want);
}

#[test]
fn workers_share_a_job_without_an_engine() {
    let work = Workdir::new();
    scene(&work);
    work.ok(["run", "job.yaml"]);
    let want = outputs(&work);
    fs::remove_dir_all(work.path("out")).expect("outputs");
    work.ok(["run", "job.yaml", "--workers", "3"]);
    assert!(outputs(&work) == want);
    // What cannot be done is said once, by nobody's worker.
    let ran = work.run(["run", "job.yaml", "--workers", "3", "--set", "scene=none.tif"]);
    assert_eq!((ran.code, ran.stderr.matches("error:").count()), (1, 1), "{}", ran.stderr);
}

/// A signal to the one that started them stops all of them, and the same command resumes.
#[test]
fn workers_stop_when_they_are_told_to() {
    let work = Workdir::new();
    scene(&work);
    work.ok(["run", "job.yaml"]);
    let want = outputs(&work);
    fs::remove_dir_all(work.path("out")).expect("outputs");
    let mut child = start(&work, "run job.yaml --workers 2");
    let begun = || fs::read_dir(work.path("out/scene_labels.tif.unfinished")).is_ok_and(|files| files.count() > 1);
    while !begun() {
        assert!(child.try_wait().expect("a child").is_none(), "it has ended before it was stopped");
    }
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(told.success());
    let status = child.wait().expect("a status");
    // Where all was done before the signal came, there was nothing to stop.
    assert!([Some(143), Some(0)].contains(&status.code()), "{status}");
    work.ok(["run", "job.yaml", "--workers", "2"]);
    assert!(outputs(&work) == want);
}

#[test]
fn a_merge_says_which_shards_are_missing_and_a_single_run_may_do_them() {
    let work = Workdir::new();
    scene(&work);
    assert!(work.run(["merge", "job.yaml"]).stderr.contains("nothing has been computed of "), "before any shard");
    work.ok(["run", "job.yaml", "--shard", "2/3"]);
    let ran = work.run(["merge", "job.yaml"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("  shard 1/3: 0 of ") && ran.stderr.contains("  shard 3/3: 0 of "), "{}", ran.stderr);
    assert!(!ran.stderr.contains("shard 2/3"), "{}", ran.stderr);
    let ran = work.run(["run", "job.yaml", "--shard", "1/4"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("divided among 3 shards, this process is one of 4"), "{}", ran.stderr);
    let ran = work.ok(["run", "job.yaml"]);
    assert!(ran.stderr.contains("resumes an earlier run"), "{}", ran.stderr);
    let found = outputs(&work);
    work.ok(["run", "job.yaml", "--overwrite"]);
    assert!(outputs(&work) == found);
}

#[test]
fn an_engine_tells_its_tasks_who_they_are() {
    let work = Workdir::new();
    scene(&work);
    for task in ["4", "6"] {
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", task),
            ("SLURM_ARRAY_TASK_MIN", "4"),
            ("SLURM_ARRAY_TASK_MAX", "6"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
        ];
        let ran = work.run_with(["run", "job.yaml", "--shard", "auto"], &slurm);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    work.ok(["merge", "job.yaml"]);
    let ran = work.run(["run", "job.yaml", "--shard", "auto"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no scheduler sets the index of this task"), "{}", ran.stderr);
    let ran = work
        .ok("submit slurm job.yaml --tasks 8 --gpus 1 --memory 16G --time 4:00:00 --dry-run -- --partition=gpu"
            .split(' '));
    let binary = env!("CARGO_BIN_EXE_segearth");
    let folder = work.path("job.yaml").parent().expect("a folder").display().to_string();
    insta::assert_snapshot!(ran.stdout.replace(binary, "segearth").replace(&folder, "WORK"), @r"
    sbatch --job-name=job --array=1-8 --requeue --gpus-per-task=1 --ntasks=1 --mem=16G --time=4:00:00 --partition=gpu --wrap 'cd WORK && segearth run WORK/job.yaml --shard auto'
    sbatch --job-name=job-merge --dependency=afterany:ARRAY --partition=gpu --wrap 'cd WORK && segearth merge WORK/job.yaml'
    ");
}
