//! Which ExternalSecrets give which Secret: its name need not be theirs, and several may merge into one.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::store::ObjectKey;

/// Both directions. Where an ExternalSecret has its Secret's name, as most have, nothing is kept.
#[derive(Default)]
pub(crate) struct Targets(Mutex<State>);

#[derive(Default)]
struct State {
    by_secret: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    by_object: HashMap<ObjectKey, ObjectKey>,
}

impl Targets {
    /// The ExternalSecrets that may give this Secret. The one of its own name is always among them.
    pub(crate) fn of(&self, secret: &ObjectKey) -> Vec<ObjectKey> {
        let others = self.lock().by_secret.get(secret).into_iter().flatten().cloned().collect::<Vec<_>>();
        std::iter::once(secret.clone()).chain(others).collect()
    }

    /// The object gives the Secret of this name in its namespace.
    pub(crate) fn set(&self, object: &ObjectKey, secret: &str) {
        self.forget(object);
        if secret != object.name() {
            let secret = ObjectKey::new(object.namespace(), secret);
            let mut state = self.lock();
            state.by_object.insert(object.clone(), secret.clone());
            state.by_secret.entry(secret).or_default().insert(object.clone());
        }
    }

    /// The object is gone.
    pub(crate) fn forget(&self, object: &ObjectKey) {
        let mut state = self.lock();
        let Some(secret) = state.by_object.remove(object) else { return };
        if let Some(objects) = state.by_secret.get_mut(&secret) {
            objects.remove(object);
            if objects.is_empty() {
                state.by_secret.remove(&secret);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_knows_all_that_give_it_and_forgets_those_that_go() {
        let (targets, key) = (Targets::default(), |name| ObjectKey::new("apps", name));
        targets.set(&key("a"), "shared");
        targets.set(&key("b"), "shared");
        targets.set(&key("c"), "c");
        assert_eq!(targets.of(&key("shared")), [key("shared"), key("a"), key("b")]);
        targets.set(&key("a"), "other");
        targets.forget(&key("b"));
        assert_eq!(targets.of(&key("shared")), [key("shared")]);
        assert_eq!(targets.of(&key("other")), [key("other"), key("a")]);
        assert_eq!(targets.lock().by_secret.len(), 1);
    }
}
