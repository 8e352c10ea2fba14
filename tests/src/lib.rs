//! What tests of the binary share.

pub mod binary;
