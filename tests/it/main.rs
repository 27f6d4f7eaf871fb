//! One executable that drives the real binary and checks the network against the authors' numbers.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking, also in their helpers"
)]

mod archives;
mod bad_input;
mod bad_models;
mod bands;
mod bench;
mod bundles;
mod change;
mod checkpoints;
mod corpus;
mod docs;
mod doctor;
mod embed;
mod fetch;
mod flow;
mod int8;
mod jobs;
mod joint;
mod labels;
mod learn;
mod learnt;
mod logs;
mod look;
mod masks;
mod meaning;
mod measure_gpu;
mod metres;
mod mutations;
mod outputs;
mod parity_binary;
mod parity_longclip;
mod parity_naf;
mod parity_network;
mod parity_protocol;
mod parity_variants;
mod recommended;
mod remote;
mod reproduce;
mod resume;
mod rooms;
mod scenes;
mod search;
mod serve;
mod serve_hostile;
mod serve_layers;
mod serve_page;
mod server;
mod shards;
mod upsampler;
mod workdir;
