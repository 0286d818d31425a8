//! What a team may not have Alertmanager do for it, because Alertmanager can more than the team.
//!
//! A team chooses where its notifications go. So nothing may go there that is not the team's: no file of Alertmanager's pod,
//! no identity of that pod, no environment variable of a container beside it, and no credential that `global` has for the
//! platform's own servers. What a team's URL reaches from that pod is not decided here; `docs/TEAMS.md` says so.

use crate::{
    alertmanager::{
        capability,
        schema::{
            self,
            inherited::{FAMILIES, HTTP_CONFIG, HTTP_CREDENTIALS, Inherited, TLS_CREDENTIALS, URLS, is_file},
        },
    },
    inject::{Node, Step, Steps},
};

/// Says what a team's receiver or one of its routes may not have.
pub(super) fn check(receiver: &Node, routes: &[Node], global: Option<&Node>) -> Result<(), String> {
    // As in a configuration, so that the tables know the places.
    let within = Steps::default().name("receivers").item(0);
    let mut fault = None;
    receiver.each(&mut within.clone(), &mut |at, node| {
        // What is null is as good as nothing.
        if matches!(node, Node::Null) {
            return;
        }
        let shown =
            || Steps([Step::Name("receiver".to_owned())].into_iter().chain(at.0[2..].to_vec()).collect());
        if is_file(at) {
            return refuse(
                &mut fault,
                &shown(),
                "it would be read from the pod of Alertmanager, where others have files too",
            );
        }
        expansion(node, &shown, &mut fault);
    });
    for (index, route) in routes.iter().enumerate() {
        let mut at = Steps::default().name("routes").item(index);
        route.each(&mut at, &mut |at, node| expansion(node, &|| at.clone(), &mut fault));
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    for (list, items) in
        receiver.as_map().into_iter().flatten().filter(|(list, _)| schema::is_integration(list))
    {
        for (index, integration) in items.as_list().unwrap_or_default().iter().enumerate() {
            let at = Steps::default().name("receiver").name(list).item(index);
            if list == "sns_configs" {
                signature(integration, &at)?;
            }
            if let Some(global) = global {
                inheritance(list, integration, &at, global)?;
            }
        }
    }
    Ok(())
}

fn refuse(fault: &mut Option<String>, at: &Steps, why: &str) {
    fault.get_or_insert_with(|| format!("{at}: {why}"));
}

/// prometheus-operator's reloader puts environment variables into what it writes.
fn expansion(node: &Node, at: &dyn Fn() -> Steps, fault: &mut Option<String>) {
    if let Node::Text(text) = node
        && capability::expands(text)
    {
        refuse(fault, &at(), "$(NAME) stands in it, for which an environment variable may be put in");
    }
}

/// Without keys of the team's, SNS is called with what the pod of Alertmanager may do in AWS.
fn signature(integration: &Node, at: &Steps) -> Result<(), String> {
    let own = integration.get("sigv4");
    let has = |name| own.is_some_and(|own| is_own(own, name));
    let at = at.name("sigv4");
    if !has("access_key") || !has("secret_key") {
        return Err(format!(
            "{at}: it needs an access_key and a secret_key of its own: what the pod of Alertmanager may do is not the team's"
        ));
    }
    if own.is_some_and(|own| is_there(own, "profile")) {
        return Err(format!("{at}.profile: it would be read from the pod of Alertmanager"));
    }
    Ok(())
}

/// That no credential of `global` goes where a team wants it to.
fn inheritance(list: &str, integration: &Node, at: &Steps, global: &Node) -> Result<(), String> {
    let family = FAMILIES.iter().find(|family| family.list == list);
    let destinations = family.map_or(&[][..], |family| family.destinations);
    let chosen = destinations.iter().copied().chain([HTTP_CONFIG]).find(|name| is_there(integration, name));
    let credentials = family.map_or(&[][..], |family| family.credentials);
    for Inherited { global: names, own, always } in
        chosen.is_some().then_some(credentials).into_iter().flatten()
    {
        let chosen = chosen.unwrap_or_default();
        if let Some(name) = always.filter(|name| is_there(global, name)) {
            return Err(format!("{at}.{chosen}: global.{name} would go there, whatever else is set"));
        }
        if let Some(name) = names.iter().find(|name| is_there(global, name))
            && !own.iter().any(|own| is_own(integration, own))
        {
            let own = own.first().copied().unwrap_or_default();
            return Err(format!("{at}.{chosen}: global.{name} would go there: set {own}, too"));
        }
    }
    let (field, of_global, url) = if list == "email_configs" {
        ("tls_config", global.get("smtp_tls_config").is_some_and(proves_by_tls), chosen)
    } else {
        let url = URLS.iter().copied().find(|name| is_there(integration, name));
        (HTTP_CONFIG, global.get(HTTP_CONFIG).is_some_and(proves), url)
    };
    // One of their own takes the place of the whole.
    let has_own = matches!(integration.get(field), Some(Node::Map(_)));
    match url {
        Some(url) if of_global && !has_own => {
            let name = if list == "email_configs" { "smtp_tls_config" } else { HTTP_CONFIG };
            Err(format!("{at}.{url}: the credentials of global.{name} would go there: set {field}, too"))
        }
        _ => Ok(()),
    }
}

/// Whether an `http_config` proves to a server who is calling.
fn proves(http: &Node) -> bool {
    HTTP_CREDENTIALS.iter().any(|name| is_there(http, name))
        || http.get("tls_config").is_some_and(proves_by_tls)
}

fn proves_by_tls(tls: &Node) -> bool {
    TLS_CREDENTIALS.iter().any(|name| is_there(tls, name))
}

/// Whether Alertmanager might find something there.
fn is_there(node: &Node, name: &str) -> bool {
    node.get(name).is_some_and(|value| !matches!(value, Node::Null))
}

/// Whether Alertmanager surely finds a text there, so that it looks nowhere else.
fn is_own(node: &Node, name: &str) -> bool {
    match node.get(name) {
        Some(Node::Leaf(_)) => true,
        // Some of its types take these words for nothing, even in quotes.
        Some(value) => value.text().is_some_and(|text| !matches!(text, "" | "null" | "~")),
        None => false,
    }
}
