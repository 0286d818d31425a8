//! By the HTTP API: target `API`.

use waxwing_core::grafana::api::{
    Answer, ContactPoint, Current, Datasource, Options, Plan, Refusal, deliveries, deliveries_of, looks,
    plan, reload,
};
use waxwing_core::grafana::{Entry, EntryKind, tombstones};
use waxwing_tests::block_on;
use waxwing_tests::grafana::basic;

use super::*;

fn document() -> Value {
    json!({
        "datasources": [{"name": "db", "type": "mysql", "uid": "db", "url": "db:3306", "jsonData": {"tls": true},
            "secureJsonData": {"password": "set", "second": "set"}}],
        "contactPoints": [{"name": "ops", "receivers": [
            {"uid": "pd", "type": "pagerduty", "settings": {"integrationKey": "set", "severity": "critical"}},
            {"uid": "hook", "type": "webhook", "settings": {"url": "https://w", "hmacConfig": {"secret": "set"}}},
        ]}],
        "policies": [{"receiver": "ops", "group_by": ["alertname"], "routes": [
            {"object_matchers": [["team", "=", "db"], ["severity", "!=", "info"]], "receiver": "ops", "continue": false}]}],
    })
}

const KEY: &str = "contactPoints/0/receivers/0/settings/integrationKey";
const HMAC: &str = "contactPoints/0/receivers/1/settings/hmacConfig/secret";
const PASSWORD: &str = "datasources/0/secureJsonData/password";

fn with(key: &str) -> Node {
    resolved(&document(), &[(KEY, key), (HMAC, "$HOME hmac"), (PASSWORD, "Pa$$w0rd")])
}

/// Looks, plans, and writes it all. Gives the plan.
async fn settle(
    grafana: &Grafana,
    authorization: &str,
    document: &Node,
    gone: &Inventory,
    options: &Options,
) -> Result<Plan> {
    let mut current = Current::default();
    for look in looks(document, gone) {
        let answer = grafana.send(&look.request, authorization).await?;
        current.take(&look, Answer { status: answer.status, body: &answer.body })?;
    }
    let plan = plan(document, &current, gone, options);
    for write in &plan.writes {
        let answer = grafana.send(&write.request, authorization).await?;
        let line = format!("{} {}", write.request.method.as_str(), write.request.path);
        assert!((200..300).contains(&answer.status), "{line}: {} {}", answer.status, answer.text());
    }
    Ok(plan)
}

#[test]
fn a_document_is_written_once_and_then_left_alone() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-api").await?;
        let token = grafana.token("glsa_token", "Admin").await?;
        let (document, none) = (with("key $one"), Inventory::default());
        let first = settle(&grafana, &token, &document, &none, &Options::default()).await?;
        assert_eq!(first.writes.len(), 4);
        let effective = grafana.effective(1).await?;
        // Nothing is expanded here, so nothing is doubled.
        assert_eq!(effective["datasources"][0]["secure"]["password"], "Pa$$w0rd");
        let points = effective["contactPoints"].as_array().unwrap();
        let of = |uid: &str| points.iter().find(|point| point["uid"] == uid).unwrap();
        assert_eq!(of("pd")["settings"]["integrationKey"], "key $one");
        assert_eq!(of("hook")["settings"]["hmacConfig"]["secret"], "$HOME hmac");
        assert_eq!(of("pd")["provenance"], "api");
        assert_eq!(effective["policies"]["routes"][0]["receiver"], "ops");

        let again = settle(&grafana, &token, &document, &none, &Options::default()).await?;
        let lines: Vec<_> = again.writes.iter().map(|write| &write.request.path).collect();
        assert!(lines.is_empty() && again.drift.is_empty(), "{lines:?} {:?}", again.drift);

        // A new credential looks the same to whoever reads; it is written because Waxwing knows that it is new.
        let rotated = [Entry { kind: EntryKind::ContactPoint, org: 1, id: "pd".to_owned() }].into();
        let options = Options { rotated, ..Options::default() };
        let document = with("key $two");
        assert_eq!(settle(&grafana, &token, &document, &none, &options).await?.writes.len(), 1);
        let effective = grafana.effective(1).await?;
        let points = effective["contactPoints"].as_array().unwrap();
        assert!(points.iter().any(|point| point["settings"]["integrationKey"] == "key $two"));
        Ok(())
    })
}

#[test]
fn drift_is_corrected_and_what_was_read_is_never_sent_back() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-drift").await?;
        let admin = grafana.admin();
        let (document, none) = (with("key"), Inventory::default());
        settle(&grafana, &admin, &document, &none, &Options::default()).await?;
        grafana.edit_receiver("pd", json!({"severity": "info"})).await?;
        grafana.edit_receiver("hook", json!({"hmacConfig": {"secret": ""}})).await?;
        grafana
            .edit_datasource("db", json!({"url": "elsewhere:3306", "secure": {"password": "", "extra": "x"}}))
            .await?;

        let look = grafana.send(&ContactPoint::look(1), &admin).await?;
        let seen = ContactPoint::read(Answer { status: look.status, body: &look.body })?;
        let hook = seen.iter().find(|it| it.uid == "hook").unwrap();
        let receiver = document.at(&steps("contactPoints/0/receivers/1")).unwrap();
        assert_eq!(hook.missing(receiver), ["settings.hmacConfig.secret"]);

        let corrected = settle(&grafana, &admin, &document, &none, &Options::default()).await?;
        let drift: Vec<_> =
            corrected.drift.iter().map(|it| (it.at.to_string(), it.fields.join(" "))).collect();
        let expected = [
            ("datasources[0]", "url secureJsonData.extra secureJsonData.password secureJsonData.second"),
            ("contactPoints[0].receivers[0]", "settings.severity"),
            ("contactPoints[0].receivers[1]", "settings.hmacConfig.secret"),
        ];
        assert_eq!(drift, expected.map(|(at, fields)| (at.to_owned(), fields.to_owned())));
        let effective = grafana.effective(1).await?;
        let secure = json!({"password": "Pa$$w0rd", "second": "set", "extra": ""});
        assert_eq!(effective["datasources"][0]["secure"], secure);
        assert!(!effective.to_string().contains("REDACTED"));
        let look = grafana.send(&Datasource::look(1, "db"), &admin).await?;
        let seen = Datasource::read(Answer { status: look.status, body: &look.body })?.unwrap();
        assert_eq!(seen.missing(document.at(&steps("datasources/0")).unwrap()), Vec::<String>::new());
        assert_eq!(seen.secure().iter().collect::<Vec<_>>(), ["password", "second"]);
        Ok(())
    })
}

