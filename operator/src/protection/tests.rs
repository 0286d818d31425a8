//! With a protector that is a table: what it wrapped, it gives back to whoever names the same ring and recipient.

use std::sync::Mutex;

use async_trait::async_trait;
use waxwing_core::Secret;

use super::*;

#[derive(Default)]
struct Table {
    wrapped: Mutex<Vec<(Bond, Secret)>>,
    /// How requests fail.
    fails: Mutex<Option<Kind>>,
    requests: Mutex<u32>,
}

impl Table {
    fn asked(&self) -> Result<(), Failure> {
        *self.requests.lock().unwrap() += 1;
        self.fails.lock().unwrap().map_or(Ok(()), |kind| Err(Failure::new(kind, "it is away")))
    }

    fn requests(&self) -> u32 {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    fn fail(&self, kind: impl Into<Option<Kind>>) {
        *self.fails.lock().unwrap() = kind.into();
    }
}

#[async_trait]
impl Protector for Table {
    fn kind(&self) -> ProtectionKind {
        ProtectionKind::VaultTransit
    }

    async fn wrap(&self, identity: &Secret, bond: &Bond) -> Result<Wrapped, Failure> {
        self.asked()?;
        let mut wrapped = self.wrapped.lock().unwrap();
        wrapped.push((bond.clone(), identity.clone()));
        Ok(Wrapped { key: "waxwing".to_owned(), text: (wrapped.len() - 1).to_string() })
    }

