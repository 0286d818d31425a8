//! The watches of injections and AlertReceivers.

use std::sync::Arc;

use super::Fills;
use crate::{
    context::Context,
    inject::{AlertReceiverRecord, AlertmanagerRecord, ForAlertmanager, ForGrafana, GrafanaRecord, OfTeam},
    queue::Class,
    records::Incoming,
    store::{ObjectKey, Store},
};

/// The AlertmanagerInjections.
pub(super) struct AlertmanagerInjections(pub(super) Arc<Context>);

impl Fills for AlertmanagerInjections {
    const MAY_LACK: bool = true;
    type Incoming = Incoming<ForAlertmanager>;
    type Record = AlertmanagerRecord;

    fn split(object: Incoming<ForAlertmanager>) -> (ObjectKey, AlertmanagerRecord) {
        object.into()
    }
    fn store(&self) -> &Store<AlertmanagerRecord> {
        &self.0.inject.alertmanager
    }
    fn changed(&self, key: &ObjectKey, is_new: bool) {
        self.0.look_alertmanager(key, if is_new { Class::New } else { Class::Changed });
    }
    fn gone(&self, key: &ObjectKey, _uid: &str) {
        self.0.forget_alertmanager(key);
        self.0.look_receivers_of(key);
    }
}

/// The GrafanaInjections.
pub(super) struct GrafanaInjections(pub(super) Arc<Context>);

impl Fills for GrafanaInjections {
    const MAY_LACK: bool = true;
    type Incoming = Incoming<ForGrafana>;
    type Record = GrafanaRecord;

    fn split(object: Incoming<ForGrafana>) -> (ObjectKey, GrafanaRecord) {
        object.into()
    }
    fn store(&self) -> &Store<GrafanaRecord> {
        &self.0.inject.grafana
    }
    fn changed(&self, key: &ObjectKey, is_new: bool) {
        self.0.look_grafana(key, if is_new { Class::New } else { Class::Changed });
        self.0.look_grafana_neighbours(key);
    }
    fn gone(&self, key: &ObjectKey, _uid: &str) {
        self.0.forget_grafana(key);
        self.0.look_grafana_neighbours(key);
    }
}

/// The AlertReceivers.
pub(super) struct AlertReceivers(pub(super) Arc<Context>);

impl Fills for AlertReceivers {
    const MAY_LACK: bool = true;
    type Incoming = Incoming<OfTeam>;
    type Record = AlertReceiverRecord;

    fn split(object: Incoming<OfTeam>) -> (ObjectKey, AlertReceiverRecord) {
        object.into()
    }
    fn store(&self) -> &Store<AlertReceiverRecord> {
        &self.0.inject.receivers
    }
    fn changed(&self, key: &ObjectKey, _is_new: bool) {
        self.0.look_team(key);
    }
    fn gone(&self, key: &ObjectKey, _uid: &str) {
        self.0.look_team(key);
    }
}
