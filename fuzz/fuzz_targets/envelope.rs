//! An envelope around any age file either is refused or is written back unchanged; opening never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing_core::{
    keys::{Identities, Identity},
    seal::Sealed,
    yaml,
};
use waxwing_crds::SealedSecret;

/// A vector whose envelope is replaced, so that everything around it parses.
const VECTOR: &str = include_str!("../../tests/vectors/strict-two-keys.txt");
const IDENTITY: &str = include_str!("../../tests/vectors/keys/cluster.txt");

fuzz_target!(|age: &str| {
    let (_, resource) = VECTOR.split_once("\n\n").expect("a vector has a header");
    let mut object: SealedSecret = yaml::from_str(resource).expect("the vector parses");
    for envelope in object.spec.envelopes.values_mut() {
        envelope.age = age.to_owned();
    }
    if let Ok(sealed) = Sealed::parse(&object.spec, "monitoring", "receivers") {
        let mut written = object.spec.clone();
        sealed.write_into(&mut written);
        assert_eq!(written, object.spec);
        let identity = Identity::parse(IDENTITY).expect("the identity parses");
        let _ = sealed.open(&Identities::from_iter([identity]), 1_789_000_000);
    }
});