    async fn unwrap(&self, wrapped: &Wrapped, bond: &Bond) -> Result<Secret, Failure> {
        self.asked()?;
        let (of, identity) = self.wrapped.lock().unwrap()[wrapped.text.parse::<usize>().unwrap()].clone();
        if of == *bond { Ok(identity) } else { Err(Failure::new(Kind::Rejected, "it is of another")) }
    }
}

/// With a block that names a server.
fn at(server: &str) -> Protection {
    let block = waxwing_crds::VaultTransit { server: server.to_owned(), ..Default::default() };
    Protection { vault_transit: Some(block), ..spec() }
}

fn spec() -> Protection {
    Protection { kind: ProtectionKind::VaultTransit, ..Protection::default() }
}

fn bond(ring: &str, recipient: &Recipient) -> Bond {
    Bond { ring: ring.to_owned(), recipient: recipient.to_string() }
}

/// A safe that has just started.
fn safe(table: &Arc<Table>) -> Safe {
    let table = table.clone();
    let mut safe = Safe::with("default", move |_, _| Ok(table.clone() as Arc<dyn Protector>));
    safe.follow(Some(&spec()));
    safe
}

/// The Secret of an identity that was wrapped for this ring.
async fn wrapped(table: &Table, ring: &str, number: u32) -> IdentitySecret {
    let identity = Identity::generate();
    let bond = bond(ring, identity.recipient());
    let Wrapped { key, text } = table.wrap(&identity.to_text(), &bond).await.unwrap();
    IdentitySecret {
        name: format!("waxwing-{number}"),
        created_at: None,
        ring: Some(ring.to_owned()),
        identity: None,
        wrapped: Some(WrappedIdentity {
            recipient: identity.recipient().clone(),
            by: WrappedBy { kind: ProtectionKind::VaultTransit, key, ring: "default".to_owned() },
            text,
        }),
    }
}

async fn some(table: &Table, count: u32) -> Vec<IdentitySecret> {
    let mut secrets = Vec::new();
    for number in 0..count {
        secrets.push(wrapped(table, "default", number).await);
    }
    table.requests();
    secrets
}

/// Opens all, and says which are open, locked and malformed.
async fn look(safe: &mut Safe, secrets: &[IdentitySecret]) -> (usize, usize, usize) {
    let mut secrets = secrets.to_vec();
    safe.open(&mut secrets, |_| true).await;
    let found: Vec<_> = secrets.iter().map(IdentitySecret::found).collect();
    let malformed = found.iter().filter(|found| found.recipient.is_none()).count();
    let locked = found.iter().filter(|found| found.locked).count();
    (secrets.iter().filter(|secret| secret.identity.is_some()).count(), locked, malformed)
}

#[tokio::test(start_paused = true)]
async fn each_identity_is_opened_once() {
    let table = Arc::new(Table::default());
    let (mut safe, mut secrets) = (safe(&table), some(&table, 20).await);
    assert_eq!(look(&mut safe, &secrets).await, (20, 0, 0));
    assert_eq!(table.requests(), 20);
    assert_eq!(look(&mut safe, &secrets).await, (20, 0, 0));
    assert_eq!(table.requests(), 0);
    // What is gone is forgotten, and other bytes are another identity.
    secrets.truncate(5);
    assert_eq!(look(&mut safe, &secrets).await, (5, 0, 0));
    assert_eq!((table.requests(), safe.known.len()), (0, 5));
    let Wrapped { text, .. } = {
        let recipient = secrets[3].wrapped.as_ref().unwrap().recipient.clone();
        let (_, identity) = table.wrapped.lock().unwrap()[3].clone();
        table.wrap(&identity, &bond("default", &recipient)).await.unwrap()
    };
    table.requests();
    secrets[3].wrapped.as_mut().unwrap().text = text;
    assert_eq!(look(&mut safe, &secrets).await, (5, 0, 0));
    assert_eq!((table.requests(), safe.known.len()), (1, 5));
}

/// K31. Guard: what is known is known by what was wrapped (`Safe::known`).
#[tokio::test(start_paused = true)]
async fn an_outage_takes_nothing_that_is_open_when_its_secret_is_written_again() {
    let table = Arc::new(Table::default());
    let (mut safe, mut secrets) = (safe(&table), some(&table, 3).await);
    look(&mut safe, &secrets).await;
    table.requests();
    table.fail(Kind::Unavailable);
    // Labelled, encrypted anew in etcd, or deleted and restored under another name: the same bytes.
    for secret in &mut secrets {
        secret.name.push_str("-restored");
        secret.created_at = Some(1);
        secret.ring = None;
    }
    assert_eq!(look(&mut safe, &secrets).await, (3, 0, 0));
    assert_eq!(table.requests(), 0);
}

/// K31. Guard: `Safe::open_all` keeps what it could not open, and what it has opened.
#[tokio::test(start_paused = true)]
async fn an_outage_locks_what_was_not_opened_yet_and_nothing_else() {
    let table = Arc::new(Table::default());
    let (mut safe, mut secrets) = (safe(&table), some(&table, 3).await);
    look(&mut safe, &secrets).await;
    secrets.extend(some(&table, 20).await);
    table.fail(Kind::Unavailable);
    assert_eq!(look(&mut safe, &secrets).await, (3, 20, 0));
    assert_eq!(table.requests(), 1, "the others are not tried when the first finds nobody");
    assert_eq!(safe.refused().as_deref(), Some("it is away"));
    // Not at once again, but soon.
    assert_eq!(look(&mut safe, &secrets).await, (3, 20, 0));
    assert_eq!(table.requests(), 0);
    table.fail(None);
    tokio::time::advance(safe.again().unwrap() + Duration::from_secs(1)).await;
    assert_eq!(look(&mut safe, &secrets).await, (23, 0, 0));
    assert_eq!((safe.again(), safe.refused()), (None, None));
}

/// K30. Guard: the comparison in `open`, and the ring of the bond, which is this operator's.
#[tokio::test(start_paused = true)]
async fn a_wrapped_identity_is_of_no_use_under_another_name_or_in_another_ring() {
    let table = Arc::new(Table::default());
    let mut safe = safe(&table);
    let secrets = some(&table, 2).await;
    let recipient = |secret: &IdentitySecret| secret.wrapped.as_ref().unwrap().recipient.clone();
    // Bytes of one Secret in another one: whoever holds the key refuses, and it stays locked.
    let mut moved = secrets[0].clone();
    moved.wrapped.as_mut().unwrap().recipient = recipient(&secrets[1]);
    assert_eq!(look(&mut safe, &[moved]).await, (0, 1, 0));
    // Of another ring, and it says so or does not.
    let mut other = wrapped(&table, "other", 7).await;
    assert_eq!(look(&mut safe, std::slice::from_ref(&other)).await, (0, 1, 0));
    other.wrapped.as_mut().unwrap().by.ring = "other".to_owned();
    table.requests();
    assert_eq!(look(&mut safe, &[other]).await, (0, 0, 1));
    assert_eq!(table.requests(), 0);
    // Wrapped for that recipient by somebody who may use the key, and something else.
    let liar = Identity::generate();
    table.wrapped.lock().unwrap()[0] = (bond("default", &recipient(&secrets[0])), liar.to_text());
    assert_eq!(look(&mut safe, &secrets).await, (1, 0, 1));
}

/// K30. Guard: `wanted` in `Safe::open`.
#[tokio::test(start_paused = true)]
async fn an_identity_that_nobody_knows_makes_no_request() {
    let table = Arc::new(Table::default());
    let (mut safe, mut secrets) = (safe(&table), some(&table, 3).await);
    safe.open(&mut secrets, |_| false).await;
    assert_eq!(table.requests(), 0);
    assert!(secrets.iter().all(|secret| secret.identity.is_none() && secret.found().locked));
}

/// K31. Guard: `Safe::make` gives no identity that was not wrapped.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_wrapped_is_not_made_and_is_tried_again_after_a_while() {
    let table = Arc::new(Table::default());
    let mut safe = safe(&table);
    table.fail(Kind::Sealed);
    for _ in 0..3 {
        assert_eq!(safe.make().await.err().map(|failure| failure.kind), Some(Kind::Sealed));
    }
    assert_eq!((table.requests(), safe.refused()), (1, None));
    table.fail(None);
    tokio::time::advance(safe.again().unwrap() + Duration::from_secs(1)).await;
    let made = safe.make().await.ok().unwrap();
    assert_eq!(table.wrapped.lock().unwrap()[0].0, bond("default", made.recipient()));
    assert_eq!((safe.again(), safe.refused()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn another_spec_is_tried_at_once_and_what_is_open_stays_open() {
    let table = Arc::new(Table::default());
    let (mut safe, secrets) = (safe(&table), some(&table, 2).await);
    look(&mut safe, &secrets[..1]).await;
    table.fail(Kind::Forbidden);
    assert_eq!(look(&mut safe, &secrets).await, (1, 1, 0));
    table.fail(None);
    table.requests();
    safe.follow(Some(&spec()));
    assert_eq!(look(&mut safe, &secrets).await, (1, 1, 0));
    safe.follow(None);
    assert_eq!(look(&mut safe, &secrets).await, (2, 0, 0));
    assert_eq!(table.requests(), 1);
    // Nothing is wrapped any more.
    assert!(safe.make().await.is_ok());
    assert_eq!(table.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_and_is_not_wanted_any_more_is_not_tried_again() {
    let table = Arc::new(Table::default());
    let (mut safe, secrets) = (safe(&table), some(&table, 2).await);
    look(&mut safe, &secrets[..1]).await;
    table.fail(Kind::Forbidden);
    safe.follow(Some(&at("another")));
    assert_eq!(look(&mut safe, &secrets).await, (1, 1, 0));
    assert!(safe.again().is_some() && safe.refused().is_some() && safe.unproven().is_some());
    tokio::time::advance(Duration::from_secs(60)).await;
    table.requests();
    safe.open(&mut secrets.clone(), |_| false).await;
    assert_eq!((safe.again(), safe.refused(), safe.unproven()), (None, None, None));
    assert_eq!(table.requests(), 0);
    // Wanted again, they are tried at once.
    table.fail(None);
    assert_eq!(look(&mut safe, &secrets).await, (2, 0, 0));
    assert_eq!((table.requests(), safe.again()), (2, None));
}

/// K31. Guard: `Safe::follow` has what is open proved by the block that is there now, and `Safe::refuse` keeps it open.
#[tokio::test(start_paused = true)]
async fn what_another_block_does_not_open_stays_open_and_is_told() {
    let table = Arc::new(Table::default());
    let (mut safe, secrets) = (safe(&table), some(&table, 3).await);
    safe.follow(Some(&at("one")));
    look(&mut safe, &secrets).await;
    assert_eq!((table.requests(), safe.unproven()), (3, None));
    // The same keys by another address: each is opened once more, and all is well.
    safe.follow(Some(&at("two")));
    for _ in 0..2 {
        assert_eq!(look(&mut safe, &secrets).await, (3, 0, 0));
    }
    assert_eq!((table.requests(), safe.unproven(), safe.again()), (3, None, None));
    // The other kind's block, or which of them wraps, is nothing to these.
    let other = Protection { kind: ProtectionKind::None, aws_kms: Some(Default::default()), ..at("two") };
    safe.follow(Some(&other));
    assert_eq!(look(&mut safe, &secrets).await, (3, 0, 0));
    assert_eq!(table.requests(), 0);
    // A server that has other keys.
    table.fail(Kind::Rejected);
    safe.follow(Some(&at("three")));
    assert_eq!(look(&mut safe, &secrets).await, (3, 0, 0));
    let told = safe.unproven().unwrap();
    assert!(told.contains("3 identities") && told.contains("it is away"), "{told}");
    assert_eq!((table.requests(), safe.refused()), (3, None));
    tokio::time::advance(safe.again().unwrap() + Duration::from_secs(60)).await;
    table.fail(None);
    assert_eq!(look(&mut safe, &secrets).await, (3, 0, 0));
    assert_eq!((table.requests(), safe.unproven(), safe.again()), (3, None, None));
}
