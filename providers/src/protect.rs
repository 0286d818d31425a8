//! Wrapping identities by a key that never leaves Vault or AWS, so that a Secret that holds one is of no use without them.
//!
//! What is wrapped is bound to the ring and the recipient that it was made for ([`Bond`]): the same bytes under another name,
//! or in another ring, are refused by whoever holds the key. Nothing that a provider says leaves this module.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use waxwing_core::{
    Secret,
    keys::{Identity, Recipient},
    store::{Failure, Kind},
};
use waxwing_crds::{Protection, ProtectionKind, WrappedBy};

use crate::{References, connect::Place};

/// What a wrapped identity belongs to. Vault gets it as associated data, AWS KMS as encryption context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bond {
    /// The name of the KeyRing.
    pub ring: String,
    /// The identity's recipient, `age1…`.
    pub recipient: String,
}

impl Bond {
    /// As Vault's associated data: two lines, which are also what to give Vault to open it by hand.
    #[must_use]
    pub fn associated_data(&self) -> String {
        format!("{RING}={}\n{RECIPIENT}={}\n", self.ring, self.recipient)
    }

    /// As the encryption context of AWS KMS, which its policies can ask for.
    #[must_use]
    pub fn context(&self) -> [(&'static str, &str); 2] {
        [(RING, &self.ring), (RECIPIENT, &self.recipient)]
    }
}

/// What wrapping gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Which key it is wrapped by: the name of Vault's, the ARN of AWS's.
    pub key: String,
    /// The wrapped bytes, as text.
    pub text: String,
}

/// A key that wraps and unwraps, and who may use it. It logs in when it is first used, and again when it has to.
#[async_trait]
pub trait Protector: Send + Sync {
    /// What kind of key it is.
    fn kind(&self) -> ProtectionKind;

    /// Wraps an identity.
    ///
    /// # Errors
    /// When the key can't be had, or may not be used.
    async fn wrap(&self, identity: &Secret, bond: &Bond) -> Result<Wrapped, Failure>;

    /// Unwraps an identity by the key that wrapped it.
    ///
    /// # Errors
    /// When the key can't be had, or may not be used, or did not wrap this for this ring and recipient.
    async fn unwrap(&self, wrapped: &Wrapped, bond: &Bond) -> Result<Secret, Failure>;
}

/// Makes the protector for one kind of key. Nobody is asked for anything yet: the credentials are read and the login is made
/// when it is first used.
///
/// `references` reads what the block refers to: in the operator, the Secrets and ServiceAccounts of its own namespace; on an
/// administrator's machine, whatever they log in with (and `place.ambient` lets AWS's usual environment be used).
///
/// # Errors
/// `BadStore` when there is no block for this kind or it makes no sense, `EndpointRefused` when it may not name the host,
/// `Unsupported` when this program was built without it.
pub fn connect(
    protection: &Protection,
    kind: ProtectionKind,
    place: &Place,
    references: Arc<dyn References>,
) -> Result<Arc<dyn Protector>, Failure> {
    match kind {
        ProtectionKind::None => Err(bad("this identity is not wrapped")),
        ProtectionKind::VaultTransit => {
            let block = protection.vault_transit.as_ref().ok_or(bad(NO_TRANSIT))?;
            #[cfg(feature = "vault")]
            return crate::vault::protector(block, place, references);
            #[cfg(not(feature = "vault"))]
            return without((block, place, references));
        }
        ProtectionKind::AwsKms => {
            let block = protection.aws_kms.as_ref().ok_or(bad(NO_KMS))?;
            #[cfg(feature = "aws")]
            return crate::aws::protector(block, place, references);
            #[cfg(not(feature = "aws"))]
            return without((block, place, references));
        }
    }
}

#[cfg(not(all(feature = "aws", feature = "vault")))]
fn without<T>(_: T) -> Result<Arc<dyn Protector>, Failure> {
    let what = "this program was built without this provider; build it with the cargo feature of its name";
    Err(Failure::new(Kind::Unsupported, what))
}

