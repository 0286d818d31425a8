//! What this process remembers: of single objects, where there is something to remember, and of commits for seconds.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use waxwing_core::plan::Memory;

use super::source::Sources;
use crate::store::ObjectKey;

/// Memories by object, and commits.
#[derive(Default)]
pub struct Memories {
    objects: Mutex<HashMap<ObjectKey, Memory>>,
    pub(super) sources: Sources,
}

impl Memories {
    pub(super) fn of(&self, key: &ObjectKey) -> Memory {
        self.lock().get(key).cloned().unwrap_or_default()
    }

    pub(super) fn set(&self, key: &ObjectKey, memory: Memory) {
        if memory == Memory::default() {
            self.lock().remove(key);
        } else {
            self.lock().insert(key.clone(), memory);
        }
    }

    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.sources.forget(key);
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Memory>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
