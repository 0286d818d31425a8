//! The sealed format and every decision of Waxwing.
//!
//! Nothing here does IO, awaits, logs, or reads a clock or the environment: time comes in as
//! `now`. The one exception is OS randomness, in [`random`]; `clippy.toml` holds that.

pub mod alertmanager;
pub mod backup;
pub mod config;
pub mod external;
pub mod grafana;
pub mod identity_secret;
pub mod inject;
pub mod injection;
pub mod keys;
pub mod manifest;
pub mod plan;
pub mod random;
pub mod seal;
mod secret;
pub mod store;
pub mod template;
pub mod yaml;

pub use secret::Secret;
