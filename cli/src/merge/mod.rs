//! The three-way merge of files with sealed resources. No key is needed, and nothing is opened.
//!
//! Flow: the tokens and envelopes of each resource are merged as maps. All three texts are then edited to hold the
//! merged maps, so that they no longer differ there, and Git's own merge joins the rest: comments, other fields, other
//! documents. A real conflict is left in the texts, so that Git marks its line. What comes out is read again and compared
//! with what was to come out.
//!
//! Guarantees: what is said to be merged holds every resource and every key that a side added or kept and no side
//! removed, each as one of the sides has it. Anything else, and anything that cannot be understood, is a conflict.

mod resource;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::{Value, json};
use waxwing_core::{plan::Spec, seal::Sealed};
use waxwing_crds::names;

pub(crate) use self::text::Markers;
use crate::{
    error::Result,
    sealed_file::{SealedFile, contains, title},
};

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    /// The new content, with markers where there is a conflict.
    pub(crate) text: Vec<u8>,
    /// Why it is a conflict, each in a few words; of lines that are none of ours, Git's markers tell.
    pub(crate) conflicts: Vec<String>,
}

/// Stands for the namespace of resources that don't say theirs: the same on all sides.
const NO_NAMESPACE: &str = "-";

/// Merges; `base` is empty where both sides added the file.
pub(crate) fn merge(base: &[u8], ours: &[u8], theirs: &[u8], markers: Markers) -> Result<Merged> {
    let is_ours = |text: &&[u8]| [names::GROUP, "SealedSecret"].iter().all(|w| contains(text, w.as_bytes()));
    if ![base, ours, theirs].iter().any(is_ours) {
        let merged = text::merge(base, ours, theirs, markers)?;
        let conflicts =
            if merged.conflicts { vec!["lines that both sides changed".to_owned()] } else { Vec::new() };
        return Ok(Merged { text: merged.text, conflicts });
    }
    let (ours_side, theirs_side) = match (Side::read(ours), Side::read(theirs)) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(why), _) => return not_understood(base, ours, theirs, markers, format!("ours: {why}")),
        (_, Err(why)) => return not_understood(base, ours, theirs, markers, format!("theirs: {why}")),
    };
    // A base that cannot be read (it may hold markers itself) knows no resource, which makes more conflicts, not fewer.
    let base_side = Side::read(base).ok();
    let merge = Merge { base: base_side.as_ref(), ours: &ours_side, theirs: &theirs_side, markers };
    match merge.run(base) {
        Ok(merged) => Ok(merged),
        Err(why) => not_understood(base, ours, theirs, markers, why.to_string()),
    }
}

/// Git's own merge of the lines, which is a conflict in any case.
fn not_understood(base: &[u8], ours: &[u8], theirs: &[u8], markers: Markers, why: String) -> Result<Merged> {
    let text = match text::merge(base, ours, theirs, markers) {
        Ok(merged) if merged.conflicts => merged.text,
        _ => markers.around(ours, theirs),
    };
    Ok(Merged { text, conflicts: vec![why] })
}

/// Namespace and name.
type Id = (String, String);

/// One of the three files.
struct Side {
    file: SealedFile,
    /// Where each resource is among the file's items.
    resources: BTreeMap<Id, usize>,
}

impl Side {
    /// Reads a file. All of it must be understood.
    fn read(bytes: &[u8]) -> std::result::Result<Self, String> {
        let text = String::from_utf8(bytes.to_owned()).map_err(|_| "not UTF-8 text".to_owned())?;
        let file = SealedFile::parse(Path::new("it"), text, Some(NO_NAMESPACE));
        let file = file.map_err(|failure| failure.to_string())?;
        let mut resources = BTreeMap::new();
        for (index, item) in file.items.iter().enumerate() {
            let item = item.as_ref().map_err(|failure| failure.to_string())?;
            let binding = item.sealed.binding();
            let id = (binding.namespace.clone(), binding.name.clone());
            if resources.insert(id, index).is_some() {
                return Err(format!("{} is there twice", item.title()));
            }
        }
        Ok(Self { file, resources })
    }

    fn sealed(&self, id: &Id) -> Option<&Sealed> {
        self.file.item(*self.resources.get(id)?).ok().map(|item| &item.sealed)
    }

