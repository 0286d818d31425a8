//! What this process remembers of single objects of one kind, where there is something to remember.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::store::ObjectKey;

/// Memories by object.
pub struct Memories<M> {
    objects: Mutex<HashMap<ObjectKey, M>>,
}

impl<M> Default for Memories<M> {
    fn default() -> Self {
        Self { objects: Mutex::default() }
    }
}

impl<M: Clone + Default + PartialEq> Memories<M> {
    pub(crate) fn of(&self, key: &ObjectKey) -> M {
        self.lock().get(key).cloned().unwrap_or_default()
    }

    pub(crate) fn set(&self, key: &ObjectKey, memory: M) {
        if memory == M::default() {
            self.lock().remove(key);
        } else {
            self.lock().insert(key.clone(), memory);
        }
    }

    pub(crate) fn forget(&self, key: &ObjectKey) -> Option<M> {
        self.lock().remove(key)
    }

    /// Looks at each, under the lock: `look` must be short.
    pub(crate) fn each(&self, mut look: impl FnMut(&ObjectKey, &M)) {
        self.lock().iter().for_each(|(key, memory)| look(key, memory));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, M>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
