//! The format's promises, one test each; ids are those of `SECURITY.md`.

mod bounds;
mod edits;
mod properties;
mod refused;

use std::collections::BTreeMap;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use proptest::prelude::*;
use waxwing_crds::{EnvelopeSpec, Reason, SealedSecretSpec};

use super::{dek::Dek, *};
use crate::{
    Secret,
    keys::{Identities, Identity, NamedRecipient},
};

const NOW: i64 = 1_789_000_000;

struct Ring {
    identity: Identity,
    recipients: Vec<NamedRecipient>,
}

impl Ring {
    fn new() -> Self {
        let identity = Identity::generate();
        let recipients = vec![named("prod-eu", &identity)];
        Self { identity, recipients }
    }

    fn identities(&self) -> Identities {
        Identities::from_iter([self.identity.clone()])
    }
}

fn named(name: &str, identity: &Identity) -> NamedRecipient {
    NamedRecipient::new(name, identity.recipient().clone()).unwrap()
}

fn key(name: &str) -> DataKey {
    name.parse().unwrap()
}

fn binding(scope: Scope) -> Binding {
    Binding {
        scope,
        namespace: "monitoring".to_owned(),
        name: "receivers".to_owned(),
        secret_type: "Opaque".to_owned(),
    }
}

fn value(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

/// Two values of one sealing act.
fn sealed(ring: &Ring) -> Sealed {
    let mut sealed = Sealed::empty(binding(Scope::Strict));
    let values = [(key("a"), value("alpha")), (key("b"), value("beta"))];
    sealed.seal(&values, &ring.recipients, NOW).unwrap();
    sealed
}

fn spec(sealed: &Sealed) -> SealedSecretSpec {
    let mut spec = SealedSecretSpec::default();
    sealed.write_into(&mut spec);
    spec
}

fn parse(spec: &SealedSecretSpec) -> Result<Sealed, FormatError> {
    Sealed::parse(spec, "monitoring", "receivers")
}

/// Parses as `namespace/name` and opens: the reason why it does not.
fn refused(spec: &SealedSecretSpec, place: (&str, &str), ring: &Ring) -> Option<Reason> {
    match Sealed::parse(spec, place.0, place.1) {
        Err(error) => Some(error.reason()),
        Ok(sealed) => sealed.open(&ring.identities(), NOW).err().map(|error| error.reason()),
    }
}

const HERE: (&str, &str) = ("monitoring", "receivers");
