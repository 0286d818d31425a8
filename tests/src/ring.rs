//! Sealing for a ring, as a developer with the CLI would.

use std::time::{SystemTime, UNIX_EPOCH};

use kube::api::ObjectMeta;
use kube::{Api, Client};
use waxwing_core::Secret;
use waxwing_core::keys::{NamedRecipient, Recipient};
use waxwing_core::seal::{Binding, Scope, Sealed};
use waxwing_crds::{ConditionType, KeyRing, KeyState, SealedSecret, SealedSecretSpec, conditions};

use crate::wait;

/// What a developer seals for.
#[derive(Clone, Debug)]
pub struct Ring {
    recipients: Vec<NamedRecipient>,
}

impl Ring {
    /// Waits until a KeyRing is ready with one active key, and takes what it publishes.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn published(client: &Client, name: &str) -> Self {
        let api: Api<KeyRing> = Api::all(client.clone());
        let what = "is ready, with one active key";
        let ring = wait::until(&api, name, what, |ring: Option<&KeyRing>| ring.is_some_and(is_serving)).await;
        let active = keys_in(&ring, KeyState::Active).remove(0);
        let mut recipients = vec![named("ring", &active)];
        recipients.extend(ring.spec.recipients.iter().map(|other| named(&other.name, &other.recipient)));
        Self { recipients }
    }

    /// A ring of given recipients only.
    #[must_use]
    pub fn of(recipients: Vec<NamedRecipient>) -> Self {
        Self { recipients }
    }

    /// The recipients.
    #[must_use]
    pub fn recipients(&self) -> &[NamedRecipient] {
        &self.recipients
    }

    /// A strict, opaque SealedSecret.
    #[must_use]
    pub fn seal(&self, namespace: &str, name: &str, values: &[(&str, &str)]) -> SealedSecret {
        self.seal_as(&binding(namespace, name), values, now())
    }

    /// A SealedSecret of the given scope and type, at the given time.
    #[must_use]
    pub fn seal_as(&self, binding: &Binding, values: &[(&str, &str)], now: i64) -> SealedSecret {
        let mut sealed = SealedSecret::new(&binding.name, SealedSecretSpec::default());
        sealed.metadata = ObjectMeta {
            name: Some(binding.name.clone()),
            namespace: Some(binding.namespace.clone()),
            ..Default::default()
        };
        self.write(Sealed::empty(binding.clone()), &mut sealed, values, now);
        sealed
    }

    /// Sets values of an existing one: one new envelope, and other tokens stay as they are.
    ///
    /// # Panics
    /// When it is not one that could be opened here.
    pub fn set(&self, sealed: &mut SealedSecret, values: &[(&str, &str)]) {
        self.write(parse(sealed), sealed, values, now());
    }

    fn write(&self, mut content: Sealed, object: &mut SealedSecret, values: &[(&str, &str)], now: i64) {
        let values: Vec<_> = values
            .iter()
            .map(|(key, value)| (key.parse().expect("a data key"), Secret::new(value.as_bytes().to_vec())))
            .collect();
        content.seal(&values, &self.recipients, now).expect("the values can be sealed");
        content.write_into(&mut object.spec);
    }
}

/// The sealed part of an object.
///
/// # Panics
/// When it does not parse.
#[must_use]
pub fn parse(object: &SealedSecret) -> Sealed {
    let namespace = object.metadata.namespace.as_deref().expect("a namespace");
    let name = object.metadata.name.as_deref().expect("a name");
    Sealed::parse(&object.spec, namespace, name).expect("a sealed part")
}

/// Scope strict, type Opaque.
#[must_use]
pub fn binding(namespace: &str, name: &str) -> Binding {
    Binding {
        scope: Scope::Strict,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        secret_type: "Opaque".to_owned(),
    }
}

/// A recipient with a name.
///
/// # Panics
/// When either is malformed.
#[must_use]
pub fn named(name: &str, recipient: &str) -> NamedRecipient {
    let recipient: Recipient = recipient.parse().expect("a recipient");
    NamedRecipient::new(name, recipient).expect("a recipient's name")
}

/// The ring's keys in one state.
#[must_use]
pub fn keys_in(ring: &KeyRing, state: KeyState) -> Vec<String> {
    let keys = ring.status.iter().flat_map(|status| &status.keys);
    keys.filter(|key| key.state == state).map(|key| key.recipient.clone()).collect()
}

/// Whether it is ready at its generation, with exactly one active key.
#[must_use]
pub fn is_serving(ring: &KeyRing) -> bool {
    let ready = ring.status.as_ref().is_some_and(|status| {
        status.observed_generation == ring.metadata.generation
            && conditions::is_true(&status.conditions, ConditionType::Ready)
    });
    ready && keys_in(ring, KeyState::Active).len() == 1
}

/// Unix seconds.
///
/// # Panics
/// When the clock is before 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_secs()).expect("seconds fit")
}
