//! Job files that were written to do harm: refused with a sentence, in little time and memory.

use super::*;
use proptest::prelude::*;

fn refused(job: String) -> String {
    let started = segearth_testing::processor_time();
    let error = plan(&job, &[], vec![rgb("a.tif")]).unwrap_err();
    let took = segearth_testing::processor_time() - started;
    assert!(took.as_secs() < 10, "took {took:?}");
    let message = error.to_string();
    assert!(message.len() < 10_000, "a message of {} bytes", message.len());
    message
}

#[test]
fn alias_bomb_is_refused() {
    let mut job = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        job += &format!("a{level}: &a{level} [{below}]\n");
    }
    assert!(refused(job).starts_with("too many values"));
}

#[test]
fn recursive_alias_is_refused() {
    assert!(refused("classes: &a [x, *a]\n".into()).contains("alias"));
}

#[test]
fn depth_is_limited() {
    assert!(refused(format!("classes: {}", "[".repeat(100))).starts_with("nested too deeply"));
    // Here the parser gives up before we do.
    assert!(refused(format!("classes: {}", "[".repeat(100_000))).starts_with("not valid YAML"));
    assert!(refused("- ".repeat(50_000)).starts_with("nested too deeply"));
}

#[test]
fn size_is_limited() {
    assert!(refused(format!("model: {}", "x".repeat(2 << 20))).contains("bytes; at most 1048576 are allowed"));
    let path = tempfile::NamedTempFile::new().unwrap();
    path.as_file().set_len(1 << 40).unwrap();
    let error = crate::pipeline::load(path.path(), &[]).unwrap_err();
    assert!(error.to_string().contains("larger than 1024 KiB"), "{error}");
}

#[test]
fn messages_cut_long_text() {
    let message = refused(format!("classes: [a, b]\n{}: 1\n", "k".repeat(100_000)));
    assert!(message.contains('…'));
    let message = refused(format!("classes: [a, b, {}'']\n", "c, ".repeat(50_000)));
    assert!(message.starts_with("the job has 50003 classes;"), "{message}");
}

#[test]
fn number_of_classes_and_prompts_is_limited() {
    let classes = (0..5000).map(|index| format!("- c{index}\n")).collect::<String>();
    assert!(refused(format!("classes:\n{classes}")).starts_with("the job has 5000 classes;"));
    let prompts = vec!["x"; 9000].join(",");
    assert!(refused(format!("classes: ['{prompts}', b]")).starts_with("the classes have 9001 prompts"));
    assert!(refused(format!("classes: [{}, b]", "x".repeat(1_000_000))).contains("prompt has 1000000 characters"));
}

#[test]
fn binary_job_file_is_refused() {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), b"model: \xff\xfe").unwrap();
    let error = crate::pipeline::load(path.path(), &[]).unwrap_err();
    assert!(error.to_string().contains("is not UTF-8 text (byte 7)"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    assert!(crate::pipeline::load(folder.path(), &[]).unwrap_err().to_string().contains("is a folder"));
}

#[test]
fn key_path_length_is_limited() {
    let deep = format!("{}=1", vec!["a"; 50_000].join("."));
    assert!(
        plan("classes: [a, b]\n", &[&deep], vec![rgb("a.tif")])
            .unwrap_err()
            .to_string()
            .contains("is not a valid key path")
    );
}

#[test]
fn many_errors_are_counted_and_the_first_shown() {
    let classes = (0..30).map(|index| format!("- c{index},\n")).collect::<String>();
    let message = refused(format!("classes:\n{classes}"));
    assert!(message.starts_with("30 errors in the job file"), "{message}");
    assert!(message.ends_with("… and 22 more"), "{message}");
}

#[test]
fn excerpt_cuts_long_line_around_caret() {
    let job = format!("model: m\nscene: a.tif\nclasses: [a, {}b]\n", "c, ".repeat(200));
    let error = plan(&job, &[], vec![rgb("a.tif")]).unwrap_err().to_string();
    let second = error.split("\n\n").nth(3).unwrap();
    assert!(second.lines().all(|line| line.chars().count() < 120), "{second}");
    let [.., line, carets] = second.lines().collect::<Vec<_>>()[..] else { panic!("{second}") };
    let at = carets.chars().position(|c| c == '^').unwrap();
    assert_eq!(line.chars().nth(at), Some('c'), "{second}");
}

proptest! {
    /// Whatever is done to a job, it is read or refused; the message shows a place that exists.
    #[test]
    fn mutated_jobs_never_panic(
        cut in 0usize..400, at in 0usize..400, bytes in "[\\[\\]{}:,&*#!|>'\"%@`\\-? \n\ta-z0-9é\u{1F600}]{0,8}",
    ) {
        let job = include_str!("../../../pipelines/landcover.yaml");
        let mut chars: Vec<char> = job.chars().skip(cut).collect();
        let at = at.min(chars.len());
        chars.splice(at..(at + bytes.len()).min(chars.len()), bytes.chars());
        let text: String = chars.into_iter().collect();
        match plan(&text, &[], vec![rgb("a.tif")]) {
            Ok(plan) => prop_assert!(!plan.classes.is_empty()),
            Err(error) => {
                prop_assert_eq!(error.exit_code(), 1);
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn any_set_is_applied_or_refused(set in "[a-z\\[\\]0-9.=,:{}]{0,30}") {
        if let Err(error) = plan("model: m\nscene: a.tif\nclasses: [a, b]\n", &[&set], vec![rgb("a.tif")]) {
            prop_assert_eq!(error.exit_code(), 1, "{}", error);
        }
    }

    #[test]
    fn any_class_text_is_read_or_refused(classes in "\\PC{0,60}") {
        if let Err(error) = crate::pipeline::from_flags(&[Override::classes("--classes", &classes)]) {
            prop_assert_eq!(error.exit_code(), 1, "{}", error);
        }
    }
}
