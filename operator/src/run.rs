//! Starts everything, waits for the signal to stop, and stops everything in the right order.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::{error, info};
use waxwing_crds::Reason;

use crate::{
    client::Clients,
    context::Context,
    events::Events,
    flags::Flags,
    harden,
    http::{self, Health},
    inject::{
        alertmanager::{self, AlertmanagerInjections},
        grafana::{self, GrafanaInjections},
        teams::{self, AlertReceivers},
    },
    key_ring::KeyRingLoop,
    lease::Elector,
    logs,
    pull::{
        cluster_external_secret::{self, ClusterExternalSecrets},
        external_secret::{self, ExternalSecrets},
        secret_store::{self, Stores},
    },
    queue::Class,
    ring::Ring,
    sealed_secret::{self, SealedSecrets},
    watch as watches, workers,
};

/// How long work waits for a usable ring before it tells every object that there is none.
const RING_PATIENCE: Duration = Duration::from_secs(30);

/// The whole program.
pub fn main() -> ExitCode {
    let flags = Flags::parse();
    logs::start(&flags);
    harden::quiet_panics();
    harden::harden();
    match begin(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn begin(flags: Flags) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().context("no threads")?;
    // As a task, because the thread that blocks is none of the runtime's: each turn of its loops would wake another thread.
    runtime
        .block_on(async { tokio::spawn(run(flags)).await.context("the operator has come to a sudden end")? })
}

async fn run(flags: Flags) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(wait_for_signal(stop)?);
    let listener =
        http::bind(flags.listen).await.with_context(|| format!("cannot listen on {}", flags.listen))?;
    let clients = Clients::connect().await?;
    let me = replica_name(&flags);
    info!(
        version = env!("CARGO_PKG_VERSION"),
        key_ring = flags.keyring,
        namespaces = if flags.namespaces.is_empty() { "all".to_owned() } else { flags.namespaces.join(",") },
        replica = me,
        "waxwing-operator begins"
    );

    let ring_changed = Arc::new(Notify::new());
    let (elector, leadership) = Elector::new(
        clients.requests.clone(),
        &flags.operator_namespace,
        &flags.keyring,
        &me,
        ring_changed.clone(),
    );
    let (ring_sender, ring) = watch::channel(Arc::new(Ring::unread(&flags.keyring)));
    let events = Events::new(clients.requests.clone(), &me);
    let context = Arc::new(Context::new(clients.requests.clone(), flags, ring, leadership, events));

    let mut tasks = JoinSet::new();
    let synced = watches::start(&context, &clients.watches, &ring_changed, &mut tasks);
    tasks.spawn(http::serve(listener, Arc::new(Health { context: context.clone(), synced: synced.clone() })));
    tasks.spawn(KeyRingLoop::new(context.clone(), ring_sender, ring_changed, synced.clone()).run());
    tasks.spawn(look_again_when_the_ring_changes(context.clone()));
    tasks.spawn(external_secret::end_leases(context.clone()));
    tasks.spawn(external_secret::keep_logins(context.clone()));
    // The lease outlives the work, so that nobody else begins before we have ended.
    let (work_ended, may_release) = watch::channel(false);
    let elector = tokio::spawn(elector.run(signalled(may_release)));

    // Objects that are in order should not be called out of order only because the ring was not read yet.
    let filled = async {
        synced.done().await;
        let mut ring = context.ring.clone();
        let read = ring.wait_for(|ring| ring.unusable != Some(Reason::KeyRingNotReady));
        timeout(RING_PATIENCE, read).await.is_ok()
    };
    tokio::select! {
        _ = filled => {
            watches::tell(&context);
            let sealed = |context: Arc<Context>, key| async move { sealed_secret::reconcile(&context, &key).await };
            let external = |context: Arc<Context>, key| async move { external_secret::reconcile(&context, &key).await };
            let stores = |context: Arc<Context>, key| async move { secret_store::reconcile(&context, &key).await };
            let cluster = |context: Arc<Context>, key| async move {
                cluster_external_secret::reconcile(&context, &key).await
            };
            let injections = |context: Arc<Context>, key| async move { alertmanager::reconcile(&context, &key).await };
            let grafana = |context: Arc<Context>, key| async move { grafana::reconcile(&context, &key).await };
            let teams = |context: Arc<Context>, key| async move { teams::reconcile(&context, &key).await };
            let stop = || signalled(stopped.clone());
            futures::join!(
                workers::run::<SealedSecrets, _, _>(context.clone(), stop(), sealed),
                workers::run::<ExternalSecrets, _, _>(context.clone(), stop(), external),
                workers::run::<Stores, _, _>(context.clone(), stop(), stores),
                workers::run::<ClusterExternalSecrets, _, _>(context.clone(), stop(), cluster),
                workers::run::<AlertReceivers, _, _>(context.clone(), stop(), teams),
                workers::run::<AlertmanagerInjections, _, _>(context.clone(), stop(), injections),
                workers::run::<GrafanaInjections, _, _>(context.clone(), stop(), grafana),
            );
        }
        () = signalled(stopped.clone()) => {}
    }
    work_ended.send_replace(true);
    let _ = elector.await;
    tasks.shutdown().await;
    info!("waxwing-operator has ended");
    Ok(())
}

/// A change of the ring concerns every object.
async fn look_again_when_the_ring_changes(context: Arc<Context>) {
    let mut ring = context.ring.clone();
    while ring.changed().await.is_ok() {
        context.sealed_secrets.keys().iter().for_each(|key| context.look(key, Class::Changed));
        context.pull.external.keys().iter().for_each(|key| context.look_external(key, Class::Changed));
        context
            .inject
            .alertmanager
            .keys()
            .iter()
            .for_each(|key| context.look_alertmanager(key, Class::Changed));
        context.inject.grafana.keys().iter().for_each(|key| context.look_grafana(key, Class::Changed));
    }
}

/// The pod's name, or something that no other replica has.
fn replica_name(flags: &Flags) -> String {
    flags.pod_name.clone().unwrap_or_else(|| {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        format!("{host}-{:08x}", fastrand::u32(..))
    })
}

/// Resolves once the channel says true.
async fn signalled(mut channel: watch::Receiver<bool>) {
    // A sender that is gone will not say it any more: that counts as said.
    let _ = channel.wait_for(|said| *said).await;
}

/// Listens for the signals that ask to stop.
fn wait_for_signal(stop: watch::Sender<bool>) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be waited for")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => info!("asked to stop (SIGTERM)"),
            _ = interrupt.recv() => info!("asked to stop (SIGINT)"),
        }
        stop.send_replace(true);
        // Holds the channel open.
        std::future::pending::<()>().await;
    })
}