#[test]
fn what_leaves_the_document_is_deleted() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-leaves").await?;
        let admin = grafana.admin();
        let document = with("key");
        settle(&grafana, &admin, &document, &Inventory::default(), &Options::default()).await?;
        let nothing = resolved(&json!({}), &[]);
        let gone = tombstones(&Inventory::of(&document), &Inventory::default(), &Inventory::default());
        let plan = settle(&grafana, &admin, &nothing, &gone, &Options::default()).await?;
        assert!(plan.writes.len() == 4 && plan.writes.iter().all(|write| write.is_deletion));
        let effective = grafana.effective(1).await?;
        assert_eq!(names(&effective["contactPoints"], "uid"), ["default-email"]);
        assert_eq!(effective["datasources"], json!([]));
        assert_eq!(effective["policies"], json!({"receiver": "grafana-default-email"}));
        Ok(())
    })
}

#[test]
fn what_a_file_owns_is_told_and_not_touched() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-owned").await?;
        let document = with("key");
        deliver(&grafana, SCOPE, &document, &Inventory::default()).await?;
        let before = grafana.effective(1).await?;
        let changed = with("another key");
        let rotated = Inventory::of(&changed).0;
        let options = Options { rotated, is_editable: true };
        let plan = settle(&grafana, &grafana.admin(), &changed, &Inventory::default(), &options).await?;
        assert!(plan.writes.is_empty());
        assert_eq!(plan.drift.iter().filter(|it| it.is_of_a_file).count(), 4);
        assert_eq!(grafana.effective(1).await?, before);
        Ok(())
    })
}

#[test]
fn an_entry_may_stay_editable() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-editable").await?;
        let options = Options { is_editable: true, ..Options::default() };
        settle(&grafana, &grafana.admin(), &with("key"), &Inventory::default(), &options).await?;
        let points = grafana.effective(1).await?["contactPoints"].take();
        let provenances: Vec<_> =
            points.as_array().unwrap().iter().map(|point| &point["provenance"]).collect();
        assert!(provenances.iter().all(|it| **it == ""), "{provenances:?}");
        Ok(())
    })
}

/// L02. Guard: `Refusal` keeps the code of an answer alone.
#[test]
fn what_grafana_says_of_a_refused_credential_does_not_leave() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-redacts").await?;
        let admin = grafana.admin();
        let document = with("MARKER-key");
        let writes = plan(&document, &Current::default(), &Inventory::default(), &Options::default()).writes;
        let write = writes.iter().find(|write| write.entry.id == "pd").unwrap();
        for status in [400, 403, 500, 503] {
            grafana.fail("/api/v1/provisioning/contact-points", status, 1).await?;
            let answer = grafana.send(&write.request, &admin).await?;
            assert!(answer.text().contains("MARKER-key"), "the stub repeats what was sent");
            let refusal = Answer { status: answer.status, body: &answer.body }.done().unwrap_err();
            assert_eq!(refusal, Refusal::Status(status));
            assert!(!format!("{refusal} {refusal:?}").contains("MARKER"));
        }
        // A wrong account.
        let answer = grafana.send(&write.request, "Bearer MARKER-token").await?;
        let refusal = Answer { status: answer.status, body: &answer.body }.done().unwrap_err();
        assert!(answer.text().contains("MARKER-token"));
        assert_eq!(refusal.to_string(), "grafana answered 401: it does not accept the account");

        // A delivery whose error holds the whole address.
        settle(&grafana, &admin, &document, &Inventory::default(), &Options::default()).await?;
        let error = "Post \"https://hooks.example/MARKER\": unexpected status code 403";
        grafana.failed_delivery("ops", 0, error).await?;
        let answer = grafana.send(&deliveries(1), &admin).await?;
        assert!(answer.text().contains("MARKER"));
        let found = deliveries_of(Answer { status: answer.status, body: &answer.body })?;
        let failing: Vec<_> = found.iter().filter(|it| it.is_failing).collect();
        assert_eq!((failing.len(), failing[0].contact_point.as_str(), failing[0].integration), (1, "ops", 0));
        assert!(!format!("{found:?}").contains("MARKER"));
        Ok(())
    })
}

#[test]
fn a_reload_needs_a_server_administrator() -> Result<()> {
    block_on(async {
        let grafana = Grafana::start("grafana-accounts").await?;
        let token = grafana.token("glsa_token", "Admin").await?;
        for (authorization, status) in [
            (grafana.admin(), 200),
            (token, 403),
            (basic("admin", "wrong"), 401),
            ("Bearer none".to_owned(), 401),
        ] {
            let answer = grafana.send(&reload(FileKind::Alerting), &authorization).await?;
            assert_eq!(answer.status, status, "{authorization}");
        }
        Ok(())
    })
}
