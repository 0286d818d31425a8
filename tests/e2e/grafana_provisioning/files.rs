//! By files: targets `Sidecar` and `Mounted`.

use std::collections::BTreeSet;

use waxwing_core::grafana::{
    Entry, EntryKind, Known, Part, Quarantined, Severity, part, quarantine, tombstones, validate,
};
use waxwing_tests::block_on;

use super::*;

/// What other ways of carrying a credential have changed or lost.
const NASTY: &[&str] = &[
    "$HOME",
    "${HOME}",
    "$__env{HOME}",
    "$__file{/etc/secret}",
    "$$HOME",
    "Pa$$w0rd",
    "Pa$w0rd",
    "a$",
    "$",
    "$$$",
    "${",
    "$$__env{HOME}${HOME}",
    "{{ .CommonLabels.x }} {{",
    "'single' \"double\" \\ back\\n",
    "line one\nline two\r\n\ttabbed",
    "null",
    "~",
    "yes",
    "0x1f",
    "1e3",
    "2026-11-21",
    ": - # & * ! | > % @ `",
    "  spaces around  ",
    "ключ 🔑 \u{85}\u{2028}\u{feff}\u{7f}",
    "[REDACTED] is not all of it",
    "!!binary aGk=",
];

/// T07. Guard: every `$` of a text is doubled, and every text is quoted.
#[test]
fn any_credential_arrives_byte_for_byte() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-bytes").await?;
        grafana
            .surroundings(json!({"HOME": "/leak", "w0rd": "leak"}), json!({"/etc/secret": "leak"}))
            .await?;
        let numbered = NASTY.iter().enumerate();
        let points: Vec<_> =
            numbered.clone().map(|(n, _)| webhook(&format!("p{n} $HOME"), &format!("u{n}"))).collect();
        let secure: Value = numbered
            .clone()
            .map(|(n, _)| (format!("v{n}$HOME"), json!("set")))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let source = json!({"name": "db $HOME", "type": "mysql", "uid": "db", "url": "db:3306", "secureJsonData": secure,
            "jsonData": {"literal$HOME": "a $HOME ${HOME}", "deep": [{"x": "$1"}], "number": 5, "no": false}});
        let document = json!({"datasources": [source], "contactPoints": points});
        let places: Vec<_> = numbered
            .clone()
            .flat_map(|(n, value)| {
                [
                    (format!("contactPoints/{n}/receivers/0/settings/authorization_credentials"), *value),
                    (format!("datasources/0/secureJsonData/v{n}$HOME"), *value),
                ]
            })
            .collect();
        let places: Vec<_> = places.iter().map(|(at, value)| (at.as_str(), *value)).collect();
        deliver(&grafana, SCOPE, &resolved(&document, &places), &Inventory::default()).await?;

        let effective = grafana.effective(1).await?;
        let source = &effective["datasources"][0];
        assert_eq!(source["name"], "db $HOME");
        assert_eq!(source["jsonData"], document["datasources"][0]["jsonData"]);
        for (number, value) in numbered {
            assert_eq!(source["secure"][format!("v{number}$HOME")], *value, "{value:?} of a data source");
            let uid = format!("u{number}");
            let points = effective["contactPoints"].as_array().unwrap();
            let point = points.iter().find(|point| point["uid"] == uid.as_str()).unwrap();
            assert_eq!(
                point["settings"]["authorization_credentials"], *value,
                "{value:?} of a contact point"
            );
            assert_eq!(point["name"], format!("p{number} $HOME"));
        }
        Ok(())
    })
}

