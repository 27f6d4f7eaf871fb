//! The launcher beside a program that prints what it was given.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

#[test]
fn program_gets_arguments_and_environment() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    for folder in ["bin", "lib/segearth/lib", "lib/segearth/share/gdal", "lib/segearth/share/help"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    fs::copy(env!("CARGO_BIN_EXE_segearth-launcher"), path("bin/segearth")).unwrap();
    let script = "#!/bin/sh\necho \"$@\"\necho \"$GDAL_DATA\"\necho \"$SEGEARTH_LAUNCHER\"\nexit 3\n";
    fs::write(path("lib/segearth/segearth"), script).unwrap();
    fs::set_permissions(path("lib/segearth/segearth"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(path("lib/segearth/lib/libtorch_cpu.so"), "").unwrap();
    fs::write(path("lib/segearth/share/help/segearth-run.long"), "Usage: segearth run\n").unwrap();
    let run = |words: &[&str], libtorch: &str| {
        let output =
            Command::new(path("bin/segearth")).args(words).env("SEGEARTH_LIBTORCH", libtorch).output().unwrap();
        let text =
            |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&root.path().display().to_string(), "ROOT");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, _) = run(&["run", "a job.yaml", "--quiet"], "");
    let expected = "run a job.yaml --quiet\nROOT/lib/segearth/share/gdal\nROOT/bin/segearth\n";
    assert_eq!((code, out.as_str()), (Some(3), expected));
    assert_eq!(run(&["run", "--help"], "").1, "Usage: segearth run\n");
    assert_eq!(run(&["--version"], "").1, concat!("segearth ", env!("CARGO_PKG_VERSION"), "\n"));
    let (code, out, err) = run(&["run"], "/nowhere");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("error: SEGEARTH_LIBTORCH=/nowhere holds no libtorch_cpu.so\n\nhint: "), "{err}");
    fs::remove_file(path("lib/segearth/segearth")).unwrap();
    let (code, _, err) = run(&["run"], "");
    assert!(code == Some(1) && err.contains("is missing") && err.contains("hint: Install segearth again"), "{err}");
}
