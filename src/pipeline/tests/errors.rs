//! What the writer of a faulty job reads. One snapshot holds them all, so that they can be read beside each other.

use std::fmt::Write as _;

use super::*;
use crate::pipeline::from_flags;

/// Lines that make a job complete; those of a case come after them.
const HEAD: &str = "model: m\nscene: a.tif\n";

pub(super) fn render(cases: &[(&str, &str, &[&str])]) -> String {
    let mut text = String::new();
    for (what, job, sets) in cases {
        let message = match plan(job, sets, vec![rgb("a.tif")]) {
            Ok(_) => "NOT REFUSED".to_owned(),
            Err(error) => {
                assert_eq!(error.exit_code(), 1, "{what}: the job is the user's");
                shown(&error)
            }
        };
        let _ = write!(text, "=== {what}\n{message}\n\n");
    }
    text
}

#[test]
fn errors_of_syntax() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("unknown key, near a known one", "classes: [a, b]\ntilling:\n  stride: 112\n", &[]),
        ("unknown key in a section", "classes: [a, b]\nmethod:\n  treshold: 0.3\n", &[]),
        ("unknown key, near nothing", "classes: [a, b]\nmethod:\n  zzz: 1\n", &[]),
        ("unknown key in a class", "classes:\n  - a\n  - name: b\n    color: red\n", &[]),
        ("a class without a name", "classes:\n  - a\n  - colour: red\n", &[]),
        ("a word for a number", "classes: [a, b]\ntiling:\n  stride: half\n", &[]),
        ("a quoted number", "classes: [a, b]\ntiling:\n  stride: '112'\n", &[]),
        ("a negative number", "classes: [a, b]\ntiling:\n  stride: -1\n", &[]),
        ("a number for a word", "classes: [a, 5]\n", &[]),
        ("a choice that is none", "classes: [a, b]\ntiling:\n  blend: han\n", &[]),
        ("a list for keys", "classes: [a, b]\nmethod: [1, 2]\n", &[]),
        ("a job that is a list", "- a\n- b\n", &[]),
        ("a job that is a word", "segment\n", &[]),
        ("a class that is a list", "classes: [a, [b, c]]\n", &[]),
        ("a section with nothing in it", "classes: [a, b]\nmethod:\ntilin:\n", &[]),
        ("a key twice", "classes: [a, b]\nmodel: a\nmodel: b\n", &[]),
        ("a tab", "classes:\n\t- a\n", &[]),
        ("an open bracket", "classes: [a, b\nmodel: x\n", &[]),
        ("an open brace", "classes:\n  - {name: a, prompts: [b, c}\n  - d\n", &[]),
        ("an item in another column", "classes:\n  - a\n  - b\n - c\nmodel: x\n", &[]),
        ("a key in another column", "model: x\n  classes: [a, b]\n", &[]),
        ("a tag", "classes: !!set [a, b]\n", &[]),
        ("an own tag", "model: !mine x\nclasses: [a, b]\n", &[]),
        ("two documents", "classes: [a, b]\n---\nclasses: [a, b]\n", &[]),
        ("an alias of nothing", "classes: *nothing\n", &[]),
        ("a number as a key", "classes: [a, b]\n5: x\n", &[]),
        ("an empty file", "", &[]),
        ("comments alone", "# nothing\n", &[]),
        ("characters for the terminal", "classes: [a, b]\n\"\\e[2Jmodell\": x\n", &[]),
        ("a name in braces", "classes: [a, b]\noutputs:\n  labels: {scene}_x.tif\n", &[]),
        ("a pattern that begins with a star", "classes: [a, b]\nscene: *.tif\n", &[]),
        ("a colour that is a comment", "classes:\n  - name: a\n    colour: #ff0000\n  - b\n", &[]),
        ("two of three percentiles", "classes: [a, b]\nstretch:\n  method: percentile\n  percentiles: [2]\n", &[]),
    ];
    insta::assert_snapshot!(render(cases));
}