/// The stub expands: without this the test above could not fail.
#[test]
fn what_is_not_doubled_is_changed_by_grafana() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-expands").await?;
        grafana.surroundings(json!({"TOKEN": "a$b"}), json!({"/etc/secret": "c$d\n"})).await?;
        let source = "apiVersion: 1\ndatasources:\n- {name: a, type: x, secureJsonData: \
                      {one: 'Pa$w0rd', two: '$__env{TOKEN}', three: '$__file{/etc/secret}', four: 'Pa$$w0rd'}}\n";
        grafana.publish_as(FileKind::Datasources, "own.yaml", source.as_bytes())?;
        assert_eq!(grafana.reload(FileKind::Datasources).await?.0, Ok(()));
        let effective = grafana.effective(1).await?;
        let expected = json!({"one": "Pa", "two": "a", "three": "c", "four": "Pa$w0rd"});
        assert_eq!(effective["datasources"][0]["secure"], expected);
        Ok(())
    })
}

fn entry(kind: EntryKind, id: &str) -> Entry {
    Entry { kind, org: 1, id: id.to_owned() }
}

#[test]
fn what_leaves_the_document_leaves_grafana_and_nothing_else_does() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-tombstones").await?;
        let source = |name: &str| json!({"name": name, "type": "mysql"});
        let first = json!({
            "datasources": [source("kept"), source("left$")],
            "contactPoints": [webhook("kept", "kept"), webhook("left", "left")],
            "policies": [{"receiver": "left"}],
        });
        let first = resolved(&first, &[]);
        deliver(&grafana, SCOPE, &first, &Inventory::default()).await?;
        let neighbour =
            json!({"datasources": [source("other")], "contactPoints": [webhook("other", "other")]});
        let neighbour_scope = Scope { namespace: "team", name: "main" };
        deliver(&grafana, neighbour_scope, &resolved(&neighbour, &[]), &Inventory::default()).await?;

        // The policy moves on in the same document, so its old contact point may go.
        let second = json!({
            "datasources": [source("kept")],
            "contactPoints": [webhook("kept", "kept")],
            "policies": [{"receiver": "kept"}],
        });
        let second = resolved(&second, &[]);
        let (was, now) = (Inventory::of(&first), Inventory::of(&second));
        let gone = tombstones(&was, &now, &Inventory::default());
        assert_eq!(
            gone.0.iter().collect::<Vec<_>>(),
            [&entry(EntryKind::ContactPoint, "left"), &entry(EntryKind::Datasource, "left$")]
        );
        // Without them they stay: that is what tombstones are for.
        deliver(&grafana, SCOPE, &second, &Inventory::default()).await?;
        assert_eq!(names(&grafana.effective(1).await?["datasources"], "name"), ["kept", "left$", "other"]);
        deliver(&grafana, SCOPE, &second, &gone).await?;
        let effective = grafana.effective(1).await?;
        assert_eq!(names(&effective["datasources"], "name"), ["kept", "other"]);
        assert_eq!(names(&effective["contactPoints"], "uid"), ["default-email", "kept", "other"]);

        // The injection goes: only tombstones are left, and the tree is Grafana's own again.
        let last = tombstones(&now, &Inventory::default(), &Inventory::default());
        let nothing = resolved(&json!({}), &[]);
        deliver(&grafana, SCOPE, &nothing, &last).await?;
        let effective = grafana.effective(1).await?;
        assert_eq!(names(&effective["datasources"], "name"), ["other"]);
        assert_eq!(names(&effective["contactPoints"], "uid"), ["default-email", "other"]);
        assert_eq!(effective["policies"], json!({"receiver": "grafana-default-email"}));
        Ok(())
    })
}

#[test]
fn an_entry_that_another_injection_has_taken_over_is_not_deleted() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-claims").await?;
        let both = resolved(&json!({"contactPoints": [webhook("a", "a"), webhook("moved", "moved")]}), &[]);
        deliver(&grafana, SCOPE, &both, &Inventory::default()).await?;
        let (own, other) = (
            json!({"contactPoints": [webhook("a", "a")]}),
            json!({"contactPoints": [webhook("moved", "moved")]}),
        );
        let (own, other) = (resolved(&own, &[]), resolved(&other, &[]));
        let scope = Scope { namespace: "team", name: "main" };
        deliver(&grafana, scope, &other, &Inventory::default()).await?;
        let gone = tombstones(&Inventory::of(&both), &Inventory::of(&own), &Inventory::of(&other));
        deliver(&grafana, SCOPE, &own, &gone).await?;
        assert_eq!(
            names(&grafana.effective(1).await?["contactPoints"], "uid"),
            ["a", "default-email", "moved"]
        );
        // What would have happened.
        let gone = tombstones(&Inventory::of(&both), &Inventory::of(&own), &Inventory::default());
        deliver(&grafana, SCOPE, &own, &gone).await?;
        assert_eq!(names(&grafana.effective(1).await?["contactPoints"], "uid"), ["a", "default-email"]);
        Ok(())
    })
}

