//! Checkpoints as people have them: what lies beside them, what is assumed of them, and models by their names.

use std::fs;

use gdal::Dataset;
use insta::assert_snapshot;
use segearth::network::export::tensors;
use segearth::network::{TextTower, TowerOptions};
use segearth_checkpoint::{Activation, read_clip};
use segearth_testing::shared;
use tch::{Kind, Tensor};

use crate::bundles::{Upsampler, small_bundle, small_clip, write_merges};
use crate::scenes::{noise_scene, read_band};
use crate::workdir::{Ran, Workdir};

/// A folder with `weights/clip.pt` and `merges.txt`.
fn with_weights() -> Workdir {
    let work = Workdir::new();
    write_merges(&work);
    work.write("weights/clip.pt", fs::read(small_clip()).expect("the CLIP"));
    work
}

/// Imports into `name`.
fn import(work: &Workdir, clip: &str, name: &str, more: &str) -> Ran {
    let words = format!("model import --clip {clip} --tokenizer merges.txt --upsampler none -o {name} {more}");
    work.ok(words.split_whitespace())
}

fn refused(work: &Workdir, clip: &str) -> String {
    work.refused(&format!("model import --clip {clip} --tokenizer merges.txt --upsampler none -o refused"))
}

/// The small CLIP's tensors under OpenAI's names.
fn small_tensors() -> Vec<(String, Tensor)> {
    let clip = read_clip(&small_clip()).expect("the small CLIP");
    let all = tensors(&clip.tensors, "", Kind::Float).expect("tensors").into_iter();
    all.map(|(name, tensor)| (name, tensor.contiguous())).collect()
}

const ASSUMED: &str = "note: the activation of the weights is not known: quickgelu was assumed";

#[test]
fn an_assumed_activation_is_said_recorded_and_shown() {
    let work = with_weights();
    let made = import(&work, "weights/clip.pt", "assumed", "");
    assert!(made.stderr.contains(ASSUMED) && made.stderr.contains("`--activation gelu`"), "{}", made.stderr);
    let card = fs::read_to_string(work.path("assumed/model.yaml")).expect("a card");
    assert!(card.contains("  activation: quickgelu\n  activation_from: assumed\n"), "{card}");
    let shown = work.ok(["model", "inspect", "assumed"]);
    assert!(shown.stdout.contains("activation_from: assumed"), "{}", shown.stdout);
    assert!(shown.stderr.contains("import them again with `--activation gelu`"), "{}", shown.stderr);

    // Said by the user: nothing to note.
    let given = import(&work, "weights/clip.pt", "given", "--activation gelu");
    assert!(!given.stderr.contains("activation"), "{}", given.stderr);
    assert!(given.stdout.contains("  activation: gelu\n  activation_from: --activation\n"), "{}", given.stdout);
    assert!(!work.ok(["model", "inspect", "given"]).stderr.contains("activation"));
}

/// The small CLIP is 64 wide in both towers, has 2 blocks and a joint width of 32.
#[test]
fn a_configuration_beside_a_pickle_decides() {
    let work = with_weights();
    work.write(
        "weights/open_clip_config.json",
        r#"{"model_cfg": {"embed_dim": 32, "vision_cfg": {"width": 64, "patch_size": 16},
        "text_cfg": {"width": 64, "heads": 1}}, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.25]}}"#,
    );
    let made = import(&work, "weights/clip.pt", "configured", "");
    assert!(made.stdout.contains("  activation: gelu\n  activation_from: open_clip_config.json\n"), "{}", made.stdout);
    // 255 times what the file says.
    assert!(
        made.stdout.contains("  mean:\n  - 127.5\n  - 127.5\n  - 127.5\n  std:\n  - 127.5\n  - 127.5\n  - 63.75\n"),
        "{}",
        made.stdout
    );
    assert!(
        !made.stderr.contains(ASSUMED) && made.stderr.contains("another normalisation than CLIP's"),
        "{}",
        made.stderr
    );

    let other = r#"{"model_cfg": {"embed_dim": 512, "vision_cfg": {"width": 768}, "text_cfg": {}}}"#;
    work.write("weights/open_clip_config.json", other);
    let made = import(&work, "weights/clip.pt", "ignored", "");
    assert!(
        made.stderr.contains(
            "note: open_clip_config.json beside the weights does not match them and was ignored: it says embed_dim = 512, the \
             weights have 32."
        ),
        "{}",
        made.stderr
    );
    assert!(made.stderr.contains(ASSUMED), "{}", made.stderr);
    assert!(made.stdout.contains("  - 122.771\n"), "{}", made.stdout);

    work.write(
        "weights/open_clip_config.json",
        r#"{"model_cfg": {"vision_cfg": {"width": 64, "pool_type": "avg", "patch_dropout": 0.5}, "text_cfg": {"no_causal_mask": true}}}"#,
    );
    assert_snapshot!(refused(&work, "weights/clip.pt"), @r#"
    error: cannot read weights/clip.pt as CLIP weights
      cause: open_clip_config.json beside the weights has unsupported options: text_cfg.no_causal_mask = true, vision_cfg.pool_type = "avg"

    hint: The default architecture of OpenAI's and open_clip's CLIP is supported. If the configuration belongs to other weights, move these to a separate folder.
    "#);
}

