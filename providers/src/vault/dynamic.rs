//! Engines that make credentials when they are asked: databases, PKI and the like.

use serde::Deserialize;
use waxwing_core::{
    Secret,
    store::{Entry, Failure, Kind, Lease, Read},
};
use zeroize::Zeroizing;

use super::{
    Vault,
    answer::{Answer, Envelope},
    login::Pass,
    refusal,
    wire::At,
};
use crate::session::Session;

/// What tells how long an answer without a lease is good.
#[derive(Deserialize)]
struct Expiry {
    /// PKI: when the certificate expires, in seconds since 1970.
    expiration: Option<i64>,
    /// Static roles: seconds until the password is changed.
    ttl: Option<u64>,
    /// Only static roles have it, or a schedule.
    rotation_period: Option<u64>,
    rotation_schedule: Option<String>,
}

impl Vault {
    /// Has a value made. Parameters make the request a write.
    pub(super) async fn issue(&self, read: &Read) -> Result<Entry, Failure> {
        if read.metadata {
            return Err(Failure::new(Kind::Unsupported, "a dynamic engine has no metadata"));
        }
        if read.version.is_some() {
            return Err(Failure::new(Kind::Unsupported, "a dynamic engine has no versions"));
        }
        let path = self.locate(&read.key)?.whole();
        let request = match read.parameters.is_empty() {
            true => At::get(path),
            false => {
                let body = serde_json::to_vec(&read.parameters).map_err(|_| no_data())?;
                At::post(path, Zeroizing::new(body))
            }
        };
        let (answer, session) = self.ask_with(&request).await?;
        if answer.status == 404 {
            return Err(refusal::of_answer(&answer));
        }
        // A write that is only a write.
        if answer.body.is_empty() {
            return Err(no_data());
        }
        let envelope = answer.envelope()?;
        let data =
            envelope.data.map(|data| data.get()).filter(|data| data.starts_with('{')).ok_or_else(no_data)?;
        let lease = lease(&answer, &envelope, &session);
        Ok(Entry { value: Secret::new(data.as_bytes().to_vec()), version: None, lease })
    }

    /// Prolongs a lease of the present login.
    pub(super) async fn renew_lease(&self, lease: &Lease) -> Result<Lease, Failure> {
        let (id, login) = lease.id.rsplit_once('@').ok_or_else(gone)?;
        let session = self.live().await?;
        // It ends with the login that it came from, which is renewed no longer, whatever Vault says of the lease.
        if session.pass.mark != login {
            return Err(of_another_login());
        }
        let request = At::post("sys/leases/renew".to_owned(), lease_body(id)?);
        let (answer, session) = match self.ask_with(&request).await {
            Ok(asked) => asked,
            Err(failure) if failure.kind == Kind::Rejected => return Err(gone()),
            Err(failure) => return Err(failure),
        };
        if answer.status == 404 {
            return Err(refusal::of_answer(&answer));
        }
        let envelope = answer.envelope()?;
        if session.pass.mark != login {
            return Err(of_another_login());
        }
        let seconds = envelope.lease_duration.min(left(&session));
        Ok(Lease { id: lease.id.clone(), seconds, renewable: envelope.renewable })
    }

    /// Ends a lease. One that ended already is no failure.
    pub(super) async fn revoke_lease(&self, id: &str) -> Result<(), Failure> {
        let id = id.rsplit_once('@').map_or(id, |(id, _)| id);
        if id.is_empty() {
            return Ok(());
        }
        let answer = self.ask(&At::post("sys/leases/revoke".to_owned(), lease_body(id)?)).await?;
        if answer.is_ok() { Ok(()) } else { Err(refusal::of_answer(&answer)) }
    }
}

/// How long the answer is good. A lease's name gets a mark of the login, because it ends with it.
fn lease(answer: &Answer, envelope: &Envelope<'_>, session: &Session<Pass>) -> Option<Lease> {
    if !envelope.lease_id.is_empty() {
        let id = format!("{}@{}", envelope.lease_id, session.pass.mark);
        let seconds = envelope.lease_duration.min(left(session));
        return Some(Lease { id, seconds, renewable: envelope.renewable });
    }
    let expiry: Expiry = serde_json::from_str(envelope.data?.get()).ok()?;
    let seconds = match expiry {
        Expiry { expiration: Some(expiration), .. } => {
            let now = answer.date.unwrap_or_else(jiff::Timestamp::now).as_second();
            u64::try_from(expiration.saturating_sub(now)).unwrap_or(0)
        }
        // The new password is there a moment after the old one's time is over.
        Expiry { ttl: Some(ttl), rotation_period, rotation_schedule, .. }
            if rotation_period.is_some() || rotation_schedule.is_some() =>
        {
            ttl.saturating_add(1)
        }
        _ => return None,
    };
    Some(Lease { id: String::new(), seconds, renewable: false })
}

fn left(session: &Session<Pass>) -> u64 {
    session.left().map_or(u64::MAX, |left| left.as_secs())
}

fn lease_body(id: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let id = serde_json::to_string(id).map_err(|_| gone())?;
    Ok(Zeroizing::new(format!(r#"{{"lease_id":{id}}}"#).into_bytes()))
}

fn gone() -> Failure {
    Failure::new(Kind::EntryMissing, "the lease is over; ask for a new one")
}

fn of_another_login() -> Failure {
    Failure::new(Kind::EntryMissing, "the lease ends with an earlier login; ask for a new one")
}

fn no_data() -> Failure {
    Failure::new(Kind::BadData, "the answer holds no fields; the path may not be one that issues credentials")
}
