//! The models that are published, and where.
//!
//! A hash is pinned only where it is known for certain; nothing here is a guess. OpenAI's addresses contain the SHA-256 of
//! what they lead to.

use crate::network::checkpoint::Activation;

/// One published file.
#[derive(Debug)]
pub struct Remote {
    /// The name it is kept under.
    pub file: &'static str,
    pub url: &'static str,
    /// In lower-case hexadecimal digits; `None`: the publisher gives none.
    pub sha256: Option<&'static str>,
    /// More bytes than this are refused.
    pub limit: u64,
}

/// A published CLIP, and what goes with it.
#[derive(Debug)]
pub struct Model {
    /// `publisher/model`.
    pub name: &'static str,
    pub clip: Remote,
    pub activation: Activation,
    /// The merges that its text was cut up with.
    pub tokenizer: &'static Remote,
    /// Trained for this model's joint width.
    pub upsampler: Option<&'static Remote>,
    /// What a user should know before choosing it.
    pub note: &'static str,
}

const MIB: u64 = 1 << 20;

/// CLIP's BPE merges, from OpenAI's repository; the same file for every model here.
pub static VOCABULARY: Remote = Remote {
    file: "bpe_simple_vocab_16e6.txt.gz",
    url: "https://raw.githubusercontent.com/openai/CLIP/main/clip/bpe_simple_vocab_16e6.txt.gz",
    sha256: Some("924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"),
    limit: 4 * MIB,
};

/// SegEarth-OV's upsampler, `jbu_one` for a joint width of 512, from its authors' repository. They publish no hash; this one
/// is what several of their users have noted for the file at this commit.
pub static SIMFEATUP: Remote = Remote {
    file: "xclip_jbu_one_million_aid.ckpt",
    url: "https://raw.githubusercontent.com/likyoo/SegEarth-OV/3e22a969b32c6d751bdbba64a88a0b670e630f55/\
          simfeatup_dev/weights/xclip_jbu_one_million_aid.ckpt",
    sha256: Some("cabc594d0042535f3413ac89d5f0b8b3173aecf18e2e469fb91b015ea4de49d8"),
    limit: 64 * MIB,
};

pub static MODELS: [Model; 7] = [
    Model {
        name: "openai/ViT-B-16",
        clip: Remote {
            file: "openai-ViT-B-16.pt",
            url: "https://openaipublic.azureedge.net/clip/models/\
                  5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt",
            sha256: Some("5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
            limit: 1024 * MIB,
        },
        activation: Activation::QuickGelu,
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
            sha256: Some("40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
            limit: 1024 * MIB,
        },
        activation: Activation::QuickGelu,
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
            sha256: Some("b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
            limit: 4096 * MIB,
        },
        activation: Activation::QuickGelu,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "joint width 768, for which no upsampler is published",
    },
    Model {
        name: "remoteclip/ViT-B-32",
        clip: Remote {
            file: "RemoteCLIP-ViT-B-32.pt",
            url: "https://huggingface.co/chendelong/RemoteCLIP/resolve/main/RemoteCLIP-ViT-B-32.pt",
            sha256: None,
            limit: 2048 * MIB,
        },
        // Its authors have it loaded into open_clip's plain ViT-B-32.
        activation: Activation::Gelu,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "trained on remote-sensing images; the publisher gives no hash",
    },
    Model {
        name: "remoteclip/ViT-L-14",
        clip: Remote {
            file: "RemoteCLIP-ViT-L-14.pt",
            url: "https://huggingface.co/chendelong/RemoteCLIP/resolve/main/RemoteCLIP-ViT-L-14.pt",
            sha256: None,
            limit: 4096 * MIB,
        },
        activation: Activation::Gelu,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "trained on remote-sensing images; joint width 768, no upsampler; the publisher gives no hash",
    },
    Model {
        name: "georsclip/ViT-B-32",
        clip: Remote {
            file: "GeoRSCLIP-RS5M_ViT-B-32.pt",
            url: "https://huggingface.co/Zilun/GeoRSCLIP/resolve/main/ckpt/RS5M_ViT-B-32.pt",
            sha256: None,
            limit: 2048 * MIB,
        },
        // Its authors have it loaded over OpenAI's weights, which brings QuickGELU; SegEarth-OV ran it with the exact GELU.
        activation: Activation::QuickGelu,
        tokenizer: &VOCABULARY,
        upsampler: Some(&SIMFEATUP),
        note: "trained on five million remote-sensing images; the publisher gives no hash",
    },
    Model {
        name: "georsclip/ViT-L-14",
        clip: Remote {
            file: "GeoRSCLIP-RS5M_ViT-L-14.pt",
            url: "https://huggingface.co/Zilun/GeoRSCLIP/resolve/main/ckpt/RS5M_ViT-L-14.pt",
            sha256: None,
            limit: 4096 * MIB,
        },
        // Its authors do not say; as with their ViT-B-32.
        activation: Activation::QuickGelu,
        tokenizer: &VOCABULARY,
        upsampler: None,
        note: "trained on five million remote-sensing images; joint width 768, no upsampler; the publisher gives no hash",
    },
];
