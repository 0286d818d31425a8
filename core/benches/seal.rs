//! What the format costs: `cargo bench -p waxwing-core`. Figures stand in `docs/BENCHMARKS.md`.

use divan::{Bencher, black_box};
use waxwing_core::{
    Secret,
    keys::{Identities, Identity, NamedRecipient},
    seal::{Binding, DataKey, Scope, Sealed},
};
use waxwing_crds::SealedSecretSpec;

const NOW: i64 = 1_789_000_000;

fn main() {
    divan::main();
}

fn binding() -> Binding {
    Binding {
        scope: Scope::Strict,
        namespace: "monitoring".to_owned(),
        name: "receivers".to_owned(),
        secret_type: "Opaque".to_owned(),
    }
}

fn values(count: usize) -> Vec<(DataKey, Secret)> {
    (0..count)
        .map(|i| (format!("key-{i}").parse().expect("a good key"), Secret::new(vec![b'x'; 32])))
        .collect()
}

fn recipient(name: &str, identity: &Identity) -> NamedRecipient {
    NamedRecipient::new(name, identity.recipient().clone()).expect("a good name")
}

/// From the text of the spec to three values, with so many identities at hand; the one that opens is the oldest.
#[divan::bench(args = [1, 12, 120])]
fn open_three_values(bencher: Bencher, identities: usize) {
    let oldest = Identity::generate();
    let mut sealed = Sealed::empty(binding());
    sealed.seal(&values(3), &[recipient("prod", &oldest)], NOW).expect("seals");
    let mut spec = SealedSecretSpec::default();
    sealed.write_into(&mut spec);
    let others = (1..identities).map(|_| Identity::generate());
    let ring: Identities = others.chain([oldest]).collect();
    bencher.bench(|| {
        let sealed = Sealed::parse(black_box(&spec), "monitoring", "receivers").expect("parses");
        sealed.open(&ring, NOW).map(|opened| opened.values().len()).expect("opens")
    });
}

/// One sealing act of ten values.
#[divan::bench(args = [1, 3])]
fn seal_ten_values(bencher: Bencher, recipients: usize) {
    let to: Vec<_> = (0..recipients).map(|i| recipient(&format!("r{i}"), &Identity::generate())).collect();
    let values = values(10);
    bencher.bench(|| Sealed::empty(binding()).seal(black_box(&values), &to, NOW).expect("seals"));
}

/// Grammar and limits only, as `waxwing verify` does it.
#[divan::bench]
fn parse_three_values(bencher: Bencher) {
    let mut sealed = Sealed::empty(binding());
    sealed.seal(&values(3), &[recipient("prod", &Identity::generate())], NOW).expect("seals");
    let mut spec = SealedSecretSpec::default();
    sealed.write_into(&mut spec);
    bencher.bench(|| Sealed::parse(black_box(&spec), "monitoring", "receivers").is_ok());
}
