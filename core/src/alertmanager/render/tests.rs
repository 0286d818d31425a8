use serde_json::{Value, json};

use super::*;
use crate::inject::to_yaml;

/// Two receivers with credentials of their own, and mail with one that is shared.
fn document() -> Value {
    json!({
        "global": {"smtp_smarthost": "smtp.example.com:587", "smtp_from": "am@example.com", "smtp_auth_username": "am",
                   "smtp_auth_password": leaf("smtp")},
        "route": {"receiver": "mail", "routes": [{"receiver": "pager", "matchers": ["team=\"db\""]}, {"receiver": "chat"}]},
        "receivers": [
            {"name": "mail", "email_configs": [{"to": "ops@example.com"}]},
            {"name": "pager", "pagerduty_configs": [{"routing_key": leaf("pd")}], "slack_configs": [{"channel": "#db", "api_url": leaf("slack-db")}]},
            {"name": "chat", "slack_configs": [{"channel": "#all", "api_url": leaf("slack")}]},
        ],
    })
}

fn leaf(key: &str) -> Value {
    json!({"$secret": {"name": "receivers", "key": key}})
}

fn reference(key: &str) -> Reference {
    Reference::Secret { name: "receivers".to_owned(), key: key.to_owned() }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

/// What a test begins with: everything is there.
struct Scene {
    document: Value,
    answers: BTreeMap<Reference, Answer>,
    last_good: BTreeMap<Reference, Secret>,
    on_unresolved: OnUnresolved,
    fallback: Option<&'static str>,
}

impl Scene {
    fn new() -> Self {
        let values = [
            ("smtp", "smtp-canary"),
            ("pd", "0123456789abcdef0123456789abcdef"),
            ("slack-db", "https://hooks.slack.com/services/db-canary"),
            ("slack", "https://hooks.slack.com/services/all-canary"),
        ];
        let answers =
            values.map(|(key, value)| (reference(key), Answer::Value(secret(value)))).into_iter().collect();
        let (last_good, on_unresolved) = (BTreeMap::new(), OnUnresolved::KeepLastGood);
        Self { document: document(), answers, last_good, on_unresolved, fallback: None }
    }

    fn without(mut self, keys: &[&str]) -> Self {
        for key in keys {
            self.answers
                .insert(reference(key), Answer::Unresolved("Secret/receivers is not there".to_owned()));
        }
        self
    }

    fn with(mut self, key: &str, value: &str) -> Self {
        self.answers.insert(reference(key), Answer::Value(secret(value)));
        self
    }

    fn render(&self) -> Result<Rendered, Refused> {
        let document = Node::read(&self.document).unwrap_or_else(|error| panic!("{error}"));
        render(&Input {
            document: &document,
            version: Version::NEWEST,
            answers: &self.answers,
            last_good: &self.last_good,
            on_unresolved: self.on_unresolved,
            fallback: self.fallback,
            refuses: |_| None,
        })
    }

    /// The published document, and the states of the receivers.
    fn published(&self) -> (Value, Vec<State>) {
        let rendered = self.render().unwrap_or_else(|refused| panic!("{refused:?}"));
        let yaml = String::from_utf8(to_yaml(&rendered.config).to_vec()).unwrap();
        let states = rendered.receivers.iter().map(|receiver| receiver.state).collect();
        (crate::yaml::from_str(&yaml).unwrap(), states)
    }
}

#[test]
fn every_reference_gets_its_value_and_every_receiver_is_live() {
    let (published, states) = Scene::new().published();
    assert_eq!(published["global"]["smtp_auth_password"], "smtp-canary");
    assert_eq!(
        published["receivers"][2]["slack_configs"][0]["api_url"],
        "https://hooks.slack.com/services/all-canary"
    );
    assert_eq!(states, [State::Live; 3]);
}

#[test]
fn a_credential_that_was_never_had_takes_only_its_integration_with_it() {
    let (published, states) = Scene::new().without(&["slack-db"]).published();
    assert_eq!(
        published["receivers"][1],
        json!({"name": "pager", "pagerduty_configs": [{"routing_key": "0123456789abcdef0123456789abcdef"}]})
    );
    assert_eq!(states, [State::Live, State::Quarantined, State::Live]);
}

/// Guard: `fall_back`. An empty receiver would swallow its alerts.
#[test]
fn a_receiver_that_has_nothing_left_gets_the_integrations_of_the_fallback() {
    let (published, states) = Scene::new().without(&["slack"]).published();
    assert_eq!(
        published["receivers"][2],
        json!({"name": "chat", "email_configs": [{"to": "ops@example.com"}]})
    );
    assert_eq!(states, [State::Live, State::Live, State::Quarantined]);
    let (published, _) = Scene { fallback: Some("pager"), ..Scene::new().without(&["slack"]) }.published();
    assert!(published["receivers"][2]["pagerduty_configs"].is_array());
}

#[test]
fn a_last_good_value_stands_in_and_the_receiver_is_stale() {
    let mut scene = Scene::new().without(&["slack"]);
    scene.last_good.insert(reference("slack"), secret("https://hooks.slack.com/services/before"));
    let (published, states) = scene.published();
    assert_eq!(
        published["receivers"][2]["slack_configs"][0]["api_url"],
        "https://hooks.slack.com/services/before"
    );
    assert_eq!(states, [State::Live, State::Live, State::Stale]);
    scene.on_unresolved = OnUnresolved::Quarantine;
    assert_eq!(scene.published().1, [State::Live, State::Live, State::Quarantined]);
}

#[test]
fn with_block_nothing_is_published_without_every_credential() {
    let scene = Scene { on_unresolved: OnUnresolved::Block, ..Scene::new().without(&["slack"]) };
    let Err(Refused::Unresolved(problems)) = scene.render() else { panic!("it was rendered") };
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].at.to_string(), "receivers[2].slack_configs[0].api_url");
}

