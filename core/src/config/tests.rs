use proptest::prelude::*;

use super::*;
use crate::keys::Identity;

fn key() -> String {
    Identity::generate().recipient().to_string()
}

fn names(config: &Config, path: &str, namespace: &str) -> Vec<String> {
    let found = config.recipients_for(path, namespace).unwrap();
    found.iter().map(|recipient| recipient.name().to_owned()).collect()
}

fn sample() -> (String, [String; 3]) {
    let keys = [key(), key(), key()];
    let [prod, recovery, team] = &keys;
    let text = format!(
        "version: 1\n\
         recipients:\n  \
           prod-eu: {{key: {prod}, cluster: true}} # the cluster\n  \
           recovery: {{key: {recovery}, required: true}}\n  \
           team-a: {{key: {team}}}\n\
         rules:\n\
         - path: clusters/prod/**\n  namespace: team-*\n  recipients: [prod-eu, team-a]\n  scope: namespace\n\
         - path: clusters/**\n  recipients: [prod-eu, recovery]\n"
    );
    (text, keys)
}

#[test]
fn the_first_rule_that_matches_decides_and_required_recipients_are_always_there() {
    let config = Config::parse(&sample().0).unwrap();
    assert_eq!(names(&config, "clusters/prod/a.yaml", "team-a"), ["prod-eu", "recovery", "team-a"]);
    assert_eq!(names(&config, "./clusters/prod/a.yaml", "other"), ["prod-eu", "recovery"]);
    assert_eq!(config.rule_for("clusters/prod/a.yaml", "team-a").unwrap().scope, Some(Scope::Namespace));
    assert_eq!(config.rule_for("clusters/x", "").unwrap().scope, None);
    assert!(config.members()[0].cluster && config.members()[1].required);
}

#[test]
fn a_file_without_a_rule_is_an_error_that_lists_the_rules() {
    let error = Config::parse(&sample().0).unwrap().recipients_for("apps/a.yaml", "x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no rule of .waxwing.yaml matches file `apps/a.yaml`, namespace `x`; the rules are: \
         path `clusters/prod/**` with namespace `team-*`; path `clusters/**`"
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    let (text, [prod, recovery, _]) = sample();
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Config::parse(&text.replacen(from, to, 1)).unwrap_err().to_string()
    };
    assert_eq!(
        refused("[prod-eu, team-a]", "[prod-eu, team-b]"),
        "line 9, column 25: rule 1: no recipient is named `team-b`; there are: prod-eu, recovery, team-a"
    );
    assert_eq!(
        refused(&recovery, &prod),
        "line 4, column 19: recipients `prod-eu` and `recovery` have the same key; keep one name"
    );
    assert!(
        refused(&prod, &prod[..61])
            .starts_with("line 3, column 18: recipient `prod-eu`: not an age X25519 recipient"),
    );
    assert!(
        refused("cluster: true", "clusters: true")
            .contains("line 3, column 82: unknown field; expected `key`, `cluster`, `required`")
    );
    assert!(refused("version: 1", "version: 2").starts_with("line 1, column 10: `version` is 1"));
    assert!(refused("version: 1", "").contains("missing field `version`"));
    assert!(
        refused("scope: namespace", "scope: team").contains("line 10, column 10: rule 1: `scope` is one of")
    );
    assert!(refused("clusters/prod/**", "\"{a,b}/**\"").contains("line 7, column 9: rule 1: `path` takes"));
    assert!(refused("team-*", "a/b").contains("rule 1: `namespace` takes"));
    assert!(refused("  prod-eu:", "  Prod:").contains("line 3, column 15: a recipient's name takes"));
    assert!(refused("prod-eu, recovery]", "prod-eu, 5]").contains("in quotes"));
    assert!(refused("  team-a:", "  prod-eu:").contains("a key stands twice"));
    let no_rules = format!("version: 1\nrecipients: {{a: {{key: {prod}}}}}\nrules: []\n");
    assert_eq!(Config::parse(&no_rules), Err(ConfigError::NoRules));
    let nobody = no_rules.replace("[]", "[{recipients: []}]");
    assert!(matches!(Config::parse(&nobody), Err(ConfigError::EmptyRule { rule: 1, .. })));
}

/// L03. Guard: the look at every line in `parse::parse`, before anything is read.
#[test]
fn a_private_key_in_the_file_is_told_apart_and_never_shown() {
    let (text, [prod, ..]) = sample();
    let private = Identity::generate().to_text();
    let private = String::from_utf8(private.expose().to_vec()).unwrap();
    let private = private.trim();
    for (place, line) in [
        (prod.as_str(), 3),
        ("# the cluster", 3),
        ("version: 1", 1),
        ("clusters/prod/**", 7),
        ("  prod-eu:", 3),
    ] {
        for private in [private.to_owned(), private.to_lowercase(), format!("# {private}")] {
            let error = Config::parse(&text.replacen(place, &private, 1)).unwrap_err();
            assert_eq!(error, ConfigError::PrivateKey { line }, "{place}");
            let told = format!("{error} {error:?}");
            assert!(told.contains("destroy"), "{told}");
            assert!(!told.to_uppercase().contains(&private.to_uppercase()), "{told}");
        }
    }
}

/// A value pasted in a wrong place is not repeated by the error.
#[test]
fn names_that_cannot_be_names_are_not_shown() {
    let (text, [prod, ..]) = sample();
    let error = Config::parse(&text.replacen("[prod-eu", &format!("[{prod}"), 1)).unwrap_err();
    assert!(error.to_string().contains("a name, not a key, belongs here"), "{error}");
    assert!(!format!("{error:?}").contains(&prod[..20]));
}

#[test]
fn what_is_rendered_reads_back_and_can_be_edited() {
    let config = Config::parse(&sample().0).unwrap();
    let text = config.render();
    assert_eq!(Config::parse(&text).as_ref(), Ok(&config), "{text}");
    let member = |name: &str| Member {
        recipient: NamedRecipient::new(name, key().parse().unwrap()).unwrap(),
        cluster: false,
        required: false,
    };
    let everything = Rule {
        path: Glob::new("a \"b\"/#: x/**"),
        namespace: Glob::new("*"),
        recipients: vec!["on".into(), "0123".into(), "1e3".into()],
        scope: Some(Scope::Cluster),
    };
    let odd = Config::new(vec![member("on"), member("0123"), member("1e3")], vec![everything]).unwrap();
    assert_eq!(Config::parse(&odd.render()).as_ref(), Ok(&odd), "{}", odd.render());
    assert!(matches!(Config::new(vec![member("a"), member("a")], vec![]), Err(ConfigError::SameName { .. })));
}

/// The page for users shows a file that works.
#[test]
fn the_example_in_the_documents_is_a_configuration() {
    let page = include_str!("../../../docs/CONFIG.md");
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = Config::parse(example).unwrap();
    assert_eq!(names(&config, "clusters/prod/db.yaml", "team-a"), ["prod-eu", "prod-us", "recovery"]);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(version: 1\n|recipients:\n|rules:\n|- |  a: |\\{key: x\\}|\\[a\\]|[^a]){0,20}") {
        let _ = Config::parse(&text);
    }
}
