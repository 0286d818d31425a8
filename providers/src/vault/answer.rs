//! What Vault answers: a status, a few headers, and a JSON document that stays as it came.
//!
//! Values and tokens are borrowed from the body, which is wiped; nothing of it is decoded that is not needed. What
//! Vault says in words is searched for a few fixed fragments and goes no further.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::value::RawValue;
use waxwing_core::store::{Failure, Kind};
use zeroize::Zeroizing;

/// An answer, whatever its status.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// How long Vault wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// `X-Vault-Index`: how far the node that answered had got.
    pub(super) index: Option<HeaderValue>,
    /// The server's clock. Expiry times are compared with it, so that a wrong clock of ours does no harm.
    pub(super) date: Option<Timestamp>,
    /// The body.
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// The document around every answer. What is absent is empty.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Envelope<'a> {
    /// What was asked for.
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    /// What a login or a renewal of a token gave.
    #[serde(borrow)]
    pub(super) auth: Option<Auth<'a>>,
    /// The lease's name.
    pub(super) lease_id: String,
    /// Its seconds.
    pub(super) lease_duration: u64,
    /// Whether it, not the token, can be prolonged.
    pub(super) renewable: bool,
    #[serde(borrow)]
    warnings: Option<&'a RawValue>,
    #[serde(borrow)]
    errors: Option<&'a RawValue>,
}

/// What a login gave.
#[derive(Deserialize)]
pub(super) struct Auth<'a> {
    /// The token. Vault's tokens hold no character that JSON escapes, so it can be borrowed and leaves no copy.
    pub(super) client_token: &'a str,
    /// The name by which a token can be spoken of; batch tokens have none.
    #[serde(default)]
    pub(super) accessor: String,
    /// Its seconds; 0 where it does not expire.
    #[serde(default)]
    pub(super) lease_duration: u64,
    /// Whether it can be prolonged.
    #[serde(default)]
    pub(super) renewable: bool,
}

impl Answer {
    /// Whether it is what was asked for.
    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The document.
    ///
    /// # Errors
    /// `Unavailable` when it is none: something else answers at this address.
    pub(super) fn envelope(&self) -> Result<Envelope<'_>, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| self.not_vault())
    }

    /// What was asked for, in its own shape.
    ///
    /// # Errors
    /// `Unavailable` when it does not have that shape.
    pub(super) fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        let data = self.envelope()?.data.ok_or_else(|| self.not_vault())?;
        serde_json::from_str(data.get()).map_err(|_| self.not_vault())
    }

    /// Whether Vault's own words hold this. They are compared as JSON has them, so the fragment must need no escape.
    pub(super) fn says(&self, fragment: &str) -> bool {
        let Ok(envelope) = self.envelope() else { return false };
        [envelope.errors, envelope.warnings].into_iter().flatten().any(|words| words.get().contains(fragment))
    }

    /// Whether it has Vault's form for "there is nothing": a list of errors without any.
    pub(super) fn is_nothing(&self) -> bool {
        let Ok(envelope) = self.envelope() else { return false };
        let Some(errors) = envelope.errors else { return false };
        envelope.data.is_none()
            && envelope.warnings.is_none()
            && serde_json::from_str::<[(); 0]>(errors.get()).is_ok()
    }

    /// Something else than Vault answers.
    pub(super) fn not_vault(&self) -> Failure {
        Failure::new(Kind::Unavailable, "the answer is not one of Vault").with_code(self.status)
    }
}

#[cfg(test)]
pub(super) fn answer(status: u16, body: &str) -> Answer {
    let body = Zeroizing::new(body.as_bytes().to_vec());
    Answer { status, retry_after: None, index: None, date: None, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_an_empty_list_of_errors_and_nothing_else() {
        assert!(answer(404, r#"{"errors":[]}"#).is_nothing());
        assert!(!answer(404, r#"{"errors":["no handler for route"]}"#).is_nothing());
        assert!(!answer(404, r#"{"errors":[],"warnings":["Invalid path"]}"#).is_nothing());
        assert!(!answer(404, r#"{"data":{"data":null}}"#).is_nothing());
        assert!(!answer(404, "<html>not found</html>").is_nothing());
        assert!(!answer(404, "").is_nothing());
    }

    #[test]
    fn data_stays_as_it_came() {
        let answer = answer(200, r#"{"data":{"n": 1.50,"t":"a\u0041"},"lease_id":"","renewable":false}"#);
        let data = answer.envelope().unwrap().data.unwrap();
        assert_eq!(data.get(), r#"{"n": 1.50,"t":"a\u0041"}"#);
    }

    #[test]
    fn words_are_searched_in_errors_and_warnings_alone() {
        let answer = answer(503, r#"{"errors":["Vault is sealed"],"data":{"x":"no handler for route"}}"#);
        assert!(answer.says("Vault is sealed"));
        assert!(!answer.says("no handler for route"));
    }
}