    /// Whether each resource in it is one that the operator takes.
    fn is_sound(&self, id: &Id) -> bool {
        let item = self.resources.get(id).and_then(|index| self.file.item(*index).ok());
        item.is_some_and(|item| {
            let mut object = item.object.clone();
            object.metadata.namespace.get_or_insert_with(|| NO_NAMESPACE.to_owned());
            Spec::try_from(&object).is_ok()
        })
    }

    /// The text, with these maps in the places of the resources' own.
    fn with(&self, maps: &BTreeMap<Id, Maps>) -> Result<String> {
        let mut file = SealedFile::parse(Path::new("it"), self.file.text().to_owned(), Some(NO_NAMESPACE))?;
        for (id, index) in &self.resources {
            if let Some(maps) = maps.get(id) {
                let (envelopes, data) = (maps.envelopes.clone(), maps.data.clone());
                file.set_maps(*index, json!(envelopes), json!(data))?;
            }
        }
        Ok(file.text().to_owned())
    }

    /// The text without tokens and envelopes: all that is not merged as maps.
    fn skeleton(&self) -> Result<String> {
        let none = self.resources.keys().map(|id| (id.clone(), Maps::default())).collect();
        self.with(&none)
    }

    /// Whether all its comments are in the base, too: those between tokens are not in the skeleton.
    fn adds_no_comment_to(&self, base: &Self) -> bool {
        let mut known = comments(base.file.text());
        comments(self.file.text()).into_iter().all(|comment| {
            let found = known.iter().position(|other| *other == comment);
            found.map(|index| known.swap_remove(index)).is_some()
        })
    }
}

/// What stands behind a `#`. Neither tokens nor envelopes have one.
fn comments(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_once('#')).map(|(_, comment)| comment).collect()
}

/// How often each comment is there.
fn counted(text: &str) -> BTreeMap<&str, usize> {
    let mut counted = BTreeMap::new();
    for comment in comments(text) {
        *counted.entry(comment).or_default() += 1;
    }
    counted
}

/// `spec.envelopes` and `spec.data` of a resource, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Maps {
    envelopes: BTreeMap<String, Value>,
    data: BTreeMap<String, Value>,
}

/// What the maps of one resource shall be in each of the three texts.
#[derive(Default)]
struct Plan {
    base: BTreeMap<Id, Maps>,
    ours: BTreeMap<Id, Maps>,
    theirs: BTreeMap<Id, Maps>,
    /// What the merged file has to hold, and nothing else.
    expected: BTreeMap<Id, Sealed>,
    conflicts: Vec<String>,
}

struct Merge<'a> {
    base: Option<&'a Side>,
    ours: &'a Side,
    theirs: &'a Side,
    markers: Markers,
}

