//! What `Spec::read` finds wrong without any key.

use waxwing_crds::{SealedTemplate, TemplateMetadata};

use super::*;
use crate::template::TemplateFault;

fn template(world: &mut World, data: &[(&str, &str)], labels: &[(&str, &str)], annotations: &[(&str, &str)]) {
    let map = |entries: &[(&str, &str)]| {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let metadata = TemplateMetadata { labels: map(labels), annotations: map(annotations) };
    world.object.spec.template = Some(SealedTemplate { metadata: Some(metadata), data: map(data) });
}

fn refuses(reason: Reason, change: impl FnOnce(&mut World)) -> String {
    let mut world = World::new();
    change(&mut world);
    let error = Spec::try_from(&world.object).unwrap_err();
    assert_eq!(error.reason(), reason, "{error}");
    // The operator says the same.
    assert!(refused(&world.plan(), reason).starts_with(&error.to_string()));
    error.to_string()
}

/// K07. Guard: `checked_type` and `names::is_refused_secret_type`.
#[test]
fn types_that_are_credentials_for_the_cluster() {
    for type_ in
        ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "waxwing.dev/identity"]
    {
        refuses(Reason::TypeRefused, |world| world.seal_as(Scope::Strict, type_, &[("token", "x")]));
    }
}

/// Guard: `kept` refuses reserved keys, so nothing we produce can say that it is adopted, owned or an identity.
#[test]
fn keys_of_ours_cannot_be_planted_through_the_template() {
    for key in [names::OWNED_BY, names::ADOPT, names::SEQ, names::KEY_RING, "waxwing.dev/anything"] {
        refuses(Reason::MetadataRefused, |world| template(world, &[], &[(key, "x")], &[]));
        refuses(Reason::MetadataRefused, |world| template(world, &[], &[], &[(key, "x")]));
    }
}

#[test]
fn a_key_in_both_maps() {
    let message =
        refuses(Reason::KeyCollision, |world| template(world, &[("password", "{{ password }}")], &[], &[]));
    assert!(message.contains("password"));
}

#[test]
fn metadata_that_the_api_server_would_refuse() {
    for (key, value) in
        [("a b", "x"), ("", "x"), ("x/", "x"), ("-x", "x"), ("UPPER/x", "x"), ("x", "no spaces"), ("x", "é")]
    {
        refuses(Reason::InvalidSpec, |world| template(world, &[], &[(key, value)], &[]));
    }
    refuses(Reason::InvalidSpec, |world| template(world, &[], &[], &[("x", &"x".repeat(200_000))]));
    let mut world = World::new();
    template(&mut world, &[], &[("example.com/a", "A-1_b.c"), ("b", "")], &[("c", "anything\nat all")]);
    assert!(Spec::try_from(&world.object).is_ok());
}

#[test]
fn templates_that_cannot_work() {
    refuses(Reason::TemplateError, |world| template(world, &[("url", "{{ nope }}")], &[], &[]));
    refuses(Reason::TemplateError, |world| template(world, &[("url", "{% if x %}")], &[], &[]));
    refuses(Reason::TemplateLimit, |world| {
        template(world, &[("url", &"{{ password | tojson }}".repeat(900))], &[], &[])
    });
    refuses(Reason::InvalidSpec, |world| template(world, &[("../url", "x")], &[], &[]));
}

/// T04. Guard: templates fill `data` only; metadata is copied as it is.
#[test]
fn template_data_goes_into_the_secrets_data_and_metadata_is_no_template() {
    let mut world = World::new();
    template(&mut world, &[("url", "db://u:{{ password }}@h")], &[], &[("note", "{{ password }}")]);
    world.look();
    assert_eq!(world.value("url").as_deref(), Some("db://u:one@h"));
    let secret = world.secret.as_ref().unwrap();
    assert_eq!(secret.annotations["note"], "{{ password }}");
    let status = serde_json::to_string(&world.object.status).unwrap();
    assert!(!status.contains("db://") && !status.contains("\"one"));
}

/// T06. Guard: the digest of the templates among the annotations.
#[test]
fn a_new_template_always_changes_the_secret_whether_or_not_its_result_is_another() {
    let mut world = World::new();
    template(&mut world, &[("copy", "{{ password }}")], &[], &[]);
    world.look();
    let version = world.target.as_ref().unwrap().resource_version.clone();
    for from in ["o", "z"] {
        template(
            &mut world,
            &[("copy", &format!("{{{{ password | replace('{from}', '{from}') }}}}"))],
            &[],
            &[],
        );
        world.commit();
        world.look();
        assert_eq!(world.value("copy").as_deref(), Some("one"));
        assert_ne!(world.target.as_ref().unwrap().resource_version, version, "{from}");
    }
}

