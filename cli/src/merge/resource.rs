//! The three-way merge of one resource's tokens and envelopes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use waxwing_core::seal::{Binding, DataKey, Envelope, EnvelopeId, Sealed, Token};
use waxwing_crds::SealedSecretSpec;

use super::Maps;

/// What the maps shall be in each text. Where there is no conflict they are the same in all three.
pub(super) struct Resource {
    pub(super) base: Maps,
    pub(super) ours: Maps,
    pub(super) theirs: Maps,
    /// The merged resource; none where there is a conflict, or where it would not be valid.
    pub(super) sealed: Option<Sealed>,
    /// Whether the maps themselves had no conflict.
    pub(super) is_clean: bool,
    pub(super) conflicts: Vec<String>,
}

/// Stands in the base's text where a line has to be a conflict though only one side changed it. Nobody sees it but who
/// has Git show the base in conflicts, too.
const MARK: &str = "changed";

/// Merges one map key: what only one side changed is taken, the same change on both sides, too.
enum One<T> {
    Same(Option<T>),
    Conflict,
}

fn three_way<T: PartialEq + Clone>(base: Option<&T>, ours: Option<&T>, theirs: Option<&T>) -> One<T> {
    if ours == theirs || theirs == base {
        One::Same(ours.cloned())
    } else if ours == base {
        One::Same(theirs.cloned())
    } else {
        One::Conflict
    }
}

pub(super) fn merge(base: &Sealed, ours: &Sealed, theirs: &Sealed) -> Resource {
    let mut conflicts = Vec::new();
    let mut tokens: [BTreeMap<DataKey, Token>; 3] = Default::default();
    let mut marked: BTreeSet<DataKey> = BTreeSet::new();
    let binding = three_way(Some(base.binding()), Some(ours.binding()), Some(theirs.binding()));
    let keys: BTreeSet<&DataKey> =
        [base, ours, theirs].iter().flat_map(|side| side.tokens().keys()).collect();
    for key in keys {
        let sides = [base, ours, theirs].map(|side| side.tokens().get(key));
        let [old, our, their] = sides;
        let clean = match three_way(old, our, their) {
            One::Same(None) => continue,
            One::Same(Some(token)) => {
                // A token opens under the scope and the type of the side that sealed it.
                let moved = [(our, ours), (their, theirs)].into_iter().any(|(has, side)| {
                    has == Some(&token)
                        && old != has
                        && !matches!(&binding, One::Same(Some(b)) if b == side.binding())
                });
                (!moved).then_some(token)
            }
            One::Conflict => None,
        };
        if let Some(token) = clean {
            tokens.iter_mut().for_each(|side| drop(side.insert(key.clone(), token.clone())));
            continue;
        }
        conflicts.push(if our.is_none() || their.is_none() {
            format!("key {key} was changed on one side and removed on the other")
        } else if our == old || their == old {
            format!("key {key} was sealed on one side for another scope or type than the other side's")
        } else {
            format!("key {key} was changed on both sides")
        });
        for (side, token) in tokens.iter_mut().zip(sides) {
            side.extend(token.map(|token| (key.clone(), token.clone())));
        }
        if our == old || their == old {
            marked.insert(key.clone());
        }
    }
    if matches!(binding, One::Conflict) {
        conflicts.push("its scope or type was changed on both sides".to_owned());
    }
    let mut maps = tokens.map(|tokens| Maps {
        data: tokens.iter().map(|(key, token)| (key.to_string(), json!(token.to_string()))).collect(),
        envelopes: BTreeMap::new(),
    });
    for key in marked {
        maps[0].data.insert(key.to_string(), json!(MARK));
    }
    conflicts.extend(envelopes([base, ours, theirs], &mut maps));
    let sealed = match binding {
        One::Same(Some(binding)) if conflicts.is_empty() => parse(&maps[1], &binding),
        _ => None,
    };
    let is_clean = conflicts.is_empty();
    let [base, ours, theirs] = maps;
    Resource { base, ours, theirs, sealed, is_clean, conflicts }
}

/// Merges the envelopes that the tokens of either side need, and drops all others. Gives the conflicts.
fn envelopes(sides: [&Sealed; 3], maps: &mut [Maps; 3]) -> Vec<String> {
    let mut conflicts = Vec::new();
    let tokens = maps.iter().skip(1).flat_map(|maps| maps.data.values());
    let needed: BTreeSet<EnvelopeId> = tokens
        .filter_map(|token| token.as_str()?.parse::<Token>().ok())
        .map(|token| token.envelope())
        .collect();
    for id in needed {
        let [base, ours, theirs] = sides.map(|side| side.envelopes().get(&id));
        let chosen = match (ours, theirs) {
            (None, one) | (one, None) => one.cloned(),
            (Some(our), Some(their)) => match three_way(base, ours, theirs) {
                One::Same(one) => one,
                One::Conflict => rewrapped(base, our, their).cloned(),
            },
        };
        match chosen {
            Some(envelope) => {
                let text = spec(&envelope);
                maps.iter_mut().for_each(|maps| drop(maps.envelopes.insert(id.to_string(), text.clone())));
            }
            None => {
                conflicts.push(format!("envelope {id} was wrapped for different recipients on both sides"));
                for (maps, envelope) in maps.iter_mut().zip([base, ours, theirs]) {
                    maps.envelopes.extend(envelope.map(|envelope| (id.to_string(), spec(envelope))));
                }
            }
        }
    }
    conflicts
}

/// Which of two wrappings of the same data key is taken: that of the side that changed the recipients, and ours where
/// both have the same; none where both have changed them, differently.
fn rewrapped<'a>(base: Option<&Envelope>, ours: &'a Envelope, theirs: &'a Envelope) -> Option<&'a Envelope> {
    let names = |envelope: &Envelope| (envelope.to().to_vec(), envelope.readers());
    if ours.spec().commit != theirs.spec().commit {
        None
    } else if names(ours) == names(theirs) || base.is_some_and(|base| names(base) == names(theirs)) {
        Some(ours)
    } else if base.is_some_and(|base| names(base) == names(ours)) {
        Some(theirs)
    } else {
        None
    }
}

fn spec(envelope: &Envelope) -> Value {
    json!(envelope.spec())
}

fn parse(maps: &Maps, binding: &Binding) -> Option<Sealed> {
    let mut spec: SealedSecretSpec = serde_json::from_value(json!({
        "format": "", "scope": "", "type": "", "envelopes": maps.envelopes, "data": maps.data,
    }))
    .ok()?;
    spec.format = waxwing_core::seal::FORMAT.to_owned();
    spec.scope = binding.scope.to_string();
    spec.secret_type = binding.secret_type.clone();
    Sealed::parse(&spec, &binding.namespace, &binding.name).ok()
}

/// The base's maps, with a mark at each key that a side changed or added.
pub(super) fn with_marks(base: &Sealed, changed: &Sealed) -> Maps {
    let mut spec = SealedSecretSpec::default();
    base.write_into(&mut spec);
    let mut data: BTreeMap<String, Value> =
        spec.data.into_iter().map(|(key, token)| (key, json!(token))).collect();
    let differs = changed.tokens().iter().filter(|(key, token)| base.tokens().get(*key) != Some(*token));
    data.extend(differs.map(|(key, _)| (key.to_string(), json!(MARK))));
    let envelopes = spec.envelopes.into_iter().map(|(id, envelope)| (id, json!(envelope))).collect();
    Maps { envelopes, data }
}
