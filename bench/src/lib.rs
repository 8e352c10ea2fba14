//! What Tidegate costs beside nginx, `HAProxy`, Envoy, Traefik and a bare hyper forwarder, measured in one paired run on this machine.
//!
//! | module | what it is for |
//! |---|---|
//! | [`run`] | the paired run: who is measured when |
//! | [`suites`] | what is measured |
//! | [`measure`] | one slice: load on one proxy, and what that cost |
//! | [`peers`] | how each proxy is installed, configured and started |
//! | [`process`] | what processes have used, as the kernel counts it |
//! | [`load`] | the generator |
//! | [`backend`] | the backend |
//! | [`floor`] | the bare hyper forwarder |
//! | [`report`] | tables, raw data, plot |
//! | [`gate`] | instructions per request, held against a budget |
//! | [`control`] | what a change of the cluster costs, and how soon it serves |
//! | [`soak`] | thousands of swaps under load, which must cost no request and no memory |

pub mod backend;
pub mod content;
pub mod control;
pub mod floor;
pub mod gate;
pub mod head;
pub mod load;
pub mod measure;
pub mod peers;
pub mod process;
pub mod report;
pub mod run;
pub mod soak;
pub mod suites;
pub mod tls;