#[test]
fn a_window_of_another_size_than_the_trained_one_is_noted() {
    let work = with_weights();
    let made = import(&work, "weights/clip.pt", "smaller", "--window 160 --activation quickgelu");
    assert_snapshot!(made.stderr, @"note: the weights were trained on windows of 224 pixels, and this model's window has 160: positions are interpolated. `--window 224` is the trained size.");
    let made = import(&work, "weights/clip.pt", "same", "--activation quickgelu");
    assert_eq!(made.stderr, "");
}

#[test]
fn weights_in_several_files_are_imported_and_all_of_them_recorded() {
    let work = with_weights();
    let all = small_tensors();
    let (first, second) = all.split_at(all.len() / 2);
    let mut map = serde_json::Map::new();
    for (number, part) in [(1, first), (2, second)] {
        let file = format!("model-0000{number}-of-00002.safetensors");
        let named: Vec<(&str, &Tensor)> = part.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        Tensor::write_safetensors(&named, work.path(&format!("weights/{file}"))).expect("a file");
        part.iter().for_each(|(name, _)| drop(map.insert(name.clone(), file.clone().into())));
    }
    work.write("weights/model.safetensors.index.json", serde_json::json!({"weight_map": map}).to_string());
    let made = import(&work, "weights/model.safetensors.index.json", "whole", "");
    for line in ["role: clip\n", "role: clip-part\n    file: model-00001-of-00002", "file: model-00002-of-00002"] {
        assert!(made.stdout.contains(line), "{line}: {}", made.stdout);
    }
    // The same weights from one file give the same model.
    import(&work, "weights/clip.pt", "one", "");
    noise_scene(&work.path("scene.tif"), 60, 50);
    for model in ["whole", "one"] {
        let words = format!("segment scene.tif --model {model} -c aa;bb;cc --templates none -o {model}.tif");
        work.ok(words.split_whitespace());
    }
    let labels = |name: &str| read_band::<u8>(&Dataset::open(work.path(name)).expect("labels"), 1);
    assert_eq!(labels("whole.tif"), labels("one.tif"));
    let said = refused(&work, "weights/model-00001-of-00002.safetensors");
    assert!(
        said.contains("the file is number 1 of 2 of the weights, which model.safetensors.index.json lists"),
        "{said}"
    );
}

