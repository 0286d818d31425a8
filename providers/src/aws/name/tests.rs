use std::collections::BTreeMap;

use super::*;

fn names(prefix: &str, service: Service) -> Names {
    Names::new(Some(prefix), service).unwrap()
}

fn check(service: Service, prefix: &str, key: &str, expected: &str) {
    let id = names(prefix, service).id(key);
    assert_eq!(id.as_deref().map_err(|failure| failure.kind), Ok(expected), "{key}");
}

fn refused(service: Service, prefix: &str, key: &str) {
    let id = names(prefix, service).id(key);
    assert_eq!(id.map_err(|failure| failure.kind), Err(Kind::Rejected), "{key}");
}

const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/db-a1B2c3";
const PARAMETER: &str = "arn:aws:ssm:eu-central-1:123456789012:parameter/app/db";

#[test]
fn names_and_arns_are_asked_for_as_they_are() {
    check(Service::SecretsManager, "", "app/db_+=.@-1", "app/db_+=.@-1");
    check(Service::SecretsManager, "", SECRET, SECRET);
    check(Service::ParameterStore, "", "/app/db", "/app/db");
    check(Service::ParameterStore, "", PARAMETER, PARAMETER);
    check(Service::ParameterStore, "/team-a/", "db", "/team-a/db");
}

/// A grant is checked on the key as it is written, so a key has to mean one version of one entry only.
#[test]
fn what_is_no_name_is_refused_before_it_spoils_a_batch() {
    for key in ["", "app db", "app/db\n", "app/db:3", "app/db?", "\u{e4}", "*"] {
        refused(Service::SecretsManager, "", key);
        refused(Service::ParameterStore, "", key);
    }
    refused(Service::ParameterStore, "", &format!("{PARAMETER}:3"));
    refused(Service::ParameterStore, "", "app+db");
    refused(Service::SecretsManager, "", &"a".repeat(2049));
}

/// K05. Guard: an ARN is refused where there is a prefix, or it would lead out of it.
#[test]
fn nothing_outside_of_the_prefix_can_be_named() {
    refused(Service::SecretsManager, "team-a/", SECRET);
    refused(Service::ParameterStore, "/team-a/", PARAMETER);
    assert!(Names::new(Some("arn:aws:"), Service::SecretsManager).is_err());
    let names = names("team-a/", Service::SecretsManager);
    let find = Find { path: Some("team-b".to_owned()), ..Find::default() };
    let search = names.search(&find).unwrap();
    assert_eq!(search.start, "team-a/team-b/");
    assert_eq!(search.key("team-b/db"), None);
}

fn found(prefix: &str, path: Option<&str>, name: Option<&str>) -> Vec<String> {
    let names = names(prefix, Service::SecretsManager);
    let find = Find { path: path.map(str::to_owned), name: name.map(str::to_owned), tags: BTreeMap::new() };
    let search = names.search(&find).unwrap();
    ["team/db", "team/web/key", "team-b/db", "team"].into_iter().filter_map(|name| search.key(name)).collect()
}

#[test]
fn a_search_gives_keys_as_a_resource_would_write_them() {
    assert_eq!(found("", None, None), ["team/db", "team/web/key", "team-b/db", "team"]);
    assert_eq!(found("", Some("team"), None), ["team/db", "team/web/key"]);
    assert_eq!(found("", Some("team/"), Some("key$")), ["team/web/key"]);
    assert_eq!(found("team/", None, None), ["db", "web/key"]);
    assert_eq!(found("team/", Some("web"), Some("^web")), ["web/key"]);
    assert_eq!(found("team", None, Some("^-b")), ["-b/db"]);
}

#[test]
fn a_search_for_what_cannot_be_is_refused() {
    let names = names("", Service::SecretsManager);
    let path = Find { path: Some("!team".to_owned()), ..Find::default() };
    assert_eq!(names.search(&path).err().map(|failure| failure.kind), Some(Kind::Rejected));
    let name = Find { name: Some("(".to_owned()), ..Find::default() };
    assert_eq!(names.search(&name).err().map(|failure| failure.kind), Some(Kind::Rejected));
}

#[test]
fn a_version_is_a_stage_or_an_id() {
    let id = "6f3b2c1d-0e4f-4a5b-8c7d-9e0f1a2b3c4d";
    assert_eq!(wanted(None), Wanted::Stage("AWSCURRENT"));
    assert_eq!(wanted(Some("AWSPREVIOUS")), Wanted::Stage("AWSPREVIOUS"));
    assert_eq!(wanted(Some("blue")), Wanted::Stage("blue"));
    assert_eq!(wanted(Some(id)), Wanted::Id(id));
    assert_eq!(
        wanted(Some("uuid/terraform-20260101000000000000000001")),
        Wanted::Id("terraform-20260101000000000000000001")
    );
    assert_eq!(wanted(Some("6f3b2c1d-0e4f")), Wanted::Stage("6f3b2c1d-0e4f"));
}
