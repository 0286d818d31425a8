//! What this process remembers of single objects: only of those about which there is something to remember.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use waxwing_core::plan::Memory;

use crate::store::ObjectKey;

/// Memories by object.
#[derive(Default)]
pub struct Memories(Mutex<HashMap<ObjectKey, Memory>>);

impl Memories {
    pub(super) fn of(&self, key: &ObjectKey) -> Memory {
        self.lock().get(key).cloned().unwrap_or_default()
    }

    pub(super) fn set(&self, key: &ObjectKey, memory: Memory) {
        if memory == Memory::default() {
            self.forget(key);
        } else {
            self.lock().insert(key.clone(), memory);
        }
    }

    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
