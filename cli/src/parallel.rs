//! The same work for many things, on every processor.

use std::{
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// Threads at most: more of them only wait for the same disk.
const THREADS: usize = 16;

/// Does `work` for each of `items`; the results come in the order of the items. `done` is told on this thread how many
/// are ready.
pub(crate) fn map<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
    done: impl FnMut(usize),
) -> Vec<R> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    map_with(processors.min(THREADS), items, work, done)
}

/// As [`map`], for work that is no more than waiting: renaming a file over another waits for the disk to forget that.
pub(crate) fn map_waiting<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
    done: impl FnMut(usize),
) -> Vec<R> {
    map_with(THREADS, items, work, done)
}

fn map_with<T: Send, R: Send>(
    threads: usize,
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
    mut done: impl FnMut(usize),
) -> Vec<R> {
    let total = items.len();
    let threads = threads.min(total);
    if threads <= 1 {
        let each = |(index, item)| {
            let result = work(item);
            done(index + 1);
            result
        };
        return items.into_iter().enumerate().map(each).collect();
    }
    let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    let mut found: Vec<(usize, R)> = Vec::with_capacity(total);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, items, next, work) = (sender.clone(), &items, &next, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let taken = item.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if let Some(taken) = taken
                        && sender.send((index, work(taken))).is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for result in results {
            found.push(result);
            done(found.len());
        }
    });
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_and_every_one_is_counted() {
        let mut counted = Vec::new();
        let doubled = map((0..1000).collect(), |number: usize| number * 2, |done| counted.push(done));
        assert_eq!(doubled, (0..1000).map(|number| number * 2).collect::<Vec<_>>());
        assert_eq!(counted, (1..=1000).collect::<Vec<_>>());
        assert!(map(Vec::new(), |number: usize| number, |_| {}).is_empty());
    }
}
