//! What the watches have seen, by namespace and name.
//!
//! A store is written by its watch and, after the operator's own writes, with what the API server answered, so that
//! the next look does not work on what is already outdated. Older versions never replace newer ones.

use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Namespace and name of one object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// `namespace/name`: neither part can contain a slash.
    joined: Arc<str>,
}

impl ObjectKey {
    /// Joins the two.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { joined: format!("{namespace}/{name}").into() }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.joined.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.joined.split_once('/').map_or(&self.joined, |(_, name)| name)
    }
}

impl Hash for ObjectKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.joined.hash(state);
    }
}

impl Borrow<str> for ObjectKey {
    fn borrow(&self) -> &str {
        &self.joined
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.joined)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a store keeps of an object.
pub trait Record {
    /// The API's version of the object. Compared as a number, as the API allows; 0 when it is none.
    fn version(&self) -> u64;
    /// The object's uid.
    fn uid(&self) -> &str;
}

/// Records by namespace and name. Clones share them.
pub struct Store<V> {
    records: Arc<RwLock<HashMap<ObjectKey, Arc<V>>>>,
}

impl<V> Clone for Store<V> {
    fn clone(&self) -> Self {
        Self { records: self.records.clone() }
    }
}

impl<V> Default for Store<V> {
    fn default() -> Self {
        Self { records: Arc::default() }
    }
}

impl<V: Record> Store<V> {
    /// The record of one object.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<V>> {
        self.read().get(key).cloned()
    }

    /// Every key that is there now.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.read().keys().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// Looks at each record, under the lock: `look` must be short.
    pub fn each(&self, mut look: impl FnMut(&ObjectKey, &V)) {
        self.read().iter().for_each(|(key, record)| look(key, record));
    }

    /// Stores a record, and gives the one that it replaced. `Err` when a newer version of the same object, or this
    /// very one, is already there: nothing has changed then.
    pub fn put(&self, key: &ObjectKey, record: V) -> Result<Option<Arc<V>>, V> {
        let mut records = self.write();
        if let Some(known) = records.get(key)
            && known.uid() == record.uid()
            && known.version() >= record.version()
        {
            return Err(record);
        }
        Ok(records.insert(key.clone(), Arc::new(record)))
    }

    /// Stores a record whatever is there: a fresh list is the truth.
    pub(crate) fn replace(&self, key: &ObjectKey, record: V) -> Option<Arc<V>> {
        self.write().insert(key.clone(), Arc::new(record))
    }

    /// Forgets an object, unless another one has taken its place.
    pub fn remove(&self, key: &ObjectKey, uid: &str) -> bool {
        let mut records = self.write();
        let gone = records.get(key).is_some_and(|known| known.uid() == uid);
        if gone {
            records.remove(key);
        }
        gone
    }

    /// Keeps the keys that `keep` says yes to, and gives the others.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&ObjectKey) -> bool) -> Vec<(ObjectKey, Arc<V>)> {
        let mut records = self.write();
        let gone = records.extract_if(|key, _| !keep(key)).collect();
        records.shrink_to_fit();
        gone
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<ObjectKey, Arc<V>>> {
        self.records.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<ObjectKey, Arc<V>>> {
        self.records.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Seen(&'static str, u64);

    impl Record for Seen {
        fn version(&self) -> u64 {
            self.1
        }
        fn uid(&self) -> &str {
            self.0
        }
    }

    #[test]
    fn a_key_gives_back_its_parts() {
        let key = ObjectKey::new("apps", "db.password");
        assert_eq!((key.namespace(), key.name()), ("apps", "db.password"));
        assert_eq!(key.to_string(), "apps/db.password");
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let (store, key) = (Store::default(), ObjectKey::new("a", "b"));
        assert!(store.put(&key, Seen("u", 9)).is_ok());
        assert_eq!(store.put(&key, Seen("u", 9)).err(), Some(Seen("u", 9)));
        assert!(store.put(&key, Seen("u", 3)).is_err());
        assert_eq!(store.get(&key).as_deref(), Some(&Seen("u", 9)));
        assert!(store.put(&key, Seen("u", 10)).is_ok());
    }

    #[test]
    fn an_object_created_anew_replaces_the_old_one_and_outlives_its_late_deletion() {
        let (store, key) = (Store::default(), ObjectKey::new("a", "b"));
        assert!(store.put(&key, Seen("old", 9)).is_ok());
        assert!(store.put(&key, Seen("new", 4)).is_ok());
        assert!(!store.remove(&key, "old"));
        assert!(store.remove(&key, "new"));
        assert!(store.is_empty());
    }
}
