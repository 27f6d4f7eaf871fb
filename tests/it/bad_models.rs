//! Weights and bundles that are not what they should be. Whatever a file claims, it is an error of the input with a way out.

use std::fs;

use insta::assert_snapshot;
use segearth::model::torch::cuda_devices;
use segearth::network::export::tensors;
use segearth_checkpoint::read_clip;
use segearth_testing::skipped;
use tch::{Kind, Tensor};

use crate::archives::zip;
use crate::bundles::{Upsampler, small_bundle, small_clip, write_merges};
use crate::scenes::{noise, noise_scene};
use crate::workdir::{Workdir, repository, without_causes};

/// A folder with `clip.pt`, `upsampler.ckpt` and `merges.txt`, sound ones.
fn with_weights() -> Workdir {
    let work = Workdir::new();
    write_merges(&work);
    fs::copy(small_clip(), work.path("clip.pt")).expect("the CLIP");
    let upsampler = repository("tests/parity/small/simfeatup_jbu_one.ckpt");
    fs::copy(upsampler, work.path("upsampler.ckpt")).expect("the upsampler");
    work
}

fn import(clip: &str, tokenizer: &str, upsampler: &str, more: &str) -> String {
    format!("model import --clip {clip} --tokenizer {tokenizer} --upsampler {upsampler} -o models/new {more}")
}