/// L02. Guard: of Grafana's answer only the code is kept.
#[test]
fn a_contact_point_in_use_stays_and_grafana_s_reason_does_not_leave() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-in-use").await?;
        let document = resolved(&json!({"contactPoints": [webhook("MARKER", "a")]}), &[]);
        deliver(&grafana, SCOPE, &document, &Inventory::default()).await?;
        let tree =
            waxwing_core::grafana::api::Policies::write(&resolved(&json!({"receiver": "MARKER"}), &[]), true);
        assert_eq!(grafana.send(&tree, &grafana.admin()).await?.status, 202);
        let gone = Inventory::of(&document);
        for file in files(SCOPE, &resolved(&json!({}), &[]), &gone) {
            grafana.publish(&file)?;
        }
        let (outcome, text) = grafana.reload(FileKind::Alerting).await?;
        assert!(text.contains("MARKER"), "the stub repeats the name: {text}");
        let refusal = outcome.unwrap_err();
        assert!(refusal.is_passing() && !format!("{refusal} {refusal:?}").contains("MARKER"));
        assert_eq!(names(&grafana.effective(1).await?["contactPoints"], "uid"), ["a", "default-email"]);
        Ok(())
    })
}

#[test]
fn injections_with_like_names_have_files_of_their_own() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-keys").await?;
        let like = [("a", "b-c"), ("a-b", "c"), ("a", "b.c"), ("a", "b.c.alerting"), ("a", "b")];
        for (number, (namespace, name)) in like.into_iter().enumerate() {
            let document = json!({"contactPoints": [webhook(&format!("p{number}"), &format!("u{number}"))]});
            let scope = Scope { namespace, name };
            deliver(&grafana, scope, &resolved(&document, &[]), &Inventory::default()).await?;
        }
        assert_eq!(grafana.published(FileKind::Alerting)?.len(), like.len());
        // A process with an empty database has only what the files say.
        assert!(grafana.restart(true).await?);
        let uids = names(&grafana.effective(1).await?["contactPoints"], "uid");
        assert_eq!(uids, ["default-email", "u0", "u1", "u2", "u3", "u4"]);
        Ok(())
    })
}