#[test]
fn errors_of_values() {
    let job = |rest: &str| format!("{HEAD}{rest}");
    let jobs: Vec<(&str, String, &[&str])> = vec![
        ("threshold above 1", job("classes: [background, b]\nmethod:\n  threshold: 1.5\n"), &[]),
        ("threshold that is no number", job("classes: [background, b]\nmethod:\n  threshold: .nan\n"), &[]),
        ("own threshold", job("classes:\n  - background\n  - name: b\n    threshold: -0.1\n"), &[]),
        ("λ with its sign", job("classes: [a, b]\nmethod: {debias: -0.3}\n"), &[]),
        ("stride above the window", job("classes: [a, b]\ntiling:\n  stride: 300\n"), &[]),
        ("window beside the patch", job("classes: [a, b]\ntiling:\n  window: 230\n"), &[]),
        ("no stride, no batch", job("classes: [a, b]\ntiling: {stride: 0, batch: 0}\n"), &[]),
        ("no classes", HEAD.to_owned(), &[]),
        ("empty class", job("classes:\n  - building\n  - ''\n"), &[]),
        ("empty prompt", job("classes:\n  - building,,house\n  - b\n"), &[]),
        ("quoted prompt", job("classes:\n  - 'building, \"roof\"'\n  - b\n"), &[]),
        ("empty prompt in a list", job("classes:\n  - {name: a, prompts: [x, ' ']}\n  - b\n"), &[]),
        ("a class twice", job("classes: [water, road, Water]\n"), &[]),
        ("background that is no class", job("classes: [building, road]\nbackground: bulding\n"), &[]),
        ("threshold without background", job("classes: [building, road]\nmethod:\n  threshold: 0.4\n"), &[]),
        ("no colour", job("classes:\n  - name: a\n    colour: '#12'\n  - b\n"), &[]),
        ("a template that is none", job("classes: [a, b]\nmethod: {templates: imagnet80}\n"), &[]),
        ("a device that is none", job("classes: [a, b]\ndevice: gpu\n"), &[]),
        ("a stretch that is none", job("classes: [a, b]\nstretch: percentil\n"), &[]),
        ("a number of another stretch", job("classes: [a, b]\nstretch: {method: min-max, k: 2}\n"), &[]),
        ("percentiles that fall", job("classes: [a, b]\nstretch: percentile:98,2\n"), &[]),
        ("a band that is not there", job("classes: [a, b]\nbands: [1, 2, 4]\n"), &[]),
        ("a band by a wrong name", job("classes: [a, b]\nbands: [nir, red, green]\n"), &[]),
        ("two bands", job("classes: [a, b]\nbands: [1, 2]\n"), &[]),
        ("labels left out", job("classes: [a, b]\noutputs: {labels: false}\n"), &[]),
        ("a format that is none", job("classes: [a, b]\noutputs:\n  polygons: out.xyz\n"), &[]),
        ("two outputs, one file", job("classes: [a, b]\noutputs: {labels: o.tif, scores: ./o.tif}\n"), &[]),
        ("an output over the scene", job("classes: [a, b]\noutputs: {folder: '.', labels: a.tif}\n"), &[]),
        ("three errors at once", job("classes: [a, a]\nbackground: c\nmethod: {debias: 7}\n"), &[]),
    ];
    let cases: Vec<(&str, &str, &[&str])> = jobs.iter().map(|(what, job, sets)| (*what, job.as_str(), *sets)).collect();
    insta::assert_snapshot!(render(&cases));
}

#[test]
fn errors_of_set() {
    let job = "model: m\nscene: a.tif\nclasses: ['a,x', b]\n";
    let cases: &[(&str, &str, &[&str])] = &[
        ("a value out of range", job, &["tiling.stride=300"]),
        ("a key that is none", job, &["tiling.strid=3"]),
        ("a section that is none", job, &["tilling.stride=3"]),
        ("no value", job, &["tiling.stride"]),
        ("no key", job, &["=3"]),
        ("a broken path", job, &["classes[1=x"]),
        ("an item that is not there", job, &["classes[7]=x"]),
        ("a key of a list", job, &["classes.a=x"]),
        ("into the short form", job, &["classes[0].threshold=0.3"]),
        ("not YAML", job, &["classes=[a, b"]),
        ("a class that is empty", job, &["classes=[a, 'b,']"]),
        ("a word for a number", job, &["method.threshold=high"]),
    ];
    insta::assert_snapshot!(render(cases));
}