#[test]
fn checkpoints_that_are_none() {
    let work = with_weights();
    let refused = |clip: &str| work.refused(&import(clip, "merges.txt", "none", ""));
    work.write("random.pt", [b"\xfe\xed".as_slice(), &noise(5000)].concat());
    assert_snapshot!(refused("random.pt"), @r"
    error: cannot read the checkpoint random.pt
      cause: the file format is not known (the first bytes are fe ed 00 0b 16 10 2d 3d)

    hint: Supported are OpenAI's TorchScript archives, state dicts saved with torch.save (OpenAI's or open_clip's names), safetensors files of CLIPModel or open_clip, and Lightning checkpoints of jbu_one or jbu_stack.
    ");
    work.write("empty.pt", "");
    assert_snapshot!(refused("empty.pt"), @r"
    error: cannot read the checkpoint empty.pt
      cause: the file is empty

    hint: Download it again.
    ");
    assert_snapshot!(refused("none.pt"), @r"
    error: cannot read the checkpoint none.pt
      cause: cannot open the file
      cause: No such file or directory (os error 2)

    hint: Check the path.
    ");
    fs::create_dir(work.path("folder")).expect("a folder");
    assert_snapshot!(refused("folder"), @r"
    error: cannot read the checkpoint folder
      cause: the path is a folder, not a file

    hint: Give the file itself, for example the model.safetensors inside.
    ");
    work.write("zip.pt", zip(&[("archive/data/0".to_owned(), b"numbers".to_vec())]));
    assert_snapshot!(refused("zip.pt"), @r"
    error: cannot read the checkpoint zip.pt
      cause: the file is a zip archive without a data.pkl, not a file of torch.save

    hint: Supported are OpenAI's TorchScript archives, state dicts saved with torch.save (OpenAI's or open_clip's names), safetensors files of CLIPModel or open_clip, and Lightning checkpoints of jbu_one or jbu_stack.
    ");
    let whole = fs::read(work.path("clip.pt")).expect("the CLIP");
    work.write("cut.pt", &whole[..whole.len() / 2]);
    assert_snapshot!(refused("cut.pt"), @r"
    error: cannot read the checkpoint cut.pt
      cause: the zip archive has no end record

    hint: The file is truncated or damaged: download it again.
    ");
    let mut damaged = whole;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    work.write("damaged.pt", damaged);
    let said = refused("damaged.pt");
    assert!(said.starts_with("error: cannot read the checkpoint damaged.pt\n  cause: "), "{said}");
}

#[test]
fn checkpoints_of_other_networks() {
    let work = with_weights();
    let refused = |clip: &str| work.refused(&import(clip, "merges.txt", "none", ""));
    assert_snapshot!(refused("upsampler.ckpt"), @r"
    error: cannot read upsampler.ckpt as CLIP weights
      cause: these are weights of an upsampler (they have the tensor upsampler.fixup_proj.1.bias)

    hint: CLIP with a vision transformer is supported: ViT-B/32, B/16, L/14 and others, from OpenAI, open_clip, RemoteCLIP, GeoRSCLIP or Hugging Face's CLIPModel.
    ");

    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, tch::Device::Cpu));
    let resnet = [
        ("conv1.weight", zeros(&[64, 3, 7, 7])),
        ("bn1.weight", zeros(&[64])),
        ("layer1.0.conv1.weight", zeros(&[64, 64, 3, 3])),
        ("fc.weight", zeros(&[1000, 512])),
        ("fc.bias", zeros(&[1000])),
    ];
    Tensor::write_safetensors(&resnet, work.path("resnet.safetensors")).expect("a file");
    assert_snapshot!(refused("resnet.safetensors"), @r"
    error: cannot read resnet.safetensors as CLIP weights
      cause: unknown tensors: bn1.weight float32 (64), conv1.weight float32 (64, 3, 7, 7), fc.bias float32 (1000), fc.weight float32 (1000, 512), layer1.0.conv1.weight float32 (64, 64, 3, 3)

    hint: Supported are CLIP with a vision transformer, and the upsamplers jbu_one and jbu_stack.
    ");
    // libtorch's own archive of tensors, which holds no pickled state dict of this form.
    Tensor::save_multi(&resnet, work.path("resnet.pt")).expect("a file");
    let said = refused("resnet.pt");
    assert!(said.starts_with("error: cannot ") && said.contains("resnet.pt") && said.contains("hint: "), "{said}");

    let clip_resnet = [
        ("visual.conv1.weight", zeros(&[32, 3, 3, 3])),
        ("visual.layer1.0.conv1.weight", zeros(&[64, 32, 1, 1])),
        ("visual.attnpool.positional_embedding", zeros(&[50, 2048])),
        ("text_projection", zeros(&[512, 1024])),
        ("positional_embedding", zeros(&[77, 512])),
        ("token_embedding.weight", zeros(&[49408, 8])),
    ];
    Tensor::write_safetensors(&clip_resnet, work.path("rn50.safetensors")).expect("a file");
    assert_snapshot!(refused("rn50.safetensors"), @r"
    error: cannot read rn50.safetensors as CLIP weights
      cause: these are weights of a CLIP with a ResNet (they have the tensor visual.layer1.0.conv1.weight)

    hint: CLIP with a vision transformer is supported: ViT-B/32, B/16, L/14 and others, from OpenAI, open_clip, RemoteCLIP, GeoRSCLIP or Hugging Face's CLIPModel.
    ");
}

#[test]
fn a_tensor_that_is_missing_or_misshapen_is_named_with_the_shapes() {
    let work = with_weights();
    let clip = read_clip(&small_clip()).expect("the small CLIP");
    let all: Vec<(String, Tensor)> = tensors(&clip.tensors, "", Kind::Float).expect("tensors").into_iter().collect();
    let refused = |changed: Vec<(&str, Tensor)>| {
        Tensor::write_safetensors(&changed, work.path("clip.safetensors")).expect("a file");
        let said = work.refused(&import("clip.safetensors", "merges.txt", "none", ""));
        fs::remove_file(work.path("clip.safetensors")).expect("the file");
        said
    };
    let as_written = |all: &[(String, Tensor)]| -> Vec<(String, Tensor)> {
        all.iter().map(|(name, tensor)| (name.clone(), tensor.contiguous())).collect()
    };
    let whole = as_written(&all);
    let name = "visual.transformer.resblocks.1.mlp.c_fc.weight";
    assert!(whole.iter().any(|(other, _)| other == name), "{:?}", whole.iter().map(|(n, _)| n).collect::<Vec<_>>());
    let missing = whole.iter().filter(|(other, _)| other != name).map(|(name, tensor)| (name.as_str(), tensor.copy()));
    assert_snapshot!(refused(missing.collect()), @r"
    error: cannot read clip.safetensors as CLIP weights
      cause: the tensor visual.transformer.resblocks.1.mlp.c_fc.weight of shape (256, 64) is missing

    hint: Supported are OpenAI's TorchScript archives, state dicts saved with torch.save (OpenAI's or open_clip's names), safetensors files of CLIPModel or open_clip, and Lightning checkpoints of jbu_one or jbu_stack.
    ");
    let misshapen = whole.iter().map(|(other, tensor)| {
        (other.as_str(), if other == name { tensor.narrow(0, 0, 5).contiguous() } else { tensor.copy() })
    });
    assert_snapshot!(refused(misshapen.collect()), @r"
    error: cannot read clip.safetensors as CLIP weights
      cause: the tensor visual.transformer.resblocks.1.mlp.c_fc.weight has shape (5, 64), not (256, 64)

    hint: The file is damaged, or of a network with another architecture: use the published file.
    ");
    let extra = whole.iter().map(|(name, tensor)| (name.as_str(), tensor.copy()));
    let extra = extra.chain([("visual.adapter.weight", Tensor::zeros([4, 4], (Kind::Float, tch::Device::Cpu)))]);
    assert_snapshot!(refused(extra.collect()), @r"
    error: cannot read clip.safetensors as CLIP weights
      cause: unknown tensors: visual.adapter.weight float32 (4, 4)

    hint: Supported are CLIP with a vision transformer, and the upsamplers jbu_one and jbu_stack.
    ");
}

#[test]
fn tokenizers_upsamplers_and_windows_that_do_not_fit() {
    let work = with_weights();
    let fewer = fs::read_to_string(work.path("merges.txt")).expect("merges");
    work.write("fewer.txt", fewer.lines().take(50).collect::<Vec<_>>().join("\n"));
    assert_snapshot!(work.refused(&import("clip.pt", "fewer.txt", "none", "")), @r"
    error: fewer.txt does not belong to clip.pt
      cause: the tokenizer has 563 tokens, but the text tower's embedding has 600 rows

    hint: Use the tokenizer that was published with these weights.
    ");
    work.write("random.txt", [b"\xfe\xed".as_slice(), &noise(5000)].concat());
    assert_snapshot!(without_causes(&work.refused(&import("clip.pt", "random.txt", "none", ""))), @r"
    error: cannot read the tokenizer random.txt

    hint: Use the model's tokenizer.json, or CLIP's bpe_simple_vocab_16e6.txt.gz.
    ");
    assert_snapshot!(work.refused(&import("clip.pt", "none.txt", "none", "")), @r"
    error: cannot read the tokenizer none.txt
      cause: cannot open the file
      cause: No such file or directory (os error 2)

    hint: Use the model's tokenizer.json, or CLIP's bpe_simple_vocab_16e6.txt.gz.
    ");
    assert_snapshot!(work.refused(&import("clip.pt", "merges.txt", "clip.pt", "")), @r"
    error: cannot read clip.pt as an upsampler
      cause: the file has neither the tensor upsampler.up.range_temp nor upsampler.up1.range_temp (its first tensors are ln_final.bias, ln_final.weight, logit_scale)

    hint: Supported are the upsamplers jbu_one (SimFeatUp), jbu_stack (FeatUp) and NAF, as their authors save them.
    ");
    assert_snapshot!(work.refused(&import("clip.pt", "merges.txt", "none", "--window 100")), @r"
    error: the window is 100 pixels, not a multiple of the patch, 16 pixels

    hint: Use a multiple of 16, such as --window 224.
    ");
    assert_snapshot!(work.refused(&import("clip.pt", "merges.txt", "none", "--window 1600000000000")), @r"
    error: the window is 1600000000000 pixels; at most 4096 are allowed

    hint: Models are trained on windows of 224 to 336 pixels; larger scenes are processed in windows.
    ");
    work.write("file", "");
    let into = |folder: &str| {
        work.refused(&format!("model import --clip clip.pt --tokenizer merges.txt --upsampler none -o {folder}"))
    };
    assert_snapshot!(into("file"), @r"
    error: file already exists and is not a folder

    hint: Choose a folder that does not exist.
    ");
    assert_snapshot!(into("file/models/new"), @r"
    error: cannot make the folder file/models/new: file is a file

    hint: Choose a folder that does not exist.
    ");
}

/// A folder with a sound bundle `small` and a scene, and what a job on them says.
struct Job {
    work: Workdir,
}

impl Job {
    fn new() -> Self {
        let work = Workdir::new();
        small_bundle(&work, "small", Upsampler::None);
        noise_scene(&work.path("scene.tif"), 40, 30);
        Self { work }
    }

    fn words(more: &str) -> String {
        format!("segment scene.tif --model small -c aa;bb --templates none -o out/labels.tif {more}")
    }

    fn refused(&self, more: &str) -> String {
        // What an earlier try left in the cache would hide faults of the text tower.
        let _ = fs::remove_dir_all(self.work.path("cache"));
        self.work.refused(&Self::words(more))
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.work.path("small").join(name)).expect("a file of the bundle")
    }

    /// Puts other content into a file of the bundle for the time of `then`.
    fn with<T>(&self, name: &str, content: impl AsRef<[u8]>, then: impl FnOnce() -> T) -> T {
        let path = self.work.path("small").join(name);
        let before = fs::read(&path).expect("a file of the bundle");
        fs::write(&path, content).expect("a changed file");
        let done = then();
        fs::write(&path, before).expect("the file as it was");
        done
    }
}

/// SHA-256 in messages changes with every import.
fn without_hashes(said: &str) -> String {
    said.split_inclusive([' ', ',', '\n'])
        .map(|word| {
            let bare = word.trim_end_matches([' ', ',', '\n']);
            let hash = bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
            if hash { format!("[SHA-256]{}", &word[bare.len()..]) } else { word.to_owned() }
        })
        .collect()
}

#[test]
fn a_changed_bundle_is_loaded_only_when_trusted() {
    let job = Job::new();
    let changed = [job.file("image_encoder.pt").as_slice(), b"\n"].concat();
    job.with("image_encoder.pt", &changed, || {
        assert_snapshot!(without_hashes(&job.refused("")), @r"
        error: cannot use the model in small
          cause: image_encoder.pt has SHA-256 [SHA-256], model.yaml says [SHA-256]

        hint: TorchScript archives can contain code. If you trust the source of this file, add --trust; otherwise import the model again.
        ");
        job.work.ok(Job::words("--trust").split_whitespace());
        fs::remove_dir_all(job.work.path("out")).expect("outputs");
    });
    let card = String::from_utf8(job.file("model.yaml")).expect("text");
    let nameless: String =
        card.lines().filter(|line| !line.contains("tokenizer.json:")).map(|line| format!("{line}\n")).collect();
    job.with("model.yaml", nameless, || {
        assert_snapshot!(job.refused(""), @r"
        error: cannot use the model in small
          cause: model.yaml has no SHA-256 of tokenizer.json

        hint: TorchScript archives can contain code. If you trust the source of this file, add --trust; otherwise import the model again.
        ");
        job.work.ok(Job::words("--trust").split_whitespace());
    });
}

#[test]
fn a_bundle_without_its_files() {
    for (file, trust) in [("model.yaml", ""), ("text_encoder.pt", ""), ("tokenizer.json", "--trust")] {
        let job = Job::new();
        fs::remove_file(job.work.path("small").join(file)).expect("a file of the bundle");
        let said = job.refused(trust);
        assert!(said.starts_with("error: cannot use the model in small\n  cause: "), "{said}");
        assert!(said.contains(file) && said.contains("\n\nhint: "), "{said}");
    }
    let work = Workdir::new();
    work.write("file", "");
    assert_snapshot!(work.refused("model inspect file"), @r"
    error: cannot use the model in file
      cause: the path is a file, not a folder

    hint: Create a model with `segearth model import`, or give the folder of one.
    ");
    assert_snapshot!(work.refused("model inspect none"), @r"
    error: cannot use the model in none
      cause: the folder does not exist

    hint: Create a model with `segearth model import`, or give the folder of one.
    ");
}

#[test]
fn a_card_with_senseless_numbers() {
    let job = Job::new();
    let card = String::from_utf8(job.file("model.yaml")).expect("text");
    let refused = |from: &str, to: &str| {
        assert!(card.contains(from), "{from} is in {card}");
        job.with("model.yaml", card.replacen(from, to, 1), || job.refused(""))
    };
    assert_snapshot!(refused("window: 224", "window: 1600000"), @r"
    error: cannot use the model in small
      cause: model.yaml: sizes.window is 1600000; 1 to 4096 are allowed

    hint: Import the model again, or write model.yaml as an import does.
    ");
    assert_snapshot!(refused("patch: 16", "patch: lots"), @r#"
    error: cannot use the model in small
      cause: model.yaml is not a model's card
      cause: sizes.patch: invalid type: string "lots", expected usize at line 4 column 10

    hint: Import the model again, or write model.yaml as an import does.
    "#);
    assert_snapshot!(refused("vocabulary: 600", "vocabulary: 601"), @r"
    note: using cpu (auto).
    error: cannot use the model in small
      cause: the tokenizer has 600 tokens, but the text tower's embedding has 601 rows

    hint: Use the tokenizer that was published with these weights.
    ");
    assert_snapshot!(refused("embed_dim: 32", "embed_dim: 33"), @r"
    note: using cpu (auto).
    error: cannot use the model in small
      cause: the text tower gives features of width 32, sizes.embed_dim in model.yaml is 33

    hint: Import the model again, or correct that key.
    ");
}

/// TorchScript of another signature, or none at all: with `--trust` nothing but libtorch stands before them.
#[test]
fn a_trusted_bundle_with_foreign_content() {
    let job = Job::new();
    let refused = || job.refused("--trust");
    let said = job.with("image_encoder.pt", job.file("text_encoder.pt"), refused);
    assert_snapshot!(without_causes(&said), @r"
    note: using cpu (auto).
    error: the model failed at columns 0 to 40, rows 0 to 30

    hint: The signature is (images (B, 3, H, W), queries (Q, D), lambda) -> logits (B, Q, H, W).
    ");
    assert!(said.contains("cause: cannot run the image encoder on images of shape [1, 3, 32, 48]"), "{said}");
    let said = job.with("text_encoder.pt", job.file("image_encoder.pt"), refused);
    assert_snapshot!(without_causes(&said), @r"
    note: using cpu (auto).
    error: cannot encode the prompts with the model in small

    hint: The signature is token ids (N, columns) -> features (N, D).
    ");
    let whole = job.file("image_encoder.pt");
    let said = job.with("image_encoder.pt", &whole[..whole.len() / 2], refused);
    assert_snapshot!(without_causes(&said), @r"
    note: using cpu (auto).
    error: small/image_encoder.pt is not a TorchScript archive that libtorch can load

    hint: The file is damaged or of another format: import the model again.
    ");
    let said = job.with("text_encoder.pt", noise(1000), refused);
    assert!(said.contains("small/text_encoder.pt is not a TorchScript archive that libtorch can load"), "{said}");
    let said = job.with("tokenizer.json", "{}", refused);
    assert!(
        said.contains("error: cannot read the tokenizer small/tokenizer.json") && said.contains("hint: "),
        "{said}"
    );
    // A patch that the card makes too small is found where a window is padded to it.
    let card = String::from_utf8(job.file("model.yaml")).expect("text").replace("patch: 16", "patch: 2");
    let said = job.with("model.yaml", card, refused);
    assert!(said.contains("error: the model failed at columns 0 to 40, rows 0 to 30"), "{said}");
    assert!(said.contains("\n\nhint: "), "{said}");
}

#[test]
fn cuda_is_had_or_refused_and_auto_says_what_it_took() {
    let job = Job::new();
    let ran = job.work.ok(Job::words("--device auto").split_whitespace());
    if cuda_devices() > 0 {
        assert!(ran.stderr.contains("note: using cuda:0 (auto)."), "{}", ran.stderr);
        skipped("a CUDA device is present");
        return;
    }
    assert_snapshot!(ran.stderr, @r"note: using cpu (auto).");
    assert!(ran.stdout.contains("windows/s on cpu"), "{}", ran.stdout);
    fs::remove_dir_all(job.work.path("out")).expect("outputs");
    assert_snapshot!(job.refused("--device cuda"), @r"
    error: device cuda:0 is not available: no CUDA device can be used here

    hint: Use --device cpu or auto; a GPU needs its driver and libtorch's CUDA half (`make setup CUDA=1`).
    ");
    assert_snapshot!(job.refused("--device cuda:3"), @r"
    error: device cuda:3 is not available: no CUDA device can be used here

    hint: Use --device cpu or auto; a GPU needs its driver and libtorch's CUDA half (`make setup CUDA=1`).
    ");
    job.work.write("job.yaml", "model: small\nscene: scene.tif\nclasses: [aa, bb]\ndevice: cuda\n");
    let said = job.work.refused("check job.yaml");
    assert!(said.contains("device cuda:0 is not available"), "{said}");
}
