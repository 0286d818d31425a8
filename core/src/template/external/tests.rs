//! Templates of ExternalSecrets: what they make, what they refuse, what they cost at most, and what their errors tell.

mod bounds;
mod filters;
mod language;
mod leaks;
mod pkcs12;
mod reference;

use super::*;

const CERT: &str = include_str!("tests/leaf.pem");
const CA: &str = include_str!("tests/ca.pem");
const KEY: &str = include_str!("tests/key.pem");
const EC_KEY: &str = include_str!("tests/ec-sec1.pem");
const RSA_KEY: &str = include_str!("tests/rsa.pem");
const RSA_PKCS1: &str = include_str!("tests/rsa-pkcs1.pem");

const PLACE: Place<'_> = Place { namespace: "shop", name: "web" };

fn key(name: &str) -> DataKey {
    name.parse().unwrap()
}

fn data(values: &[(&str, &[u8])]) -> Data {
    values.iter().map(|(name, value)| (key(name), Secret::new(value.to_vec()))).collect()
}

/// The values that most tests, and the reference page, use.
fn values() -> Data {
    data(&[
        ("user", b"joe"),
        ("password", b"s3cr\"t/1"),
        ("tls.crt", b"CERT"),
        ("hosts", b"a.example,b.example"),
        ("config", br#"{"port": 5432, "tls": true, "hosts": ["a", "b"], "none": null, "in": {"x": "y"}}"#),
        ("text", b"  two\nlines "),
        ("bin", b"\xff\xfe"),
        ("empty", b""),
        ("cert", [CERT, CA].concat().as_bytes()),
        ("key", KEY.as_bytes()),
    ])
}

fn parse(source: &str) -> Result<ExternalTemplates, TemplateError> {
    ExternalTemplates::parse(BTreeMap::from([(key("out"), source.to_owned())]))
}

fn bytes(source: &str, values: &Data) -> Result<Vec<u8>, TemplateError> {
    let rendered = parse(source)?.render(values, PLACE)?;
    Ok(rendered.get("out").unwrap().expose().to_vec())
}

fn render(source: &str, values: &Data) -> Result<String, TemplateError> {
    bytes(source, values).map(|bytes| String::from_utf8(bytes).unwrap())
}

fn check(source: &str, expected: &str) {
    assert_eq!(render(source, &values()).as_deref(), Ok(expected), "{source}");
}

/// Refused when the resource is read.
fn refused(source: &str, fault: Fault) {
    assert_eq!(parse(source).map_err(|error| error.fault), Err(fault), "{source}");
}

/// Fails with these values.
fn fails(source: &str, fault: Fault) {
    assert!(parse(source).is_ok(), "{source}");
    assert_eq!(render(source, &values()).map_err(|error| error.fault), Err(fault), "{source}");
}
