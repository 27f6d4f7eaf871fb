//! What a model's card recommends, and what is said where a result is empty.

use std::fs;

use crate::bundles::{Upsampler, small_bundle};
use crate::scenes::noise_scene;
use crate::workdir::Workdir;

/// The scenes of these tests have pixels of half a metre.
fn job(work: &Workdir, more: &str) {
    noise_scene(&work.path("scene.tif"), 240, 230);
    work.write("job.yaml", format!("scene: scene.tif\nclasses: [background, water]\noutputs: {{folder: out}}\n{more}"));
}

#[test]
fn a_card_recommends_settings_where_the_job_is_silent() {
    let work = Workdir::new();
    let bundle = small_bundle(&work, "small", Upsampler::None);
    let card = fs::read_to_string(bundle.join("model.yaml")).expect("a card");
    let recommend = |what: &str| work.write("small/model.yaml", format!("{card}recommended: {what}\n"));
    recommend("{threshold: 0.4, debias: 0, logit_scale: 80, stride: 200, ground_sample_distance: [2, 30]}");
    job(&work, "model: small\n");
    let checked = work.ok(["check", "job.yaml"]);
    for line in [
        "method      debias 0, logit scale 80, threshold 0.4, templates imagenet80",
        "the model recommends debias 0, logit scale 80, threshold 0.4, stride 200, pixels of 2 to 30 m",
        "stride 200, blend",
    ] {
        assert!(checked.stdout.contains(line), "{line}: {}", checked.stdout);
    }
    let note = "scene.tif has pixels of 0.50 m; the model was trained on 2 to 30 m. Try `resolution: 2`.";
    assert!(checked.stderr.contains(note), "{}", checked.stderr);

    // The job's own values win; a threshold is for jobs with a background.
    let checked = work
        .ok("check job.yaml --set method.threshold=0.2 --set method.debias=0.1 --set tiling.stride=112"
            .split_whitespace());
    let line = "debias 0.1, logit scale 80, threshold 0.2,";
    assert!(checked.stdout.contains(line) && checked.stdout.contains("stride 112,"), "{}", checked.stdout);
    let checked = work.ok(["check", "job.yaml", "--set", "classes=[land, water]"]);
    assert!(checked.stdout.contains("logit scale 80, threshold 0,"), "{}", checked.stdout);
    recommend("{ground_sample_distance: [0.1, 2]}");
    let checked = work.ok(["check", "job.yaml"]);
    assert!(!checked.stderr.contains("was trained on"), "{}", checked.stderr);

    recommend("{threshold: 4}");
    let said = work.refused("check job.yaml");
    assert!(said.contains("model.yaml: recommended.threshold is 4; 0 to 1 is allowed"), "{said}");
    recommend("{stretch: 0.4}");
    assert!(work.refused("check job.yaml").contains("stretch"));
}

#[test]
fn a_result_that_is_background_everywhere_says_why() {
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 240, 230);
    work.write(
        "job.yaml",
        "scene: scene.tif\nmodel: fake:identity\nclasses: [red, background, blue]\noutputs: {folder: out}\n\
         method: {threshold: 0.9, logit_scale: 0.0001}\n",
    );
    let ran = work.ok(["run", "job.yaml"]);
    let said = "every pixel with data is `background`. The highest score of another class is 0.33";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert!(ran.stderr.contains("below the threshold, 0.9: lower it"), "{}", ran.stderr);
    // With a threshold that scores reach there is nothing to say.
    let ran = work.ok("run job.yaml --set method.threshold=0.1 --output other".split_whitespace());
    assert!(!ran.stderr.contains("every pixel"), "{}", ran.stderr);

    work.write("job.yaml", "scene: scene.tif\nmodel: fake:null\nclasses: [background, a]\noutputs: {folder: same}\n");
    let ran = work.ok(["run", "job.yaml"]);
    assert!(ran.stderr.contains("is `background`: its words are nearest everywhere"), "{}", ran.stderr);
}
