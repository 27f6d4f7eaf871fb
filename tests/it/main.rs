//! One executable that drives the real binary and checks the network against the authors' numbers.

mod meaning;
mod parity_binary;
mod parity_network;
mod workdir;
