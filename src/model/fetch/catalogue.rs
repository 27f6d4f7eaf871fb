//! The models that are published, and where.
//!
//! A hash is pinned only where it is known for certain: OpenAI's addresses contain the SHA-256 of what they lead to, RemoteCLIP's
//! are those that several public repositories note for the files. Where no publisher says the activation, the model has a note.

use segearth_checkpoint::{Activation, KnownActivation, PixelStatistics};

use crate::model::bundle;

/// One published file.
#[derive(Debug)]
pub struct Remote {
    /// The name of the file.
    pub file: &'static str,
    pub url: &'static str,
    /// Other addresses of the same file, tried in this order if the first fails.
    pub mirrors: &'static [&'static str],
    /// In lower-case hexadecimal digits; `None`: not published.
    pub sha256: Option<&'static str>,
    /// More bytes than this are refused.
    pub limit: u64,
}

/// A published CLIP with its tokenizer and upsampler.
#[derive(Debug)]
pub struct Model {
    /// `publisher/model`.
    pub name: &'static str,
    pub clip: Remote,
    /// Side of a patch in pixels.
    pub patch: usize,
    pub activation: Activation,
    /// What is known of the activation where its publisher does not say it; a whole sentence.
    pub activation_note: Option<&'static str>,
    /// How its images were normalised, of pixels in 0..=1, where not as CLIP's.
    pub pixels: Option<PixelStatistics>,
    /// The merges that its text was cut up with.
    pub tokenizer: &'static Remote,
    /// Trained for this model's joint width.
    pub upsampler: Option<&'static Remote>,
    /// A note for users who choose a model.
    pub note: &'static str,
}

impl Model {
    /// The activation, and whether its publisher says so.
    pub fn known_activation(&self) -> KnownActivation {
        let from = if self.activation_note.is_some() { bundle::ASSUMED } else { "publisher" };
        KnownActivation { activation: self.activation, from: from.to_owned() }
    }

    /// What it is, where it comes from and how to have it: lines as a bundle's card has them.
    pub fn describe(&self) -> String {
        let name = self.name;
        let mut text = format!(
            "# {name} is not fetched yet: `segearth model fetch {name}` downloads and imports it\nname: {name}\nabout: {}\npatch: \
             {}\nactivation: {}\n",
            self.note,
            self.patch,
            self.activation.name()
        );
        if let Some(PixelStatistics { mean, std }) = self.pixels {
            text += &format!("# Images are normalised by mean {mean:?} and standard deviation {std:?} (of 0 to 1).\n");
        }
        if let Some(note) = self.activation_note {
            text += &format!("# {note}\n");
        }
        text += "files:\n";
        let upsampler = self.upsampler.map(|remote| ("upsampler", remote));
        for (role, remote) in [("clip", &self.clip), ("tokenizer", self.tokenizer)].into_iter().chain(upsampler) {
            let sha256 = remote.sha256.unwrap_or("not published");
            text += &format!("- {{role: {role}, file: {}, sha256: {sha256}}}\n  # {}\n", remote.file, remote.url);
        }
        text
    }
}

/// What is to be said where SimFeatUp's own weights are put onto features that they were not trained on.
pub fn upsampler_note(patch: usize) -> Option<String> {
    (patch != SIMFEATUP_PATCH).then(|| {
        format!(
            "SimFeatUp's weights were trained on patches of {SIMFEATUP_PATCH} pixels, and none were published for patches of {patch}: \
             outlines may be rougher than without. `--upsampler none` leaves it out, `segearth model train-upsampler` makes one."
        )
    })
}

const MIB: u64 = 1 << 20;

/// Side in pixels of the patches that [`SIMFEATUP`] was trained on.
const SIMFEATUP_PATCH: usize = 16;

/// CLIP's BPE merges, from OpenAI's repository; the same file for every model here.
pub static VOCABULARY: Remote = Remote {
    file: "bpe_simple_vocab_16e6.txt.gz",
    url: "https://raw.githubusercontent.com/openai/CLIP/main/clip/bpe_simple_vocab_16e6.txt.gz",
    mirrors: &["https://openaipublic.blob.core.windows.net/clip/bpe_simple_vocab_16e6.txt.gz"],
    sha256: Some("924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"),
    limit: 4 * MIB,
};

