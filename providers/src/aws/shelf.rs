//! What the two services have in common: several entries by one request, and the others one by one.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use tokio::time::Instant;
use waxwing_core::store::{Entry, Failure, Kind, Read};

use super::about;

/// A service.
pub(super) trait Shelf: Sync {
    /// How many entries one request takes.
    const BATCH: usize;

    /// Whether a batch can answer this.
    fn is_plain(read: &Read) -> bool;

    /// What AWS is asked for.
    fn id(&self, key: &str) -> Result<String, Failure>;

    /// Whether batches were refused lately.
    fn no_batches(&self) -> &Abstinence;

    /// Reads these different ids at once. What it does not answer is asked for by itself.
    fn batch(&self, ids: Vec<String>) -> impl Future<Output = Result<Parts, Failure>> + Send;

    /// Reads one.
    fn one(&self, read: &Read) -> impl Future<Output = Result<Entry, Failure>> + Send;
}

/// What a batch answered.
#[derive(Default)]
pub(super) struct Parts(Vec<Part>);

struct Part {
    is: Box<dyn Fn(&str) -> bool + Send>,
    result: Result<Entry, Failure>,
}

impl Parts {
    /// Adds the answer to every id that `is` one of this entry's.
    pub(super) fn add(&mut self, result: Result<Entry, Failure>, is: impl Fn(&str) -> bool + Send + 'static) {
        self.0.push(Part { is: Box::new(is), result });
    }
}

/// Reads all, in as few requests as the service takes. One answer for each, in their order.
pub(super) async fn read_all<S: Shelf>(shelf: &S, reads: &[Read]) -> Vec<Result<Entry, Failure>> {
    let mut answers: BTreeMap<usize, Result<Entry, Failure>> = BTreeMap::new();
    let plain: Vec<_> = (0..reads.len()).filter(|&index| S::is_plain(&reads[index])).collect();
    for chunk in plain.chunks(S::BATCH).filter(|chunk| chunk.len() > 1) {
        if !shelf.no_batches().holds() {
            answers.append(&mut batch(shelf, reads, chunk).await);
        }
    }
    let rest: Vec<_> = (0..reads.len()).filter(|index| !answers.contains_key(index)).collect();
    let single = |index: usize| async move {
        let read = &reads[index];
        let result = shelf.one(read).await.map_err(|failure| about(failure, &read.key));
        (index, result)
    };
    let rest: Vec<_> = stream::iter(rest.into_iter().map(single)).buffer_unordered(AT_ONCE).collect().await;
    answers.extend(rest);
    answers.into_values().collect()
}

async fn batch<S: Shelf>(
    shelf: &S,
    reads: &[Read],
    chunk: &[usize],
) -> BTreeMap<usize, Result<Entry, Failure>> {
    let mut answers = BTreeMap::new();
    let mut asked = BTreeMap::new();
    for &index in chunk {
        match shelf.id(&reads[index].key) {
            Ok(id) => asked.entry(id).or_insert_with(Vec::new).push(index),
            Err(failure) => _ = answers.insert(index, Err(failure)),
        }
    }
    if asked.is_empty() {
        return answers;
    }
    match shelf.batch(asked.keys().cloned().collect()).await {
        Ok(parts) => {
            for Part { is, result } in parts.0 {
                for &index in asked.iter().filter(|(id, _)| is(id)).flat_map(|(_, indices)| indices) {
                    answers
                        .insert(index, result.clone().map_err(|failure| about(failure, &reads[index].key)));
                }
            }
        }
        // Each by itself, and for a while only so.
        Err(failure) if failure.kind == Kind::Forbidden => shelf.no_batches().begin(),
        // It can be the fault of one of them.
        Err(failure) if is_about_entries(failure.kind) => {}
        Err(failure) => {
            answers.extend(asked.into_values().flatten().map(|index| (index, Err(failure.clone()))))
        }
    }
    answers
}

/// Whether one entry of a batch can be what such a failure is about.
pub(super) fn is_about_entries(kind: Kind) -> bool {
    matches!(kind, Kind::BadData | Kind::EntryMissing | Kind::Forbidden | Kind::Rejected | Kind::TooLarge)
}

/// What is left alone for a while after it was forbidden. Somebody may allow it any time.
#[derive(Default)]
pub(super) struct Abstinence(Mutex<Option<Instant>>);

impl Abstinence {
    pub(super) fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + ABSTINENCE);
    }

    pub(super) fn holds(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|end| Instant::now() < end)
    }
}

const ABSTINENCE: Duration = Duration::from_secs(3600);
/// Requests at once where there is no batch.
const AT_ONCE: usize = 5;
