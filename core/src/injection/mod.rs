//! Injections, from their spec to what is published: one place for the operator, `waxwing render` and `waxwing check`.

pub mod alertmanager;
mod canary;
pub mod grafana;
pub mod include;
mod origin;
pub mod plan;
mod policy;
mod refused;
mod set;
pub mod status;
mod value;

use waxwing_crds::Reason;

pub use canary::Canary;
pub use origin::{Origin, OriginKind};
pub use policy::Policy;
pub use refused::Refused;
pub use set::Set;
pub use value::value;

/// Why an injection cannot be what it says: a phrase that never shows a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The reason that conditions and metrics show.
    pub reason: Reason,
    /// What is wrong, and where.
    pub message: String,
}

impl Fault {
    /// The spec itself is wrong.
    pub fn spec(message: impl Into<String>) -> Self {
        Self { reason: Reason::InvalidSpec, message: message.into() }
    }
}
