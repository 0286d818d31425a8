//! Alertmanager's configuration: what it takes, what it would do with an alert, and what Waxwing makes of it.

pub mod capability;
pub(crate) mod duration;
pub mod gotemplate;
pub mod interval;
pub mod loaded;
pub mod matcher;
pub mod render;
pub mod route;
pub mod schema;
pub mod validate;
pub mod version;

pub use version::Version;
