//! The joint decision over the patches of a scene: in one run, in shards, and where it is refused.

use std::collections::HashMap;
use std::fs;

use segearth::model::gaussian::{Gaussians, Patches, softmax};
use tch::Tensor;

use crate::bundles::{Upsampler, small_bundle};
use crate::scenes::{noise_scene, read_band};
use crate::workdir::{Workdir, repository};

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

#[test]
fn posteriors_are_the_authors() {
    let path = repository("tests/parity/more/coninfer/expected.safetensors");
    let expected: HashMap<String, Tensor> = Tensor::read_safetensors(path).expect("tensors").into_iter().collect();
    let numbers = |name: &str| Vec::<f32>::try_from(expected[name].flatten(0, -1)).expect(name);
    let [_, queries] = expected["logits"].size()[..] else { panic!("a matrix") };
    let (queries, depth) = (queries as usize, expected["features"].size()[1] as usize);
    let close = |what: &str, got: &[f64], tolerance: f64| {
        let want = numbers(what);
        assert_eq!(got.len(), want.len());
        let off = got.iter().zip(&want).map(|(got, want)| (got - f64::from(*want)).abs()).fold(0.0, f64::max);
        println!("{what}: {off:.2e}");
        assert!(off <= tolerance, "{what} differs by {off:.2e}");
    };
    let mut prior = Vec::new();
    for logits in numbers("logits").chunks_exact(queries) {
        let mut of_patch: Vec<f64> = logits.iter().copied().map(f64::from).collect();
        softmax(&mut of_patch, 100.0);
        prior.extend(of_patch);
    }
    close("prior", &prior, 1e-5);
    let patches = Patches { features: numbers("features"), prior: prior.iter().map(|value| *value as f32).collect() };
    for temperature in [50.0, 150.0] {
        let found = Gaussians::fit(&patches, queries, depth, temperature).expect("patches");
        let mut posterior = prior.clone();
        for (feature, z) in patches.features.chunks_exact(depth).zip(posterior.chunks_exact_mut(queries)) {
            found.posterior(feature, z);
        }
        close(&format!("posterior_temperature_{temperature}"), &posterior, 2e-5);
    }
}