/// SegEarth-OV's upsampler, `jbu_one` for a joint width of 512, from its authors' repository. They publish no hash; this one
/// is what several of their users have noted for the file at this commit.
pub static SIMFEATUP: Remote = Remote {
    file: "xclip_jbu_one_million_aid.ckpt",
    url: "https://raw.githubusercontent.com/likyoo/SegEarth-OV/3e22a969b32c6d751bdbba64a88a0b670e630f55/\
          simfeatup_dev/weights/xclip_jbu_one_million_aid.ckpt",
    mirrors: &[],
    sha256: Some("cabc594d0042535f3413ac89d5f0b8b3173aecf18e2e469fb91b015ea4de49d8"),
    limit: 64 * MIB,
};

const REMOTECLIP_ACTIVATION: &str = "RemoteCLIP's authors do not say its activation: quickgelu is assumed. They trained with open_clip's tag `openai`, which brings it, \
     though their example loads the weights into a model with gelu; of ViT-L-14 one public measurement has a mean recall of 26.5 with \
     quickgelu and 18.0 with gelu. `--activation gelu` takes the other.";

const GEORSCLIP_B_ACTIVATION: &str = "GeoRSCLIP's authors do not say its activation: quickgelu is assumed. They load the weights over OpenAI's, which have it, though \
     SegEarth-OV ran them with gelu. `--activation gelu` takes the other.";

const GEORSCLIP_L_ACTIVATION: &str = "GeoRSCLIP's authors do not say the activation of its ViT-L-14: quickgelu is assumed, as of their ViT-B-32. `--activation gelu` \
     takes the other.";

const GEORSCLIP_H_ACTIVATION: &str = "GeoRSCLIP's authors do not say the activation of its ViT-H-14: gelu is assumed, as of LAION's ViT-H-14 over which it \
     was trained. `--activation quickgelu` takes the other.";

const SKYCLIP_L_ACTIVATION: &str = "SkyCLIP's authors do not say the activation of its ViT-L-14: quickgelu is assumed, as of OpenAI's weights from which their \
     instructions begin, though SegEarth-OV ran it with gelu. `--activation gelu` takes the other.";

const SKYCLIP_B_ACTIVATION: &str = "SkyCLIP's authors do not say the activation of its ViT-B-32: gelu is assumed, as of LAION's weights (laion2b_e16) from \
     which their instructions begin, and as SegEarth-OV ran it. `--activation quickgelu` takes the other.";

