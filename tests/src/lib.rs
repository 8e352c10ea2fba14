//! What tests of the binary share.
//!
//! ```text
//! assets -> namespace (dns) -> cluster ---+--> helm, controllers, kubelet, balancer (what is installed runs)
//!                                         +-> site (objects, backends, Tidegates) -> scenarios, run on each kind of site
//! backend, client, load, relay, tls, traffic +
//!                                         +-> front (a Tidegate before addresses of the test's own, on ports that the system chose)
//! python, prometheus (peers that others wrote) +
//! ```

#![expect(clippy::indexing_slicing, reason = "a JSON value without the field is null, and in a test a panic is a failure")]

pub mod assets;
pub mod backend;
pub mod balancer;
pub mod binary;
pub mod cgroup;
pub mod client;
pub mod cluster;
pub mod controllers;
pub mod dns;
pub mod front;
pub mod helm;
pub mod kubelet;
pub mod load;
pub mod namespace;
pub mod object;
pub mod prometheus;
pub mod python;
pub mod relay;
pub mod rights;
pub mod run;
pub mod scenarios;
pub mod site;
pub mod tidegate;
pub mod tls;
pub mod traffic;
pub mod wait;
