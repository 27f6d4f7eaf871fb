//! The joint decision over the patches of a scene: in one run, in shards, and where it is refused.

use std::fs;

use crate::bundles::{Upsampler, small_bundle};
use crate::scenes::{noise_scene, read_band};
use crate::workdir::Workdir;

const JOB: &str = "scene: scene.tif\nmodel: small\nclasses: [aa, bb, cc]\nmethod: {templates: none, DECISION}\n\
                   outputs: {folder: out, scores: true}\n";

fn job(decision: &str) -> String {
    JOB.replace("DECISION", decision)
}

fn ready() -> Workdir {
    let work = Workdir::new();
    small_bundle(&work, "small", Upsampler::None);
    noise_scene(&work.path("scene.tif"), 500, 420);
    work
}

fn outputs(work: &Workdir) -> [Vec<u8>; 2] {
    ["out/scene_labels.tif", "out/scene_scores.tif"].map(|name| fs::read(work.path(name)).expect(name))
}

#[test]
fn shards_of_a_joint_decision_make_the_results_of_one_run() {
    let work = ready();
    work.write("job.yaml", job("decision: gaussian, temperature: 20"));
    work.ok(["run", "job.yaml"]);
    let want = outputs(&work);
    let scores = gdal::Dataset::open(work.path("out/scene_scores.tif")).expect("scores");
    let bands = [1, 2, 3].map(|band| read_band::<f32>(&scores, band));
    // Probabilities of 0 to 1 times 5: no score is above e⁵ / (e⁵ + 2), and all are positive.
    let largest = 5f32.exp() / (5f32.exp() + 2.0) + 1e-4;
    assert!(bands.iter().flatten().all(|score| (0.0..=largest).contains(score)));
    fs::remove_dir_all(work.path("out")).expect("outputs");
    for index in [2, 1] {
        work.ok(["run", "job.yaml", "--shard", &format!("{index}/2")]);
    }
    work.ok(["merge", "job.yaml"]);
    assert!(outputs(&work) == want, "shards give other bytes");
    // Another decision is another result.
    fs::remove_dir_all(work.path("out")).expect("outputs");
    work.write("job.yaml", job("debias: 0"));
    work.ok(["run", "job.yaml"]);
    assert!(outputs(&work) != want);
}

#[test]
fn what_a_joint_decision_cannot_have_is_refused() {
    let work = ready();
    for (keys, why) in [
        ("decision: gaussian, debias: 0.3", "has no debiasing"),
        ("decision: gaussian, channels: 20", "has no upsampler to approximate"),
        ("decision: gaussian, temperature: 0", "the temperature is 0; it must be from 1 to 10000"),
        ("temperature: 50", "which is not set"),
    ] {
        work.write("job.yaml", job(keys));
        let refused = work.refused("check job.yaml");
        assert!(refused.contains(why), "{keys}: {refused}");
    }
    work.write("job.yaml", format!("{}embeddings: store.zarr\n", job("decision: gaussian")));
    assert!(work.refused("check job.yaml").contains("windows of the whole scene"));
    work.write("job.yaml", job("decision: gaussian").replace("model: small", "model: fake:identity"));
    assert!(work.refused("check job.yaml").contains("a model with features"));
}