pub static MODELS: [Model; 22] = [
    Model {
        name: "openai/ViT-B-16",
        clip: Remote {
            file: "openai-ViT-B-16.pt",
            url: "https://openaipublic.azureedge.net/clip/models/\
                  5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt",
            // The host behind the first one: since 2025 that one has been reported to answer with 404.
            mirrors: &["https://openaipublic.blob.core.windows.net/clip/models/\
                        5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt"],
            sha256: Some("5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
            limit: 1024 * MIB,
        },
        patch: 16,
        activation: Activation::QuickGelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "the model of the SegEarth-OV paper",
    },
    Model {
        name: "openai/ViT-B-32",
        clip: Remote {
            file: "openai-ViT-B-32.pt",
            url: "https://openaipublic.azureedge.net/clip/models/\
                  40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
            // The host behind the first one: since 2025 that one has been reported to answer with 404.
            mirrors: &["https://openaipublic.blob.core.windows.net/clip/models/\
                        40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt"],
            sha256: Some("40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
            limit: 1024 * MIB,
        },
        patch: 32,
        activation: Activation::QuickGelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "faster and coarser than ViT-B-16",
    },
    Model {
        name: "openai/ViT-L-14",
        clip: Remote {
            file: "openai-ViT-L-14.pt",
            url: "https://openaipublic.azureedge.net/clip/models/\
                  b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
            // The host behind the first one: since 2025 that one has been reported to answer with 404.
            mirrors: &["https://openaipublic.blob.core.windows.net/clip/models/\
                        b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt"],
            sha256: Some("b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
            limit: 4096 * MIB,
        },
        patch: 14,
        activation: Activation::QuickGelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "joint width 768, for which no upsampler is published",
    },
    Model {
        name: "remoteclip/ViT-B-32",
        clip: Remote {
            file: "RemoteCLIP-ViT-B-32.pt",
            url: "https://huggingface.co/chendelong/RemoteCLIP/resolve/main/RemoteCLIP-ViT-B-32.pt",
            mirrors: &[],
            sha256: Some("60014e395d930a3f2963d1d89c8522bf4ad56775571e4356e866864789af85c4"),
            limit: 2048 * MIB,
        },
        patch: 32,
        activation: Activation::QuickGelu,
        activation_note: Some(REMOTECLIP_ACTIVATION),
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "trained on remote-sensing images",
    },
    Model {
        name: "remoteclip/ViT-L-14",
        clip: Remote {
            file: "RemoteCLIP-ViT-L-14.pt",
            url: "https://huggingface.co/chendelong/RemoteCLIP/resolve/main/RemoteCLIP-ViT-L-14.pt",
            mirrors: &[],
            sha256: Some("fcc2a7e21e171f4ffcb7a9c0206b8b74ac0c9eb83c67b576958b7a4ed6c8cecb"),
            limit: 4096 * MIB,
        },
        patch: 14,
        activation: Activation::QuickGelu,
        activation_note: Some(REMOTECLIP_ACTIVATION),
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "trained on remote-sensing images; joint width 768, no upsampler",
    },
    Model {
        name: "georsclip/ViT-B-32",
        clip: Remote {
            file: "GeoRSCLIP-RS5M_ViT-B-32.pt",
            url: "https://huggingface.co/Zilun/GeoRSCLIP/resolve/main/ckpt/RS5M_ViT-B-32.pt",
            mirrors: &[],
            sha256: None,
            limit: 2048 * MIB,
        },
        patch: 32,
        activation: Activation::QuickGelu,
        activation_note: Some(GEORSCLIP_B_ACTIVATION),
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "trained on five million remote-sensing images; the publisher gives no hash",
    },
    Model {
        name: "georsclip/ViT-L-14",
        clip: Remote {
            file: "GeoRSCLIP-RS5M_ViT-L-14.pt",
            url: "https://huggingface.co/Zilun/GeoRSCLIP/resolve/main/ckpt/RS5M_ViT-L-14.pt",
            mirrors: &[],
            sha256: None,
            limit: 4096 * MIB,
        },
        patch: 14,
        activation: Activation::QuickGelu,
        activation_note: Some(GEORSCLIP_L_ACTIVATION),
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "trained on five million remote-sensing images; joint width 768, no upsampler; the publisher gives no hash",
    },
    Model {
        name: "laion/ViT-B-16",
        clip: Remote {
            file: "laion2B-ViT-B-16.bin",
            url: "https://huggingface.co/laion/CLIP-ViT-B-16-laion2B-s34B-b88K/resolve/main/open_clip_pytorch_model.bin",
            mirrors: &[],
            sha256: None,
            limit: 1024 * MIB,
        },
        patch: 16,
        activation: Activation::Gelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "trained by LAION on two billion pairs, one of the paper's other CLIPs; MIT licence; not tried here, no hash is pinned",
    },
    Model {
        name: "laion/ViT-L-14",
        clip: Remote {
            file: "laion2B-ViT-L-14.bin",
            url: "https://huggingface.co/laion/CLIP-ViT-L-14-laion2B-s32B-b82K/resolve/main/open_clip_pytorch_model.bin",
            mirrors: &[],
            sha256: None,
            limit: 4096 * MIB,
        },
        patch: 14,
        activation: Activation::Gelu,
        activation_note: None,
        // By open_clip's registry; LAION's other CLIPs have CLIP's own.
        pixels: Some(PixelStatistics { mean: [0.5; 3], std: [0.5; 3] }),
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "trained by LAION on two billion pairs; joint width 768, no SimFeatUp; MIT licence; not tried here, no hash is pinned",
    },
    Model {
        name: "datacomp/ViT-B-16",
        clip: Remote {
            file: "datacomp-ViT-B-16.bin",
            url: "https://huggingface.co/laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K/resolve/main/open_clip_pytorch_model.bin",
            mirrors: &[],
            sha256: None,
            limit: 1024 * MIB,
        },
        patch: 16,
        activation: Activation::Gelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "trained on DataComp's filtered web images; MIT licence; not tried here, no hash is pinned",
    },
    Model {
        name: "datacomp/ViT-L-14",
        clip: Remote {
            file: "datacomp-ViT-L-14.bin",
            url: "https://huggingface.co/laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K/resolve/main/open_clip_pytorch_model.bin",
            mirrors: &[],
            sha256: None,
            limit: 4096 * MIB,
        },
        patch: 14,
        activation: Activation::Gelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "trained on DataComp's filtered web images; joint width 768, no upsampler; MIT licence; not tried here, no hash is pinned",
    },
    Model {
        name: "dfn/ViT-B-16",
        clip: Remote {
            file: "dfn2b-ViT-B-16.bin",
            url: "https://huggingface.co/apple/DFN2B-CLIP-ViT-B-16/resolve/main/open_clip_pytorch_model.bin",
            mirrors: &[],
            sha256: None,
            limit: 1024 * MIB,
        },
        patch: 16,
        activation: Activation::QuickGelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "trained by Apple on images that a network filtered; Apple's licence, for research; not tried here, no hash is pinned",
    },
    Model {
        name: "dfn/ViT-L-14",
        clip: Remote {
            file: "dfn2b-ViT-L-14.bin",
            url: "https://huggingface.co/apple/DFN2B-CLIP-ViT-L-14/resolve/main/open_clip_pytorch_model.bin",
            mirrors: &[],
            sha256: None,
            limit: 4096 * MIB,
        },
        patch: 14,
        activation: Activation::QuickGelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "trained by Apple on images that a network filtered; joint width 768, no upsampler; Apple's licence, for research; not tried here, no hash is pinned",
    },
    Model {
        name: "metaclip/ViT-B-16",
        clip: Remote {
            file: "metaclip-ViT-B-16.pt",
            url: "https://dl.fbaipublicfiles.com/MMPT/metaclip/b16_fullcc2.5b.pt",
            mirrors: &[],
            sha256: None,
            limit: 2048 * MIB,
        },
        patch: 16,
        activation: Activation::QuickGelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "trained by Meta on 2.5 billion pairs, one of the paper's other CLIPs; CC BY-NC 4.0; not tried here, no hash is pinned",
    },
    Model {
        name: "georsclip/ViT-H-14",
        clip: Remote {
            file: "GeoRSCLIP-RS5M_ViT-H-14.pt",
            url: "https://huggingface.co/Zilun/GeoRSCLIP/resolve/main/ckpt/RS5M_ViT-H-14.pt",
            mirrors: &[],
            sha256: None,
            limit: 8192 * MIB,
        },
        patch: 14,
        activation: Activation::Gelu,
        activation_note: Some(GEORSCLIP_H_ACTIVATION),
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "trained on five million remote-sensing images, the largest; joint width 1024, no upsampler; not tried here, no hash is pinned",
    },
    Model {
        name: "longclip/ViT-B-16",
        clip: Remote {
            file: "longclip-B.pt",
            url: "https://huggingface.co/BeichenZhang/LongCLIP-B/resolve/main/longclip-B.pt",
            mirrors: &[],
            sha256: None,
            limit: 2048 * MIB,
        },
        patch: 16,
        activation: Activation::QuickGelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "OpenAI's weights trained further for texts of up to 248 tokens; Apache-2.0; not tried here, no hash is pinned",
    },
    Model {
        name: "longclip/ViT-L-14",
        clip: Remote {
            file: "longclip-L.pt",
            url: "https://huggingface.co/BeichenZhang/LongCLIP-L/resolve/main/longclip-L.pt",
            mirrors: &[],
            sha256: None,
            limit: 4096 * MIB,
        },
        patch: 14,
        activation: Activation::QuickGelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "OpenAI's weights trained further for texts of up to 248 tokens; joint width 768, no upsampler; Apache-2.0; not tried here, no hash is pinned",
    },
    Model {
        name: "alignearth/ViT-B-16",
        clip: Remote {
            file: "AlignEarth-SAR-ViT-B-16.pt",
            url: "https://huggingface.co/likyoo/AlignEarth-SAR-ViT-B-16/resolve/main/AlignEarth-SAR-ViT-B-16.pt",
            mirrors: &[],
            sha256: None,
            limit: 2048 * MIB,
        },
        patch: 16,
        activation: Activation::Gelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "for radar images: fetch it with --attention sclip --attention-blocks 2; its licence is not stated; not tried here, no hash is pinned",
    },
    Model {
        name: "skyclip/ViT-L-14",
        clip: Remote {
            file: "SkyCLIP_ViT_L14_top30pct_filtered_by_CLIP_laion_RS_epoch_20.pt",
            // Its authors publish an archive of this file, which is to be unpacked first.
            url: "https://huggingface.co/furiousteabag/SkyCLIP/resolve/main/\
                  SkyCLIP_ViT_L14_top30pct_filtered_by_CLIP_laion_RS_epoch_20.pt",
            mirrors: &[],
            sha256: None,
            limit: 8192 * MIB,
        },
        patch: 14,
        activation: Activation::QuickGelu,
        activation_note: Some(SKYCLIP_L_ACTIVATION),
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "trained on remote-sensing images with words from OpenStreetMap; joint width 768, no SimFeatUp; MIT licence; a copy by others than \
               its authors; not tried here, no hash is pinned",
    },
    Model {
        name: "skyclip/ViT-B-32",
        clip: Remote {
            // An archive with a training checkpoint (`epoch_20.pt`), which is unpacked after the download.
            file: "SkyCLIP_ViT_B32_top50pct.zip",
            url: "https://opendatasharing.s3.us-west-2.amazonaws.com/SkyScript/ckpt/SkyCLIP_ViT_B32_top50pct.zip",
            mirrors: &[],
            sha256: None,
            limit: 4096 * MIB,
        },
        patch: 32,
        activation: Activation::Gelu,
        activation_note: Some(SKYCLIP_B_ACTIVATION),
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "trained on remote-sensing images with words from OpenStreetMap; MIT licence; its authors' archive of a training checkpoint; \
               not tried here, no hash is pinned",
    },
    Model {
        name: "dgtrs/ViT-B-16",
        clip: Remote {
            file: "LRSCLIP_ViT-B-16.pt",
            url: "https://huggingface.co/MitsuiChen14/DGTRS-CLIP-ViT-B-16/resolve/main/LRSCLIP_ViT-B-16.pt",
            mirrors: &["https://huggingface.co/cwz14/LRSCLIP_ViT-B-16/resolve/main/LRSCLIP_ViT-B-16.pt"],
            sha256: None,
            limit: 2048 * MIB,
        },
        patch: 16,
        activation: Activation::QuickGelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "Long-CLIP trained further on remote-sensing images with short and long texts; Apache-2.0; not tried here, no hash is pinned",
    },
    Model {
        name: "dgtrs/ViT-L-14",
        clip: Remote {
            file: "LRSCLIP_ViT-L-14.pt",
            url: "https://huggingface.co/MitsuiChen14/DGTRS-CLIP-ViT-L-14/resolve/main/LRSCLIP_ViT-L-14.pt",
            mirrors: &["https://huggingface.co/cwz14/LRSCLIP_ViT-L-14/resolve/main/LRSCLIP_ViT-L-14.pt"],
            sha256: None,
            limit: 4096 * MIB,
        },
        patch: 14,
        activation: Activation::QuickGelu,
        activation_note: None,
        pixels: None,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "Long-CLIP trained further on remote-sensing images with short and long texts; joint width 768, no SimFeatUp; Apache-2.0; not \
               tried here, no hash is pinned",
    },
];
