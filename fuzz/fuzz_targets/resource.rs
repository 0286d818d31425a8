//! Any YAML text: parsing, checking and opening never panic, and what parses is written back unchanged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing_core::{
    keys::{Identities, Identity},
    seal::Sealed,
    yaml,
};
use waxwing_crds::SealedSecret;

const IDENTITY: &str = include_str!("../../tests/vectors/keys/cluster.txt");

fuzz_target!(|text: &str| {
    let Ok(object) = yaml::from_str::<SealedSecret>(text) else { return };
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    if let Ok(sealed) = Sealed::parse(&object.spec, namespace, name) {
        let mut written = object.spec.clone();
        sealed.write_into(&mut written);
        assert_eq!(written.data, object.spec.data);
        assert_eq!(written.envelopes, object.spec.envelopes);
        let identity = Identity::parse(IDENTITY).expect("the identity parses");
        let _ = sealed.open(&Identities::from_iter([identity]), 1_789_000_000);
    }
});
