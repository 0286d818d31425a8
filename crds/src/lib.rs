//! What Waxwing looks like from the Kubernetes API: the kinds of the group `waxwing.dev`, and the words that the
//! operator writes on objects (annotations, condition types, reasons). The CRD files and two reference pages are
//! generated from here. There is no client and no decision in this crate.

mod cluster_external_secret;
pub mod conditions;
pub mod duration;
mod external_secret;
mod injection;
mod key_ring;
mod lenient;
pub mod names;
mod protection;
mod reasons;
mod schema;
mod sealed_secret;
mod store;

pub use cluster_external_secret::*;
pub use conditions::ConditionType;
pub use external_secret::*;
pub use injection::*;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
pub use key_ring::{
    ClusterScopePolicy, KeyRing, KeyRingSpec, KeyRingStatus, KeyState, KubeconfigKey, RingKey, RingPolicy,
    RingRecipient, RollbackPolicy, RotatesAfter, Rotation,
};
pub use protection::{AwsKms, Protection, ProtectionKind, VaultTransit, WrappedBy};
pub use reasons::{Reason, Retry, Who};
pub use sealed_secret::{
    Applied, EnvelopeSpec, KeySeq, ProposedEnvelopes, SealedSecret, SealedSecretSpec, SealedSecretStatus,
    SealedTemplate, Source, TemplateMetadata,
};
pub use store::*;

#[cfg(test)]
mod tests;
