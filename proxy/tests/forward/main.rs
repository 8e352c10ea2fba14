//! Forwarding, from a client's socket to a backend's and back.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod hardship;
mod http1;
mod http2;
mod record;
mod retry;
mod support;
mod upgrade;