/// Opens one identity as its Secret has it: `text` is what is wrapped, `recipient` whose it is said to be, and `ring` the
/// KeyRing that it is wanted for, which is never taken from the Secret. `None` when it holds something else than it says.
///
/// # Errors
/// As for [`Protector::unwrap`].
pub async fn open(
    protector: &dyn Protector,
    by: &WrappedBy,
    text: &str,
    recipient: &Recipient,
    ring: &str,
) -> Result<Option<Identity>, Failure> {
    let bond = Bond { ring: ring.to_owned(), recipient: recipient.to_string() };
    let wrapped = Wrapped { key: by.key.clone(), text: text.to_owned() };
    let text = protector.unwrap(&wrapped, &bond).await?;
    // Why exposed: to be parsed.
    let identity = std::str::from_utf8(text.expose()).ok().and_then(|text| Identity::parse(text).ok());
    Ok(identity.filter(|identity| identity.recipient() == recipient))
}

/// Asks, and asks again for as long as time alone may help and not much of it.
#[cfg_attr(not(any(feature = "aws", feature = "vault")), expect(dead_code, reason = "nobody is asked"))]
pub(crate) async fn asked<T, F>(call: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let (mut pause, begun) = (FIRST_PAUSE, tokio::time::Instant::now());
    for _ in 1..TRIES {
        match call().await {
            Err(failure)
                if matches!(failure.kind, Kind::Unavailable | Kind::Throttled)
                    && begun.elapsed() < LONGEST =>
            {
                let wanted = failure.retry_after.unwrap_or(pause);
                if wanted > LONGEST_PAUSE {
                    return Err(failure);
                }
                // Half of it and up to as much again, so that replicas don't ask in step.
                tokio::time::sleep(wanted.max(pause).mul_f64(0.5 + fastrand::f64())).await;
                pause *= 2;
            }
            result => return result,
        }
    }
    call().await
}

const fn bad(what: &'static str) -> Failure {
    Failure::new(Kind::BadStore, what)
}

/// The name of the ring, to whoever holds the key.
const RING: &str = "waxwing.dev/keyring";
/// The name of the recipient.
const RECIPIENT: &str = "waxwing.dev/recipient";

/// How often a request is tried at most.
const TRIES: u32 = 3;
/// After how long a request is not tried again.
const LONGEST: Duration = Duration::from_secs(5);
/// How long is waited before the second try, and at most before any.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

const NO_TRANSIT: &str = "spec.protection.vaultTransit is not there, and by it an identity is wrapped";
const NO_KMS: &str = "spec.protection.awsKms is not there, and by it an identity is wrapped";

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::references::tests::Nothing;

    #[test]
    fn a_bond_says_ring_and_recipient_in_lines_that_no_name_can_forge() {
        let bond = Bond { ring: "default".to_owned(), recipient: "age1abc".to_owned() };
        assert_eq!(bond.associated_data(), "waxwing.dev/keyring=default\nwaxwing.dev/recipient=age1abc\n");
        assert_eq!(
            bond.context(),
            [("waxwing.dev/keyring", "default"), ("waxwing.dev/recipient", "age1abc")]
        );
    }

    #[test]
    fn a_kind_without_its_block_is_refused() {
        let place =
            Place { namespace: None, store: "keyring".to_owned(), ambient: true, rules: Arc::default() };
        for kind in [ProtectionKind::None, ProtectionKind::VaultTransit, ProtectionKind::AwsKms] {
            let failure = connect(&Protection::default(), kind, &place, Arc::new(Nothing)).err();
            assert_eq!(failure.map(|failure| failure.kind), Some(Kind::BadStore), "{kind:?}");
        }
    }

    async fn tries(kind: Kind, retry_after: Option<u64>) -> u32 {
        let tried = Cell::new(0);
        let result: Result<(), Failure> = asked(|| {
            tried.set(tried.get() + 1);
            let failure = Failure::new(kind, "no").after(retry_after.map(Duration::from_secs));
            std::future::ready(Err(failure))
        })
        .await;
        assert_eq!(result.err().map(|failure| failure.kind), Some(kind));
        tried.get()
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_time_can_repair_is_asked_again_and_not_for_long() {
        assert_eq!(tries(Kind::Unavailable, None).await, TRIES);
        assert_eq!(tries(Kind::Throttled, Some(1)).await, TRIES);
        assert_eq!(tries(Kind::Throttled, Some(60)).await, 1);
        for kind in [Kind::Forbidden, Kind::Rejected, Kind::Sealed, Kind::Untrusted, Kind::Unauthenticated] {
            assert_eq!(tries(kind, None).await, 1, "{kind:?}");
        }
    }
}
