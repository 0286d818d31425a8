//! The published vectors, read from `tests/vectors`: one file a case, a header, a blank line, the resource.

use std::{collections::BTreeMap, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use waxwing_crds::SealedSecret;

use super::Sealed;
use crate::{
    keys::{Identities, Identity},
    yaml,
};

struct Vector {
    file: String,
    header: BTreeMap<String, String>,
    resource: String,
}

#[expect(clippy::disallowed_methods, reason = "a test reads the vectors; core itself does no IO")]
fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../tests/vectors"].iter().collect()
}

fn vectors() -> Vec<Vector> {
    let files = folder().read_dir().unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| {
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = read(path);
            let (header, resource) = text.split_once("\n\n").unwrap();
            let header = header
                .lines()
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            Vector { file, header, resource: resource.to_owned() }
        })
        .collect()
}

/// What opening gives: the reason of the refusal, or the values.
fn outcome(vector: &Vector) -> Result<BTreeMap<String, String>, String> {
    let object: SealedSecret = yaml::from_str(&vector.resource).unwrap();
    let (namespace, name) = (object.metadata.namespace.unwrap(), object.metadata.name.unwrap());
    let identity = read(folder().join(format!("keys/{}.txt", vector.header["identity"])));
    let identities = Identities::from_iter([Identity::parse(&identity).unwrap()]);
    let now = vector.header["now"].parse().unwrap();

    let sealed =
        Sealed::parse(&object.spec, &namespace, &name).map_err(|e| e.reason().as_str().to_owned())?;
    let mut written = object.spec.clone();
    sealed.write_into(&mut written);
    assert_eq!(written, object.spec, "{}: what parses is written back unchanged", vector.file);

    let opened = sealed.open(&identities, now).map_err(|e| e.reason().as_str().to_owned())?;
    let encode = |value: &crate::Secret| BASE64_STANDARD.encode(value.expose());
    Ok(opened.values().iter().map(|(key, value)| (format!("value {key}"), encode(&value.value))).collect())
}

#[test]
fn every_vector_gives_what_its_header_expects() {
    let vectors = vectors();
    assert!(vectors.len() >= 30, "the vectors are missing: {}", vectors.len());
    for vector in vectors {
        match outcome(&vector) {
            Ok(values) => {
                assert_eq!(vector.header["expect"], "opens", "{}", vector.file);
                let expected = vector.header.iter().filter(|(name, _)| name.starts_with("value "));
                let expected: BTreeMap<_, _> = expected.map(|(k, v)| (k.clone(), v.clone())).collect();
                assert_eq!(values, expected, "{}", vector.file);
            }
            Err(reason) => assert_eq!(vector.header["expect"], reason, "{}", vector.file),
        }
    }
}

#[test]
fn the_sample_in_the_specification_is_a_vector() {
    let specification = read([env!("CARGO_MANIFEST_DIR"), "../docs/FORMAT.md"].iter().collect());
    let sample = read(folder().join("strict-two-keys.txt"));
    let (_, resource) = sample.split_once("\n\n").unwrap();
    assert!(specification.contains(resource));
}
