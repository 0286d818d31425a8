//! Tests of the kinds of injections.

use serde_json::json;

use super::{round_trip, schemas};
use crate::*;

/// A native document passes the schema unlooked at, whatever later versions add to it. Guard: `Native`.
#[test]
fn a_native_document_may_hold_anything() {
    let spec = |kind: &str| schemas()[kind]["properties"]["spec"]["properties"].clone();
    let places = [
        spec("AlertmanagerInjection")["config"].clone(),
        spec("AlertmanagerInjection")["set"]["items"]["properties"]["value"].clone(),
        spec("AlertReceiver")["receiver"].clone(),
        spec("AlertReceiver")["routes"]["items"].clone(),
        spec("GrafanaInjection")["datasources"]["items"].clone(),
        spec("GrafanaInjection")["contactPoints"]["items"].clone(),
        spec("GrafanaInjection")["policies"]["items"].clone(),
    ];
    for schema in places {
        assert_eq!(schema["type"], "object", "{schema}");
        assert_eq!(schema["x-kubernetes-preserve-unknown-fields"], true, "{schema}");
        assert!(schema["properties"].is_null() && schema["x-kubernetes-validations"].is_null(), "{schema}");
    }
    let document = json!({"a": {"$secret": {"name": "x", "key": "y"}}, "b": [1, 2.5, null, {"c": true}]});
    assert_eq!(round_trip::<Native>(&document), document);
}

#[test]
fn the_status_of_an_injection_survives_a_round_trip_and_what_is_not_said_is_not_written() {
    let status = json!({
        "observedGeneration": 3,
        "refreshedAt": "2026-01-02T03:04:05Z",
        "refreshed": "1",
        "loadedReplicas": "2/3",
        "receivers": [
            {"name": "ops", "state": "Live"},
            {"name": "db", "state": "Stale", "credentials": [{
                "field": "pagerduty_configs[0].routing_key",
                "from": "Secret/receivers, key pagerduty",
                "version": "7",
                "problem": "there is no such Secret",
                "staleSince": "2026-01-02T03:04:05Z",
            }]},
        ],
        "literals": ["global.slack_api_url"],
        "source": {"tool": "flux", "name": "flux-system/apps", "revision": "main@sha1:1"},
    });
    assert_eq!(round_trip::<InjectionStatus>(&status), status);
    assert_eq!(round_trip::<InjectionStatus>(&json!({})), json!({}));
    assert_eq!(round_trip::<AlertReceiverStatus>(&json!({})), json!({}));
    let spec = json!({"config": {}, "target": {"secretName": "a"}});
    assert_eq!(round_trip::<AlertmanagerInjectionSpec>(&spec), spec);
    let spec = json!({"target": {}});
    assert_eq!(round_trip::<GrafanaInjectionSpec>(&spec), spec);
    let spec = json!({"injection": {"name": "main", "namespace": "monitoring"}, "receiver": {}});
    assert_eq!(round_trip::<AlertReceiverSpec>(&spec), spec);
}

/// K15. Guard: a status is read leniently (`lenient`), so a forged one cannot make its object unreadable.
#[test]
fn a_malformed_status_of_an_injection_loses_only_its_malformed_parts() {
    let status: InjectionStatus = serde_json::from_value(json!({
        "observedGeneration": "three",
        "conditions": {"type": "Ready"},
        "published": {"revision": "newest"},
        "refreshedAt": "yesterday",
        "refreshed": 7,
        "loadedReplicas": 2,
        "receivers": [{"name": "a", "state": "Dead"}, {"name": "b", "state": "Live"}, 3],
        "literals": ["x", {}],
        "source": "git",
        "unknown": [],
    }))
    .expect("reads");
    let receiver = ReceiverStatus { name: "b".to_owned(), ..ReceiverStatus::default() };
    let expected = InjectionStatus {
        receivers: vec![receiver],
        literals: vec!["x".to_owned()],
        ..InjectionStatus::default()
    };
    assert_eq!(status, expected);
    let status: AlertReceiverStatus =
        serde_json::from_value(json!({"observedGeneration": {}, "conditions": "none"})).expect("reads");
    assert_eq!(status, AlertReceiverStatus::default());
}

/// L03. Guard: URLs have a rule of the object around them and no pattern (`schema::injection`): what a pattern refused, the
/// API server would repeat, and a URL may hold a password.
#[test]
fn no_url_has_a_pattern() {
    for kind in ["AlertmanagerInjection", "GrafanaInjection"] {
        let mut found = Vec::new();
        super::places(
            &schemas()[kind],
            "",
            |name, value| name == "url" && value["type"] == "string",
            &mut found,
        );
        assert!(!found.is_empty(), "{kind}");
        for path in found {
            let url = schemas()[kind].pointer(&path).cloned().expect("is there");
            assert!(url["pattern"].is_null() && url["x-kubernetes-validations"].is_null(), "{kind}{path}");
        }
    }
    let endpoints = "/properties/spec/properties/verify/properties/endpoints/items";
    let endpoint = schemas()["AlertmanagerInjection"].pointer(endpoints).cloned().expect("is there");
    assert!(endpoint["pattern"].is_null() && endpoint["x-kubernetes-validations"].is_null());
}