impl Merge<'_> {
    fn run(&self, base: &[u8]) -> Result<Merged> {
        let plan = self.plan();
        let (ours, theirs) = (self.ours.with(&plan.ours)?, self.theirs.with(&plan.theirs)?);
        let base = match self.base {
            Some(base) => base.with(&plan.base)?.into_bytes(),
            None => base.to_owned(),
        };
        let merged = text::merge(&base, ours.as_bytes(), theirs.as_bytes(), self.markers)?;
        if !plan.conflicts.is_empty() {
            // Git must have marked it; where it has not, the whole file is the conflict.
            let text = if merged.conflicts {
                merged.text
            } else {
                self.markers.around(ours.as_bytes(), theirs.as_bytes())
            };
            return Ok(Merged { text, conflicts: plan.conflicts });
        }
        // An edit takes the comment above a key with it.
        let losing = || {
            let text =
                self.markers.around(self.ours.file.text().as_bytes(), self.theirs.file.text().as_bytes());
            let why = "a comment that one side added would be lost; look at both".to_owned();
            Merged { text, conflicts: vec![why] }
        };
        if !merged.conflicts && self.is_expected(&merged.text, &plan.expected) {
            if !self.has_all_comments(&merged.text) {
                return Ok(losing());
            }
            return Ok(Merged { text: merged.text, conflicts: Vec::new() });
        }
        // Where one side changed nothing but tokens and envelopes, the other's text with the merged maps has everything.
        let base_skeleton = self.base.map(Side::skeleton).transpose()?;
        for (text, other) in [(&ours, self.theirs), (&theirs, self.ours)] {
            if base_skeleton.as_ref() == Some(&other.skeleton()?)
                && self.base.is_some_and(|base| other.adds_no_comment_to(base))
                && self.is_expected(text.as_bytes(), &plan.expected)
            {
                if !self.has_all_comments(text.as_bytes()) {
                    return Ok(losing());
                }
                return Ok(Merged { text: text.clone().into_bytes(), conflicts: Vec::new() });
            }
        }
        let (text, why) = if merged.conflicts {
            (merged.text, "lines that both sides changed")
        } else {
            let around = self.markers.around(ours.as_bytes(), theirs.as_bytes());
            (around, "the sides do not go together; look at both")
        };
        Ok(Merged { text, conflicts: vec![why.to_owned()] })
    }

    fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        let sides = [self.base, Some(self.ours), Some(self.theirs)];
        let ids: BTreeSet<&Id> = sides.iter().flatten().flat_map(|side| side.resources.keys()).collect();
        for id in ids {
            let [base, ours, theirs] = sides.map(|side| side.and_then(|side| side.sealed(id)));
            self.plan_one(id, base, ours, theirs, &mut plan);
        }
        plan
    }

    fn plan_one(
        &self,
        id: &Id,
        base: Option<&Sealed>,
        ours: Option<&Sealed>,
        theirs: Option<&Sealed>,
        plan: &mut Plan,
    ) {
        let namespace = if id.0 == NO_NAMESPACE { "" } else { &id.0 };
        let title = title(namespace, &id.1);
        let mut expect = |sealed: &Sealed| plan.expected.insert(id.clone(), sealed.clone());
        match (base, ours, theirs) {
            (Some(base), Some(ours), Some(theirs)) => {
                let merged = resource::merge(base, ours, theirs);
                let told = merged.conflicts.iter().map(|conflict| format!("{title}: {conflict}"));
                plan.conflicts.extend(told);
                plan.base.insert(id.clone(), merged.base);
                plan.ours.insert(id.clone(), merged.ours);
                plan.theirs.insert(id.clone(), merged.theirs);
                match merged.sealed {
                    Some(sealed) => drop(plan.expected.insert(id.clone(), sealed)),
                    None if merged.is_clean => {
                        plan.conflicts.push(format!("{title}: the sides do not go together; look at both"));
                    }
                    None => {}
                }
            }
            (None, Some(one), None) | (None, None, Some(one)) => drop(expect(one)),
            (None, Some(ours), Some(theirs)) if ours == theirs => drop(expect(ours)),
            (None, Some(_), Some(_)) => plan.conflicts.push(format!("{title} was added on both sides")),
            (Some(base), Some(kept), None) | (Some(base), None, Some(kept)) => {
                if base != kept {
                    plan.conflicts.push(format!(
                        "{title} was changed on one side, and removed or renamed on the other"
                    ));
                    // If it was renamed, Git would put the new tokens under the new name, where they do not open.
                    plan.base.insert(id.clone(), resource::with_marks(base, kept));
                }
            }
            (_, None, None) => {}
        }
    }

    /// Whether a text holds every comment that a side added.
    fn has_all_comments(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        let merged = counted(&text);
        let base = self.base.map(|base| counted(base.file.text())).unwrap_or_default();
        let [ours, theirs] = [self.ours, self.theirs].map(|side| counted(side.file.text()));
        let count =
            |side: &BTreeMap<&str, usize>, comment: &str| side.get(comment).copied().unwrap_or_default();
        [(&ours, &theirs), (&theirs, &ours)].into_iter().all(|(side, other)| {
            side.iter().all(|(comment, here)| {
                let added = here.saturating_sub(count(&base, comment));
                let wanted = (*here).min(count(other, comment) + added);
                added == 0 || count(&merged, comment) >= wanted
            })
        })
    }

    /// Whether a text holds these resources and no others, and all that the operator takes on both sides.
    fn is_expected(&self, text: &[u8], expected: &BTreeMap<Id, Sealed>) -> bool {
        let Ok(merged) = Side::read(text) else { return false };
        let sound = |id: &Id| {
            let sides = [self.ours, self.theirs];
            let were =
                sides.iter().filter(|side| side.resources.contains_key(id)).all(|side| side.is_sound(id));
            !were || merged.is_sound(id)
        };
        merged.resources.len() == expected.len()
            && expected.iter().all(|(id, sealed)| merged.sealed(id) == Some(sealed) && sound(id))
    }
}
