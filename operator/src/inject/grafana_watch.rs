//! What Grafana is told after something was published, and what it shows of it.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_core::{
    grafana::{self, Inventory, api::Delivery},
    injection::{
        grafana::{Made, contact_point_name},
        plan::{Good, Input, Load, Seen},
    },
    plan::Event,
};
use waxwing_crds::{GrafanaTargetKind, Reason};

use super::{
    grafana::{Given, Observed},
    grafana_api::{Grafana, Settled, Trouble, account},
    look::few,
    resolve::resolve,
};
use crate::{context::Context, store::ObjectKey};

/// Seconds until a changed Secret has certainly arrived where a pod has it mounted: the kubelet looks once a minute, and what
/// it knows may be another minute old.
const MOUNTED: i64 = 150;

/// Tells Grafana, where it is told, and looks whether it has what was published.
pub(super) async fn watch_over(
    ctx: &Context,
    key: &ObjectKey,
    input: &Input<'_>,
    observed: &Observed,
    good: &Good,
    given: Option<&Given>,
) -> (Seen, Vec<Event>) {
    let target = &observed.spec.target;
    match (target.kind, given) {
        (GrafanaTargetKind::Api, Some(Given { made, grafana: Some(Ok(grafana)) })) => {
            let Settled { troubles, corrected } = grafana.settle(made, target.is_editable).await;
            let mut seen = Seen { failing: failing(grafana, observed).await, ..Seen::default() };
            settle(&mut seen, Reason::GrafanaRefused, &troubles);
            let note = |entry| Event {
                warning: true,
                reason: Reason::DriftCorrected,
                note: format!("{entry} had been changed in Grafana and was restored"),
            };
            (seen, corrected.iter().map(note).collect())
        }
        // Everything is right, so only notifications are looked at.
        (GrafanaTargetKind::Api, _) => {
            let seen = match reach(ctx, key, input.object.uid, observed).await {
                Some(Ok(grafana)) => Seen { failing: failing(&grafana, observed).await, ..Seen::default() },
                _ => Seen::default(),
            };
            (seen, Vec::new())
        }
        // A file that was read stays read.
        (GrafanaTargetKind::Mounted, Some(Given { made, grafana: Some(grafana) })) if !good.loaded => {
            let mut seen = Seen::default();
            let remaining = match grafana {
                Ok(grafana) => read(grafana, observed, made).await,
                Err(trouble) => Err(trouble.clone()),
            };
            match remaining {
                Err(trouble) => settle(&mut seen, Reason::ReloadFailed, &[trouble]),
                Ok(remaining) => seen.load = Some(mounted(input, good, &remaining)),
            }
            (seen, Vec::new())
        }
        _ => (Seen::default(), Vec::new()),
    }
}

/// Makes Grafana read its files, and gives what they were to delete and is there still.
async fn read(grafana: &Grafana, observed: &Observed, made: &Made) -> Result<Inventory, Trouble> {
    let kinds = observed.spec.target.carriers.iter().flat_map(|carrier| carrier.kinds);
    grafana.reload(&kinds.copied().collect::<Vec<_>>()).await?;
    grafana.remaining(&made.tombstones).await
}

/// Whether the Secret has certainly arrived in the pod.
fn mounted(input: &Input<'_>, good: &Good, remaining: &Inventory) -> Load {
    let published = input.object.status.published.as_ref();
    let at = published.filter(|published| published.revision == good.revision);
    let at = at.and_then(|published| published.at.as_ref()).map_or(input.now, |at| at.0.as_second());
    let problem = match remaining.0.first() {
        Some(entry) => Some(format!("grafana still has {entry}")),
        None if at + MOUNTED > input.now => Some("the Secret may not have arrived yet".to_owned()),
        None => None,
    };
    Load { loaded: usize::from(problem.is_none()), all: 1, problem }
}

/// Grafana, with the account that the spec names, where it names one.
pub(super) async fn reach(
    ctx: &Context,
    key: &ObjectKey,
    uid: &str,
    observed: &Observed,
) -> Option<Result<Grafana, Trouble>> {
    let (Some(url), Some(auth)) = (&observed.spec.target.url, &observed.spec.target.auth) else {
        return None;
    };
    let references = auth.references().into_iter().cloned().collect();
    let account = match resolve(ctx, key, uid, &references, false).await {
        Ok(resolved) => account(auth, &resolved.answers),
        Err(fault) => return Some(Err(Trouble { message: fault.message, is_passing: true })),
    };
    Some(match account {
        Ok(account) => Grafana::find(&ctx.pull.rules, key.namespace(), url, account).await,
        Err(message) => Err(Trouble { message, is_passing: false }),
    })
}

/// What troubles mean: one that may pass is waited for.
fn settle(seen: &mut Seen, reason: Reason, troubles: &[Trouble]) {
    let messages = |is_passing: bool| {
        let those = troubles.iter().filter(|trouble| trouble.is_passing == is_passing);
        those.map(|trouble| trouble.message.clone()).collect::<Vec<_>>()
    };
    let (lasting, passing) = (messages(false), messages(true));
    if lasting.is_empty() {
        let problem = (!passing.is_empty()).then(|| few(&passing));
        seen.load = Some(Load { loaded: usize::from(passing.is_empty()), all: 1, problem });
    } else {
        seen.refused = Some((reason, few(&lasting)));
    }
}

/// The contact points whose last notification failed; none where Grafana does not say.
async fn failing(grafana: &Grafana, observed: &Observed) -> Option<BTreeMap<String, String>> {
    let own: BTreeSet<_> = grafana::contact_points(&observed.spec.document).collect();
    let mut failing = BTreeMap::new();
    for org in own.iter().map(|(org, _)| *org).collect::<BTreeSet<_>>() {
        let deliveries = grafana.deliveries(org).await.ok()?;
        for delivery in deliveries.into_iter().filter(|delivery| delivery.is_failing) {
            let Delivery { contact_point, integration, .. } = delivery;
            let name = contact_point_name(org, &contact_point);
            if own.contains(&(org, contact_point)) {
                // What Grafana says of it may hold the address of a webhook.
                failing.insert(name, format!("its integration {integration} failed"));
            }
        }
    }
    Some(failing)
}
