//! The operator: watches SealedSecrets, opens them into Secrets, keeps those right, and tells the truth about it.
//!
//! Everything that has an effect on a cluster is in this crate; every decision is in `waxwing_core::plan`.

pub mod api_error;
pub mod apply;
mod client;
pub mod context;
pub mod events;
pub mod flags;
mod harden;
mod http;
mod identities;
pub mod inject;
mod key_ring;
pub mod lease;
mod logs;
pub mod memories;
pub mod metrics;
mod outcome;
mod protection;
pub mod pull;
pub mod queue;
pub mod records;
pub mod ring;
pub mod run;
pub mod sealed_secret;
mod source;
mod status;
pub mod store;
mod target;
#[cfg(test)]
mod testing;
mod told;
mod watch;
mod workers;