#[test]
fn errors_of_flags() {
    let cases = [
        ("an empty class", "background; ; road"),
        ("a semicolon too much", "background; road;"),
        ("quotes", "background; \"building\",roof"),
        ("nothing", ""),
        ("a class twice", "road; building; road"),
        ("a class file that is not there", "@no/such/file.txt"),
    ];
    let mut text = String::new();
    for (what, classes) in cases {
        let spec = from_flags(&[Override::classes("--classes", classes)]);
        let error = spec.and_then(|spec| resolve_scenes(&spec, &FACTS, vec![rgb("a.tif")])).unwrap_err();
        let _ = write!(text, "=== {what}\n{}\n\n", shown(&error));
    }
    let bands = [Override::classes("--classes", "a; b"), Override::list("--bands", "bands", "1, zwei,-3")];
    let bands = resolve_scenes(&from_flags(&bands).unwrap(), &FACTS, vec![rgb("a.tif")]);
    let _ = write!(text, "=== bands\n{}\n\n", shown(&bands.unwrap_err()));
    let empty = from_flags(&[Override::classes("--classes", "a; b")]).unwrap();
    let _ = write!(text, "=== neither model nor scene\n{}\n\n", shown(&inputs(&empty).unwrap_err()));
    insta::assert_snapshot!(text);
}

#[test]
fn errors_of_class_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("classes.txt");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        from_flags(&[Override::classes("--classes", &format!("@{}", path.display()))])
    };
    let good = read("\u{feff}background\r\nbuilding, roof\r\n\r\n").unwrap();
    assert_eq!(good.classes.len(), 2);

    let text = shown(&read("background\n\nroad\n").unwrap_err()).replace(&path.display().to_string(), "classes.txt");
    insta::assert_snapshot!(text, @r"
    error: a class is empty
      --> classes.txt:2:1
      |
    2 | 
      | ^

    hint: Write at least one prompt: `building`, or several: `building,roof,house`.
    ");
    assert!(read(" \n").unwrap_err().to_string().ends_with("is empty"));
    assert!(read("a; b\nc\n").unwrap_err().to_string().starts_with("a semicolon"));
}

#[test]
fn errors_of_scenes() {
    use ColourRole::{Alpha, Grey, Palette, Undefined};
    let job = "model: m\nscene: a.tif\nclasses: [a, b]\n";
    let mut text = String::new();
    let mut show = |what: &str, job: &str, scenes: Vec<SceneInfo>| {
        let _ = write!(text, "=== {what}\n{}\n\n", shown(&plan(job, &[], scenes).unwrap_err()));
    };
    show("one band", job, vec![scene("a.tif", &[(Grey, "Byte")])]);
    show(
        "two bands and alpha",
        job,
        vec![scene("a.tif", &[(Undefined, "Byte"), (Undefined, "Byte"), (Alpha, "Byte")])],
    );
    let grey = format!("{job}bands: [1, 1, 1]\n");
    show("a palette", &grey, vec![scene("a.tif", &[(Palette, "Byte")])]);
    show("complex numbers", &grey, vec![scene("a.tif", &[(Grey, "CFloat32")])]);
    let two = "model: m\nscene: [x/a.tif, y/a.tif]\nclasses: [a, b]\n";
    show("a scene twice", two, vec![rgb("x/a.tif"), rgb("x/../x/a.tif")]);
    let crossed = format!("{two}outputs: {{labels: '{{scene}}.tif', scores: '{{scene}}_x.tif'}}\n");
    show("the output of one scene is that of another", &crossed, vec![rgb("x/a.tif"), rgb("y/a_x.tif")]);
    let fixed = "model: m\nscene: [a.tif, b.tif]\nclasses: [a, b]\noutputs:\n  labels: labels.tif\n";
    show("two scenes, one output", fixed, vec![rgb("a.tif"), rgb("b.tif")]);
    insta::assert_snapshot!(text);
}