/// Guard: `globals::integrations`. Mail without its password would fail at every alert.
#[test]
fn what_is_missing_under_global_quarantines_all_that_take_it() {
    let (published, states) = Scene { fallback: Some("chat"), ..Scene::new().without(&["smtp"]) }.published();
    assert_eq!(published["global"].get("smtp_auth_password"), None);
    assert!(published["receivers"][0].get("email_configs").is_none());
    assert!(published["receivers"][0]["slack_configs"].is_array());
    assert_eq!(states, [State::Quarantined, State::Live, State::Live]);
    let refused = Scene::new().without(&["smtp"]).render();
    assert!(
        matches!(refused, Err(Refused::Unresolved(_))),
        "the root route's receiver has nothing left, and is the fallback"
    );
}

/// T07, L01. Guard: `check` in `resolve`, and that no message shows a value.
#[test]
fn a_value_that_does_not_fit_its_place_counts_as_missing_and_is_not_shown() {
    for (key, value, what) in [
        ("slack", "https://hooks.slack.com/canary\n", "it ends with a line break"),
        ("slack", "canary", "it is no URL with http or https and a host"),
        ("slack", "https:\\/\\/hooks.slack.com\\/canary", "its slashes are escaped as in JSON"),
        ("slack", "<secret>", "it is the word that Alertmanager shows in the place of a secret"),
    ] {
        let rendered = Scene::new().with(key, value).render().unwrap_or_else(|refused| panic!("{refused:?}"));
        let receiver = &rendered.receivers[2];
        assert_eq!(receiver.state, State::Quarantined);
        assert_eq!(receiver.problems[0].message, what);
        assert!(!format!("{receiver:?}").contains("canary"));
    }
    let binary = Answer::Value(Secret::new(vec![0xff, 0xfe]));
    let mut scene = Scene::new();
    scene.answers.insert(reference("pd"), binary);
    assert_eq!(scene.published().1, [State::Live, State::Quarantined, State::Live]);
}

#[test]
fn a_document_that_is_wrong_is_refused_whatever_its_references_give() {
    let mut scene = Scene::new().without(&["slack", "pd"]);
    scene.document["receivers"][1]["slack_configs"][0]["chanel"] = json!("#db");
    let Err(Refused::Invalid(findings)) = scene.render() else { panic!("it was rendered") };
    assert_eq!(findings[0].at.to_string(), "receivers[1].slack_configs[0].chanel");
}

#[test]
fn a_credential_that_stands_in_the_document_is_warned_of() {
    let mut scene = Scene::new();
    scene.document["receivers"][1]["pagerduty_configs"][0]["routing_key"] = json!("canary0123456789");
    let rendered = scene.render().unwrap_or_else(|refused| panic!("{refused:?}"));
    let literals: Vec<_> =
        rendered.warnings.iter().filter(|finding| finding.rule == "literal-credential").collect();
    assert_eq!(literals.len(), 1);
    assert_eq!(literals[0].at.to_string(), "receivers[1].pagerduty_configs[0].routing_key");
    assert!(!format!("{literals:?}").contains("canary"));
}

#[test]
fn one_broken_receiver_among_fifty_leaves_the_others_as_they_are() {
    let mut scene = Scene::new();
    let receivers = scene.document["receivers"].as_array_mut().unwrap();
    for number in 0..50 {
        receivers.push(json!({"name": format!("team-{number}"), "slack_configs": [{"channel": "#x", "api_url": leaf(&format!("k{number}"))}]}));
    }
    for number in 0..50 {
        scene = scene.with(&format!("k{number}"), &format!("https://hooks.slack.com/services/{number}"));
    }
    let (well, _) = scene.published();
    let (published, states) = scene.without(&["k17"]).published();
    assert_eq!(states.iter().filter(|state| **state != State::Live).count(), 1);
    for (index, receiver) in published["receivers"].as_array().unwrap().iter().enumerate() {
        assert_eq!(receiver == &well["receivers"][index], index != 20, "{index}");
    }
}

/// Guard: what belongs to no integration is needed by all, also within a receiver.
#[test]
fn a_broken_reference_beside_the_integrations_of_a_receiver_is_not_written_as_it_stands() {
    let mut scene = Scene::new().without(&["label"]);
    scene.document["receivers"][0]["labels"] = json!({"team": leaf("label")});
    let Err(Refused::Unresolved(problems)) = scene.render() else { panic!("it was rendered") };
    assert_eq!(problems[0].at.to_string(), "receivers[0].labels.team");
}
