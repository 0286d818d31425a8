//! What happens when credentials cannot be had.

use waxwing_crds::{InjectionPolicy, OnUnresolved, duration};

use super::Fault;

/// For how long the last good value of a credential is taken, where the spec does not say.
const MAX_STALE: i64 = 72 * 3600;
/// How many revisions are kept, where the spec does not say.
const HISTORY: u8 = 5;
/// Seconds between two looks at the entries of stores, where the spec does not say.
const REFRESH: i64 = 3600;

/// What happens when credentials cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What becomes of a credential that cannot be had.
    pub on_unresolved: OnUnresolved,
    /// The receiver whose integrations one gets that has none left.
    pub fallback: Option<String>,
    /// For how many seconds the last good value of a credential is no trouble yet.
    pub max_stale: i64,
    /// How many revisions are kept.
    pub history: usize,
}

impl Policy {
    /// # Errors
    /// A duration that is none.
    pub(super) fn read(policy: Option<&InjectionPolicy>) -> Result<Self, Fault> {
        let none = InjectionPolicy::default();
        let policy = policy.unwrap_or(&none);
        Ok(Self {
            on_unresolved: policy.on_unresolved.unwrap_or_default(),
            fallback: policy.fallback_receiver.clone(),
            max_stale: seconds(policy.max_stale.as_deref(), "policy.maxStale", MAX_STALE)?,
            history: policy.history.unwrap_or(HISTORY).max(1).into(),
        })
    }
}

/// The seconds of `refreshInterval`.
pub(super) fn refresh(interval: Option<&str>) -> Result<i64, Fault> {
    seconds(interval, "refreshInterval", REFRESH)
}

/// The seconds of a duration.
pub(super) fn seconds(text: Option<&str>, field: &str, default: i64) -> Result<i64, Fault> {
    let Some(text) = text else { return Ok(default) };
    let duration = duration::parse(text).map_err(|error| Fault::spec(format!("{field}: {error}")))?;
    Ok(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
}
