//! One executable that drives the real binary and checks the network against the authors' numbers.

mod archives;
mod bad_input;
mod bad_models;
mod bands;
mod bench;
mod bundles;
mod change;
mod checkpoints;
mod corpus;
mod fetch;
mod flow;
mod house;
mod jobs;
mod labels;
mod logs;
mod look;
mod masks;
mod meaning;
mod mutations;
mod parity_binary;
mod parity_network;
mod resume;
mod scenes;
mod shards;
mod upsampler;
mod workdir;
