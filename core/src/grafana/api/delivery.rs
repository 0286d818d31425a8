//! Whether notifications arrive: `lastNotifyAttemptError` of Grafana's own Alertmanager.
//!
//! The text of that error may hold the whole address of a webhook, so it is not kept: only that there is one.

use serde::Deserialize;

use super::{Answer, Method, Refusal, Request};

/// How an integration of a contact point fared at its last attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The name of the contact point.
    pub contact_point: String,
    /// The number of the integration in it.
    pub integration: usize,
    /// When it last tried, as Grafana writes it; none where it never has.
    pub attempted: Option<String>,
    /// Whether that failed.
    pub is_failing: bool,
}

/// Asks how all of an organisation fare.
#[must_use]
pub fn deliveries(org: i64) -> Request {
    Request::new(Method::Get, "/api/alertmanager/grafana/config/api/v1/receivers".to_owned(), org)
}

/// What the answer says.
///
/// # Errors
/// Grafana refuses, or answers something else.
pub fn deliveries_of(answer: Answer<'_>) -> Result<Vec<Delivery>, Refusal> {
    let found = answer.found()?.ok_or(Refusal::Status(404))?;
    let receivers = Vec::<Receiver>::deserialize(found).map_err(|_| Refusal::Unreadable)?;
    let one = |receiver: Receiver| {
        let name = receiver.name;
        receiver.integrations.into_iter().enumerate().map(move |(integration, it)| Delivery {
            contact_point: name.clone(),
            integration,
            attempted: it.last_notify_attempt.filter(|time| is_time(time)),
            is_failing: it.last_notify_attempt_error.is_some_and(|error| !error.is_empty()),
        })
    };
    Ok(receivers.into_iter().flat_map(one).collect())
}

/// A time, and not the one that means never.
fn is_time(text: &str) -> bool {
    text.len() <= 40
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.+TZ".contains(&byte))
        && !text.starts_with("0001-01-01")
}

#[derive(Deserialize)]
struct Receiver {
    name: String,
    #[serde(default)]
    integrations: Vec<Integration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Integration {
    last_notify_attempt: Option<String>,
    last_notify_attempt_error: Option<String>,
}
