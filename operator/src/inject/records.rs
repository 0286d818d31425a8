//! What is kept of injections and AlertReceivers: as for SealedSecrets, JSON text that is decoded when it is looked at.

use waxwing_core::injection::{alertmanager, grafana};
use waxwing_crds::{
    AlertReceiver, AlertReceiverSpec, AlertReceiverStatus, AlertmanagerInjection, AlertmanagerInjectionSpec,
    Condition, GrafanaInjection, GrafanaInjectionSpec, InjectionStatus,
};

use crate::{
    records::{ObjectRecord, Served},
    store::ObjectKey,
};

/// The kind, as labels and status name it.
pub(crate) const ALERT_RECEIVER: &str = "AlertReceiver";

/// Marks AlertmanagerInjections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ForAlertmanager {}

/// Marks GrafanaInjections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ForGrafana {}

/// Marks AlertReceivers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OfTeam {}

/// What is kept of an AlertmanagerInjection.
pub(crate) type AlertmanagerRecord = ObjectRecord<ForAlertmanager>;
/// What is kept of a GrafanaInjection.
pub(crate) type GrafanaRecord = ObjectRecord<ForGrafana>;
/// What is kept of an AlertReceiver.
pub(crate) type AlertReceiverRecord = ObjectRecord<OfTeam>;

impl Served for ForAlertmanager {
    type Crd = AlertmanagerInjection;
    type Spec = AlertmanagerInjectionSpec;
    type Status = InjectionStatus;
    const KIND: &'static str = alertmanager::KIND;

    fn said(status: &InjectionStatus) -> (Option<i64>, &[Condition]) {
        (status.observed_generation, &status.conditions)
    }
}

impl Served for ForGrafana {
    type Crd = GrafanaInjection;
    type Spec = GrafanaInjectionSpec;
    type Status = InjectionStatus;
    const KIND: &'static str = grafana::KIND;

    fn said(status: &InjectionStatus) -> (Option<i64>, &[Condition]) {
        (status.observed_generation, &status.conditions)
    }
}

impl Served for OfTeam {
    type Crd = AlertReceiver;
    type Spec = AlertReceiverSpec;
    type Status = AlertReceiverStatus;
    const KIND: &'static str = ALERT_RECEIVER;

    fn said(status: &AlertReceiverStatus) -> (Option<i64>, &[Condition]) {
        (status.observed_generation, &status.conditions)
    }
}

impl AlertmanagerRecord {
    /// Whether it takes in AlertReceivers.
    pub(crate) fn includes(&self) -> bool {
        self.spec_json().contains("\"include\"")
    }
}

impl AlertReceiverRecord {
    /// The injection that it names.
    pub(crate) fn injection(&self) -> Option<ObjectKey> {
        let injection = self.decode().spec.ok()?.injection;
        Some(ObjectKey::new(&injection.namespace, &injection.name))
    }
}