#[test]
fn a_template_that_fails_by_content_is_an_error_of_the_template() {
    let mut world = World::new();
    template(&mut world, &[("decoded", "{{ password | b64decode }}")], &[], &[]);
    let plan = world.plan();
    let message = refused(&plan, Reason::TemplateError);
    assert!(message.contains(&TemplateFault::NotBase64.to_string()), "{message}");
}

/// Guard: `kept` drops what `names::is_dropped` says; a GitOps tool would take the Secret for its own, and prune it.
#[test]
fn tracking_of_gitops_tools_is_dropped_and_our_own_marks_cannot_be_overruled() {
    let mut world = World::new();
    template(
        &mut world,
        &[],
        &[("kustomize.toolkit.fluxcd.io/name", "apps"), ("app", "db"), (names::MANAGED_BY, "Helm")],
        &[
            ("argocd.argoproj.io/tracking-id", "x"),
            ("argocd.argoproj.io/sync-options", "Prune=true"),
            ("a", "b"),
        ],
    );
    world.look();
    let secret = world.secret.as_ref().unwrap();
    let labels: Vec<_> = secret.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("app", "db"), (names::MANAGED_BY, "waxwing")]);
    assert_eq!(secret.annotations["argocd.argoproj.io/sync-options"], "Prune=false");
    assert!(!secret.annotations.contains_key("argocd.argoproj.io/tracking-id"));
    assert_eq!(Spec::try_from(&world.object).unwrap().dropped.len(), 4);
}

/// D02. Guard: limits come before everything else (`Sealed::parse`, `Spec::read`).
#[test]
fn thousands_of_keys_envelopes_and_templates() {
    let many = |count: usize| (0..count).map(|i| format!("k{i}")).collect::<Vec<_>>();
    refuses(Reason::LimitExceeded, |world| {
        let token = world.object.spec.data["password"].clone();
        world.object.spec.data = many(10_000).into_iter().map(|key| (key, token.clone())).collect();
    });
    refuses(Reason::LimitExceeded, |world| {
        let envelope = world.object.spec.envelopes.values().next().unwrap().clone();
        world.object.spec.envelopes = many(1_000).into_iter().map(|key| (key, envelope.clone())).collect();
    });
    refuses(Reason::LimitExceeded, |world| {
        let keys = many(256);
        template(world, &keys.iter().map(|key| (key.as_str(), "x")).collect::<Vec<_>>(), &[], &[]);
    });
}

#[test]
fn a_spec_that_does_not_decode_is_reported_and_not_skipped() {
    let world = World::new();
    let (annotations, status) = Default::default();
    let plan = world.with_input(|input| {
        let object = Object {
            spec: Err("spec.data: not of the expected type"),
            annotations: &annotations,
            status: &status,
            ..input.object
        };
        plan(&Input { object, ..*input }, &Memory::default())
    });
    assert!(refused(&plan, Reason::InvalidSpec).contains("spec.data"));
}

#[test]
fn only_names_that_an_api_server_takes_are_accepted() {
    let mut world = World::new();
    let long = ["a".repeat(63), "a".repeat(64), "a".repeat(254)];
    let mut check = |namespace: &str, name: &str, field: Option<&str>| {
        world.object.metadata.namespace = Some(namespace.to_owned());
        world.object.metadata.name = Some(name.to_owned());
        world.seal_as(Scope::Strict, "Opaque", &[("password", "one")]);
        let found = Spec::try_from(&world.object).err();
        let expected = field.map(|field| (Reason::InvalidSpec, format!("metadata.{field} is not one that")));
        let (found, start) = (found.map(|error| (error.reason(), error.to_string())), expected);
        assert_eq!(found.is_some(), start.is_some(), "{namespace}/{name}: {found:?}");
        if let (Some((reason, message)), Some((expected, start))) = (found, start) {
            assert!(reason == expected && message.starts_with(&start), "{message}");
        }
    };
    for (namespace, name) in [("apps", "db"), ("a-1", "a.b-c.1"), ("", "db"), (&long[0], &long[1])] {
        check(namespace, name, None);
    }
    for name in ["", "X_Y", "Db", "a..b", ".", "-a", "a-", "a.-b", "a/b", "é", &long[2]] {
        check("apps", name, Some("name"));
    }
    for namespace in ["..", "a.b", "Apps", "-a", "a_b", &long[1]] {
        check(namespace, "db", Some("namespace"));
    }
}