/// A broken receiver among 50. Guard: `quarantine` leaves out what a finding lies in, and nothing else.
#[test]
fn one_broken_receiver_does_not_stop_the_others() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-quarantine").await?;
        let points: Vec<_> = (0..50)
            .map(|n| {
                json!({"name": format!("p{n}"), "receivers": [
                {"uid": format!("slack{n}"), "type": "slack", "settings": {"url": "set"}},
                {"uid": format!("mail{n}"), "type": "email", "settings": {"addresses": "ops@example.com"}}]})
            })
            .collect();
        let document = json!({"contactPoints": points, "policies": [{"receiver": "p7"}]});
        let place = |n: usize| format!("contactPoints/{n}/receivers/0/settings/url");
        let with = |broken: &str, version: &str| {
            let values: Vec<_> = (0..50)
                .map(|n| {
                    (
                        place(n),
                        if n == 7 {
                            broken.to_owned()
                        } else {
                            format!("https://slack.example/{version}/{n}")
                        },
                    )
                })
                .collect();
            let values: Vec<_> = values.iter().map(|(at, value)| (at.as_str(), value.as_str())).collect();
            resolved(&document, &values)
        };
        deliver(&grafana, SCOPE, &with("https://slack.example/good", "one"), &Inventory::default()).await?;

        // A value with a line break: Grafana would refuse the whole file, and start no more.
        let mut second = with("https://slack.example/broken\nMARKER", "two");
        grafana.publish(&file(&second, FileKind::Alerting))?;
        assert!(grafana.reload(FileKind::Alerting).await?.0.is_err());
        assert!(!grafana.restart(false).await?, "one bad file stops Grafana from starting");

        let findings = validate(&second, &Known::default());
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(!findings[0].to_string().contains("MARKER"));
        let broken: BTreeSet<Part> = findings.iter().map(|finding| part(&finding.at)).collect();
        let out = quarantine(&mut second, &broken, None)?;
        assert_eq!(out, [Quarantined::Receiver(7, 0)]);
        deliver(&grafana, SCOPE, &second, &Inventory::default()).await?;
        let effective = grafana.effective(1).await?;
        for n in 0..50 {
            let points = effective["contactPoints"].as_array().unwrap();
            let point = points.iter().find(|point| point["uid"] == format!("slack{n}")).unwrap();
            // What was left out has its last good value.
            let expected = if n == 7 {
                "https://slack.example/good".to_owned()
            } else {
                format!("https://slack.example/two/{n}")
            };
            assert_eq!(point["settings"]["url"], expected);
        }
        Ok(())
    })
}

#[test]
fn what_grafana_refuses_the_validator_refuses_too() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-verdicts").await?;
        let receiver = |kind: &str, settings: Value| json!({"contactPoints": [{"name": "a", "receivers": [{"uid": "u", "type": kind, "settings": settings}]}]});
        let cases = [
            receiver("slack", json!({"recipient": "#a"})),
            receiver("slack", json!({"token": "t"})),
            receiver("pagerduty", json!({"severity": "critical"})),
            receiver("telegram", json!({"bottoken": "t", "chatid": -100})),
            receiver("email", json!({"addresses": ["a@b.c"]})),
            receiver("email", json!({"addresses": "a@b.c", "singleEmail": "true"})),
            receiver("nosuch", json!({"url": "https://x"})),
            receiver("webhook", json!({})),
            receiver("webhook", json!({"url": ""})),
            json!({"contactPoints": [{"name": "", "receivers": [{"uid": "u", "type": "email", "settings": {"addresses": "a@b.c"}}]}]}),
            json!({"contactPoints": [{"name": "a", "receivers": [{"type": "email", "settings": {"addresses": "a@b.c"}}]}]}),
            json!({"policies": [{"receiver": "nowhere"}]}),
            json!({"policies": [{"group_by": ["a"]}]}),
            json!({"policies": [{"receiver": "grafana-default-email", "routes": [{"object_matchers": [["a", "==", "b"]]}]}]}),
            json!({"datasources": [{"name": "a", "type": "x", "isDefault": true}, {"name": "b", "type": "x", "isDefault": true}]}),
            json!({"datasources": [{"name": "a", "type": "x", "basicAuth": "perhaps"}]}),
            json!({"datasources": [{"name": "a", "type": "x", "uid": "u"}, {"name": "b", "type": "x", "uid": "u"}]}),
        ];
        let known =
            Known { contact_points: [(1, "grafana-default-email".to_owned())].into(), needs_uid: false };
        for case in cases {
            let document = resolved(&case, &[]);
            let mut refused = false;
            for file in files(SCOPE, &document, &Inventory::default()) {
                grafana.publish(&file)?;
                refused |= grafana.reload(file.kind).await?.0.is_err();
                // The next case stands alone.
                grafana.publish_as(file.kind, &file.key, b"apiVersion: 1\n")?;
            }
            assert!(refused, "the stub takes {case}");
            let errors =
                validate(&document, &known).into_iter().filter(|it| it.severity() == Severity::Error);
            assert!(errors.count() > 0, "the validator takes {case}");
        }
        Ok(())
    })
}