#[test]
fn weights_with_what_is_no_number_are_refused() {
    let work = with_weights();
    let name = "visual.transformer.resblocks.1.ln_1.weight";
    let changed: Vec<(String, Tensor)> = small_tensors()
        .into_iter()
        .map(|(other, tensor)| {
            if other == name {
                let _ = tensor.get(3).fill_(f64::NAN);
            }
            (other, tensor)
        })
        .collect();
    Tensor::write_safetensors(&changed, work.path("weights/nan.safetensors")).expect("a file");
    assert_snapshot!(refused(&work, "weights/nan.safetensors"), @"
    error: cannot read weights/nan.safetensors as CLIP weights
      cause: the tensor visual.transformer.resblocks.1.ln_1.weight has the value NaN at index 3 of 64

    hint: The training diverged, or the file is damaged: use an earlier checkpoint, or download it again.
    ");
}

/// Both tables of a Long-CLIP are read, as its authors' code does: either alone gives other embeddings.
#[test]
fn long_clips_texts_are_its_authors() {
    let Some(folder) = shared("parity/more/longclip") else { return };
    let clip = read_clip(&folder.join("longclip.pt")).expect("a Long-CLIP");
    assert_eq!(clip.sizes.context, 248);
    let options = TowerOptions {
        layers: clip.sizes.text_layers,
        heads: clip.sizes.text_heads,
        activation: Activation::QuickGelu,
    };
    let tower = TextTower::load(&tensors(&clip.tensors, "", Kind::Float).expect("weights"), options).expect("a tower");
    let expected = Tensor::read_safetensors(folder.join("expected.safetensors")).expect("expected tensors");
    let named = |name: &str| &expected.iter().find(|(other, _)| other == name).expect(name).1;
    let got = tower.forward(named("token_ids")).expect("embeddings");
    let difference = |name: &str| f64::try_from((&got - named(name)).abs().max()).expect("a number");
    assert!(difference("text_embeddings") <= 5e-5, "{}", difference("text_embeddings"));
    assert!(difference("wrong_first_table_only") > 1e-3);
}

#[test]
fn a_models_name_is_not_shadowed_by_a_folder() {
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 40, 30);
    work.write("mini/notes.txt", "mine");
    work.write("openai/ViT-B-16/notes.txt", "mine");
    let words = "segment scene.tif -c water;forest -o labels.tif --model";
    let ran = work.ok(words.split_whitespace().chain(["mini"]));
    assert!(
        ran.stderr.contains("note: `mini` is used as the name of a model; write `./mini` for the folder."),
        "{}",
        ran.stderr
    );
    let said = work.refused(&format!("{words} ./mini"));
    assert!(said.contains("cannot use the model in ./mini\n  cause: the folder has no model.yaml"), "{said}");
    assert_snapshot!(work.refused(&format!("{words} openai/ViT-B-16")), @"
    error: there is no model `openai/ViT-B-16` (none is installed)

    hint: `segearth model fetch openai/ViT-B-16` downloads and imports it. The folder of that name is `./openai/ViT-B-16`.
    ");
    // A folder of any other name is one.
    small_bundle(&work, "mine", Upsampler::None);
    small_bundle(&work, "models/mine", Upsampler::JbuOne);
    let shown = work.ok(["model", "inspect", "mine"]).stdout;
    assert!(shown.contains("# mine/model.yaml") && shown.contains("upsampler: none"), "{shown}");

    let shown = work.ok(["model", "inspect", "mini"]).stdout;
    assert!(shown.contains("\nname: mini-") && shown.contains("window: 256"), "{shown}");
    let shown = work.ok(["model", "inspect", "OpenAI/vit-b-16"]).stdout;
    for line in [
        "# openai/ViT-B-16 is not fetched yet: `segearth model fetch openai/ViT-B-16` downloads and imports it",
        "activation: quickgelu",
        "sha256: 5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    // Fetched, it is shown as any other.
    small_bundle(&work, "models/openai/ViT-B-16", Upsampler::None);
    let shown = work.ok(["model", "inspect", "openai/ViT-B-16"]).stdout;
    assert!(shown.contains("models/openai/ViT-B-16/model.yaml") && shown.contains("embed_dim: 32"), "{shown}");
    assert!(work.refused("model inspect nothing").contains("the folder does not exist"));
}

#[test]
fn a_missing_model_is_named_with_all_other_faults() {
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 40, 30);
    let job = "model: remoteclip/ViT-B-32\nscene: SCENE\nclasses: [a, b]\nbands: [1, 2, 9]\ntiling: {stride: 0}\n";
    work.write("job.yaml", job.replace("SCENE", "scene.tif"));
    let said = work.refused("check job.yaml");
    assert!(
        said.starts_with(
            "error: 3 errors in the job file\n\nthere is no model `remoteclip/ViT-B-32` (none is installed)\n"
        ),
        "{said}"
    );
    assert!(said.contains("  --> job.yaml:1:8") && said.contains("stride is 0 pixels") && said.contains("9"), "{said}");
    assert!(said.contains("hint: `segearth model fetch remoteclip/ViT-B-32` downloads"), "{said}");
    // A scene that is not there, and one that is none.
    work.write("job.yaml", job.replace("SCENE", "[none.tif, scene.tif]"));
    let said = work.refused("check job.yaml");
    assert!(said.contains("4 errors in the job file") && said.contains("there is no file none.tif"), "{said}");
    work.write("text.tif", "text");
    work.write("job.yaml", "model: broken\nscene: text.tif\nclasses: [a, b]\n");
    work.write("broken/notes.txt", "");
    let said = work.refused("check job.yaml");
    assert!(
        said.contains("2 errors in the job file\n\ncannot use the model in broken: the folder has no model.yaml"),
        "{said}"
    );
    assert!(said.contains("text.tif"), "{said}");
}

#[test]
fn an_average_lies_between_its_models() {
    let work = with_weights();
    let own = small_tensors();
    let shifted: Vec<(String, Tensor)> = own.iter().map(|(name, tensor)| (name.clone(), tensor + 0.5)).collect();
    Tensor::write_safetensors(&shifted, work.path("shifted.safetensors")).expect("shifted weights");
    let ran = work.ok("model average weights/clip.pt shifted.safetensors -o mean.safetensors".split(' '));
    assert!(ran.stderr.contains("the mean of 2 models"), "{}", ran.stderr);
    let mean: std::collections::HashMap<String, Tensor> =
        Tensor::read_safetensors(work.path("mean.safetensors")).expect("the average").into_iter().collect();
    assert_eq!(mean.len(), own.len());
    for (name, tensor) in &own {
        let difference = f64::try_from((&mean[name] - tensor - 0.25).abs().max()).expect("a number");
        assert!(difference < 1e-5, "{name}: {difference:.2e}");
    }
    import(&work, "mean.safetensors", "mean", "--activation quickgelu");
    assert!(
        work.refused("model average weights/clip.pt shifted.safetensors -o mean.safetensors")
            .contains("already exists")
    );
    let cut: Vec<(String, Tensor)> = own
        .iter()
        .filter(|(name, _)| !name.starts_with("transformer.resblocks.1."))
        .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
        .collect();
    Tensor::write_safetensors(&cut, work.path("cut.safetensors")).expect("fewer blocks");
    let said = work.refused("model average weights/clip.pt cut.safetensors -o other.safetensors");
    assert!(said.contains("cut.safetensors has other sizes than weights/clip.pt"), "{said}");
}
