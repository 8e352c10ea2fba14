//! The server on real sockets of the loopback, with clients that no one here wrote: rustls, hyper, h2.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod abuse;
mod backend;
mod connections;
mod drain;
mod limits;
mod proxy_protocol;
mod serving;
mod sleep;
mod sockets;
mod tables;
mod tls;
mod world;
