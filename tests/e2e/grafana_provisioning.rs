//! What core makes of a GrafanaInjection, read by the stub of `tests/servers/stubs/grafana.py`: no real Grafana can be had
//! here. `docs/GRAFANA.md` says what the stub was written from.

mod api;
mod files;

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_core::Secret;
use waxwing_core::grafana::{File, FileKind, Inventory, Scope, files};
use waxwing_core::inject::{Node, Step, Steps};
use waxwing_tests::grafana::Grafana;

const SCOPE: Scope<'static> = Scope { namespace: "monitoring", name: "main" };

/// A document with the credentials in their places, as resolving leaves them.
fn resolved(document: &Value, credentials: &[(&str, &str)]) -> Node {
    let mut node = Node::read(document).unwrap();
    for (at, value) in credentials {
        let place = node.at_mut(&steps(at)).unwrap_or_else(|| panic!("{at} is in the document"));
        *place = Node::Secret(Secret::new(value.as_bytes().to_vec()));
    }
    node
}

/// `a/0/b` as a place.
fn steps(text: &str) -> Steps {
    let step = |part: &str| part.parse().map_or_else(|_| Step::Name(part.to_owned()), Step::Item);
    Steps(text.split('/').map(step).collect())
}

/// Publishes a document, and makes Grafana read it. It must take it.
async fn deliver(grafana: &Grafana, scope: Scope<'_>, document: &Node, tombstones: &Inventory) -> Result<()> {
    for file in files(scope, document, tombstones) {
        grafana.publish(&file)?;
    }
    for kind in [FileKind::Datasources, FileKind::Alerting] {
        let (outcome, text) = grafana.reload(kind).await?;
        assert_eq!(outcome, Ok(()), "{text}");
    }
    Ok(())
}

/// The file of a document's kind.
fn file(document: &Node, kind: FileKind) -> File {
    files(SCOPE, document, &Inventory::default()).into_iter().find(|file| file.kind == kind).unwrap()
}

/// The names in a list that [`Grafana::effective`] gives.
fn names(list: &Value, field: &str) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    let mut names: Vec<_> = items.map(|item| item[field].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// A contact point with one webhook.
fn webhook(name: &str, uid: &str) -> Value {
    json!({"name": name, "receivers": [{"uid": uid, "type": "webhook",
        "settings": {"url": "https://sink.example", "authorization_credentials": "set"}}]})
}
