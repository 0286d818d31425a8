//! Files with sealed resources: found, read, changed in place, written back.
//!
//! A file may hold several documents and lists, and things that are not ours; all of that stays
//! byte for byte. A malformed document fails for itself and hides no other.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use waxwing_core::{
    seal::{DataKey, Scope, Sealed},
    yaml::{
        self, Document, YamlError,
        edit::{Edit, Step, apply},
    },
};
use waxwing_crds::{SealedSecret, names};

use crate::{
    args::Context,
    error::{Explain, Failure, Result},
    json,
    write::{self, Mode, Prepared, Sync},
};

/// Which of several resources in a file is meant, and where it belongs if it doesn't say.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Choice {
    /// Name of the resource, where the file holds several
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Namespace of the resource, where the file holds several or doesn't say
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

impl Choice {
    /// The namespace for resources that don't say theirs.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether one resource was named.
    pub(crate) fn is_made(&self) -> bool {
        self.name.is_some()
    }

    fn fits(&self, item: &Item) -> bool {
        let (namespace, name) = names_of(&item.object);
        self.name.as_deref().is_none_or(|wanted| wanted == name)
            && self.namespace.as_deref().is_none_or(|wanted| namespace.is_none_or(|given| given == wanted))
    }
}

/// One sealed resource in a file.
pub(crate) struct Item {
    /// The resource as it was read.
    pub(crate) object: SealedSecret,
    /// Its sealed part.
    pub(crate) sealed: Sealed,
    place: Place,
}

/// Where a resource stands in its file.
#[derive(Clone, Debug)]
struct Place {
    document: usize,
    /// Into a list's items.
    way: Vec<Step>,
}

/// A file and the sealed resources in it.
pub(crate) struct SealedFile {
    path: PathBuf,
    before: String,
    text: String,
    /// The sealed resources, or why one of them can't be read.
    pub(crate) items: Vec<Result<Item>>,
}

impl Item {
    /// `SealedSecret NAMESPACE/NAME`.
    pub(crate) fn title(&self) -> String {
        title(names_of(&self.object).0.unwrap_or_default(), &names_of(&self.object).1)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether a key is composed by a template.
    pub(crate) fn template_has(&self, key: &DataKey) -> bool {
        self.object.spec.template.as_ref().is_some_and(|template| template.data.contains_key(key.as_str()))
    }
}

impl SealedFile {
    /// Reads a file. Its resources may each have failed; see [`Self::items`].
    pub(crate) fn read(path: &Path, namespace: Option<&str>) -> Result<Self> {
        Self::from_bytes(path, fs::read(path).at(path.display())?, namespace)
    }

    fn from_bytes(path: &Path, bytes: Vec<u8>, namespace: Option<&str>) -> Result<Self> {
        let text = String::from_utf8(bytes).map_err(|_| Failure::new("not UTF-8 text").at(path.display()))?;
        Self::parse(path, text, namespace).at(path.display())
    }

    /// As [`Self::read`], for a text at hand.
    pub(crate) fn parse(path: &Path, text: String, namespace: Option<&str>) -> Result<Self> {
        let mut items = Vec::new();
        for document in yaml::each_document(&text)? {
            match document {
                Ok(document) => items.extend(items_of(&document, &text, namespace)),
                Err(error) => items.push(Err(error.into())),
            }
        }
        Ok(Self { path: path.to_owned(), before: text.clone(), text, items })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The text as it is now.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a change was made.
    pub(crate) fn is_changed(&self) -> bool {
        self.text != self.before
    }

    /// The one resource that is meant.
    pub(crate) fn choose(&self, choice: &Choice) -> Result<usize> {
        match self.choose_any(choice)?.as_slice() {
            [one] => Ok(*one),
            _ => Err(Failure::usage("there are several SealedSecrets in it")
                .at(self.path.display())
                .hint(format!("choose one with --name and --namespace: {}", self.titles()))),
        }
    }

    /// All resources that are meant, at least one. One that can't be read is a failure only where
    /// nothing else is meant: it must not keep anybody from those beside it.
    pub(crate) fn choose_any(&self, choice: &Choice) -> Result<Vec<usize>> {
        let fits = |item: &Result<Item>| item.as_ref().is_ok_and(|item| choice.fits(item));
        let chosen: Vec<usize> = (0..self.items.len()).filter(|index| fits(&self.items[*index])).collect();
        // The one that is named says most.
        let named = choice.name.as_deref().map(|name| format!("/{name}: "));
        let is_named = |failure: &&Failure| named.as_ref().is_some_and(|n| failure.to_string().contains(n));
        let failure = self.unreadable().find(is_named).or_else(|| self.unreadable().next());
        if let (true, Some(failure)) = (chosen.is_empty(), failure) {
            return Err(failure.clone().at(self.path.display()));
        }
        match (chosen.is_empty(), self.items.is_empty()) {
            (false, _) => Ok(chosen),
            (true, true) => Err(Failure::new("there is no SealedSecret in it")
                .at(self.path.display())
                .hint("make one from a Secret manifest or an .env file with waxwing seal")),
            (true, false) => Err(Failure::new("no SealedSecret in it has this name and namespace")
                .at(self.path.display())
                .hint(format!("it holds {}", self.titles()))),
        }
    }

    /// Why what can't be read of it can't be.
    fn unreadable(&self) -> impl Iterator<Item = &Failure> {
        self.items.iter().filter_map(|item| item.as_ref().err())
    }

    /// Names what can't be read of it, and stays as it is. Says whether there is any.
    pub(crate) fn warn_of_unreadable(&self, context: &Context) -> bool {
        for failure in self.unreadable() {
            context.printer.warning(format!("left alone: {}: {failure}", self.path.display()));
        }
        self.unreadable().next().is_some()
    }

    /// The resource at an index that [`Self::choose`] gave.
    pub(crate) fn item(&self, index: usize) -> Result<&Item> {
        match self.items.get(index) {
            Some(Ok(item)) => Ok(item),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::new("there is no such resource")),
        }
    }

    /// The resource with this namespace and name.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<usize> {
        self.items.iter().position(|item| {
            item.as_ref().is_ok_and(|item| {
                let binding = item.sealed.binding();
                binding.name == name && binding.namespace == namespace
            })
        })
    }

    /// Writes a changed sealed part into the text: what differs, and nothing else.
    pub(crate) fn update(&mut self, index: usize, sealed: Sealed) -> Result<()> {
        let object = self.item(index)?.object.clone();
        self.update_object(index, object, sealed)
    }

    /// As [`Self::update`], where other fields of the spec may differ, too.
    pub(crate) fn update_object(
        &mut self,
        index: usize,
        mut object: SealedSecret,
        sealed: Sealed,
    ) -> Result<()> {
        let place = self.item(index)?.place.clone();
        sealed.write_into(&mut object.spec);
        let (old, new) =
            (serde_json::to_value(&self.item(index)?.object.spec)?, serde_json::to_value(&object.spec)?);
        let mut edits = Vec::new();
        for field in ["format", "scope", "type", "envelopes", "data", "immutable", "template"] {
            let path = place.way.iter().cloned().chain(["spec".into(), field.into()]).collect();
            match (old.get(field), new.get(field)) {
                (old, new) if old == new => {}
                (_, Some(value)) => edits.push(Edit::Set { path, value: value.clone() }),
                (_, None) => edits.push(Edit::Remove { path }),
            }
        }
        let text = apply(&self.text, place.document, &edits).at(self.path.display())?;
        self.text = json::keep(&self.text, text)?;
        self.items[index] = Ok(Item { object, sealed, place });
        Ok(())
    }

    /// Gives a resource these maps, whatever they say. What it then holds is for [`Self::parse`] to tell.
    pub(crate) fn set_maps(&mut self, index: usize, envelopes: Value, data: Value) -> Result<()> {
        let way = &self.item(index)?.place;
        let path = |field: &str| way.way.iter().cloned().chain(["spec".into(), field.into()]).collect();
        let edits = [
            Edit::Set { path: path("envelopes"), value: envelopes },
            Edit::Set { path: path("data"), value: data },
        ];
        let text = apply(&self.text, way.document, &edits)?;
        self.text = json::keep(&self.text, text)?;
        Ok(())
    }

    /// The document that a resource stands in, from 0, and the way to it in there.
    pub(crate) fn place(&self, index: usize) -> Result<(usize, &[Step])> {
        let place = &self.item(index)?.place;
        Ok((place.document, &place.way))
    }

    /// Writes the file if it changed.
    pub(crate) fn save(&self) -> Result<()> {
        if !self.is_changed() {
            return Ok(());
        }
        prepare(&self.path, &self.before, &self.text, Sync::Each)?.commit().at(self.path.display())
    }

    /// What is to be written, without the rest; nothing where nothing changed.
    pub(crate) fn into_change(self) -> Option<Change> {
        self.is_changed().then_some(Change { path: self.path, before: self.before, after: self.text })
    }

    fn titles(&self) -> String {
        let titles = self.items.iter().flatten().map(Item::title).collect::<Vec<_>>();
        titles.join(", ")
    }
}

/// A changed file that is not written yet.
pub(crate) struct Change {
    /// The file.
    pub(crate) path: PathBuf,
    before: String,
    /// The new text.
    pub(crate) after: String,
}

impl Change {
    /// The new file, complete beside the old one.
    pub(crate) fn prepare(&self, sync: Sync) -> Result<Prepared> {
        prepare(&self.path, &self.before, &self.after, sync)
    }
}

fn prepare(path: &Path, before: &str, after: &str, sync: Sync) -> Result<Prepared> {
    let prepared = write::prepare_with(path, after.as_bytes(), Mode::Keep, sync).at(path.display())?;
    // A person may have sat at a prompt since it was read. What comes later, `commit` sees.
    if fs::read(path).at(path.display())? != before.as_bytes() {
        return Err(changed_meanwhile(path));
    }
    Ok(prepared)
}

/// `SealedSecret NAMESPACE/NAME`.
pub(crate) fn title(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        format!("SealedSecret {name}")
    } else {
        format!("SealedSecret {namespace}/{name}")
    }
}

/// The refusal to write over what somebody else has just written.
pub(crate) fn changed_meanwhile(path: &Path) -> Failure {
    Failure::new("somebody else changed it in the meantime; nothing was written")
        .at(path.display())
        .hint("run the command again")
}

fn names_of(object: &SealedSecret) -> (Option<&str>, String) {
    let name = object.metadata.name.clone().unwrap_or_default();
    (object.metadata.namespace.as_deref(), name)
}

/// Whether a value is one of our sealed resources, of any version.
pub(crate) fn is_sealed_secret(value: &Value) -> bool {
    let group = value["apiVersion"].as_str().and_then(|version| version.split('/').next());
    value["kind"] == "SealedSecret" && group == Some(names::GROUP)
}

/// Whether a value is a list of resources: `List`, or any kind that ends so and has items.
pub(crate) fn list_items(value: &Value) -> Option<&Vec<Value>> {
    let kind = value["kind"].as_str()?;
    if kind.ends_with("List") { value["items"].as_array() } else { None }
}

fn items_of(document: &Document, text: &str, namespace: Option<&str>) -> Vec<Result<Item>> {
    let place = |way| Place { document: document.index, way };
    if is_sealed_secret(&document.value) {
        let object = document.typed::<SealedSecret>(text);
        return vec![item(object, &document.value, place(Vec::new()), namespace)];
    }
    let Some(items) = list_items(&document.value) else { return Vec::new() };
    let sealed = items.iter().enumerate().filter(|(_, value)| is_sealed_secret(value));
    sealed
        .map(|(index, value)| {
            item(yaml::from_value(value), value, place(vec!["items".into(), index.into()]), namespace)
        })
        .collect()
}

fn item(
    object: std::result::Result<SealedSecret, YamlError>,
    value: &Value,
    place: Place,
    namespace: Option<&str>,
) -> Result<Item> {
    let named = |field| value["metadata"][field].as_str().unwrap_or("?");
    let title = title(named("namespace"), named("name"));
    if value["apiVersion"] != names::API_VERSION {
        return Err(Failure::new(format!("apiVersion is not {}", names::API_VERSION)).at(title));
    }
    let object = object.at(&title)?;
    let (given, name) = names_of(&object);
    let namespace = given.or(namespace).unwrap_or_default();
    if name.is_empty() {
        return Err(Failure::new("metadata.name is missing").at(&title));
    }
    if namespace.is_empty() && object.spec.scope != Scope::Cluster.as_str() {
        return Err(Failure::new("metadata.namespace is missing, and values are bound to it")
            .at(&title)
            .hint("write metadata.namespace into the file, or say --namespace"));
    }
    let sealed = Sealed::parse(&object.spec, namespace, &name).at(&title)?;
    Ok(Item { object, sealed, place })
}

/// Reads a file that was found, or named. One that was only found and has nothing of ours in it is
/// none of our business, whether it can be read or not.
pub(crate) fn read_if_sealed(path: &Path, named: bool) -> Result<Option<SealedFile>> {
    read_if_sealed_in(path, named, None)
}

/// As [`read_if_sealed`], with a namespace for resources that don't say theirs.
pub(crate) fn read_if_sealed_in(
    path: &Path,
    named: bool,
    namespace: Option<&str>,
) -> Result<Option<SealedFile>> {
    let bytes = fs::read(path).at(path.display())?;
    if !could_be_sealed(&bytes) {
        if named {
            return Err(Failure::new("there is no SealedSecret in it").at(path.display()));
        }
        return Ok(None);
    }
    let in_words = says_sealed(&bytes);
    match SealedFile::from_bytes(path, bytes, namespace) {
        // It may be a template of Helm with an escape in it.
        Err(_) if !in_words && !named => Ok(None),
        Ok(file) if !in_words && file.items.iter().all(Result::is_err) => Ok(None),
        file => file.map(|file| (!file.items.is_empty()).then_some(file)),
    }
}

/// Whether a sealed resource could stand in a file: its words do, or letters may stand there in another way.
pub(crate) fn could_be_sealed(bytes: &[u8]) -> bool {
    says_sealed(bytes) || may_hide_words(bytes)
}

fn says_sealed(bytes: &[u8]) -> bool {
    [names::GROUP, "SealedSecret"].iter().all(|word| contains(bytes, word.as_bytes()))
}

/// Whether letters can stand in a text without being seen in it: `"Sealed\u0053ecret"`, or UTF-16.
pub(crate) fn may_hide_words(bytes: &[u8]) -> bool {
    let escapes = |pair: &[u8]| matches!(pair, [b'\\', b'x' | b'u' | b'U' | b'\n' | b'\r']);
    bytes.windows(2).any(escapes) || [[0xfe, 0xff], [0xff, 0xfe]].iter().any(|mark| bytes.starts_with(mark))
}

/// Whether `part` stands anywhere in `bytes`.
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Where to look for files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    /// Everywhere but in hidden files and folders.
    Shown,
    /// Everywhere but in `.git`.
    All,
}

/// What lies under some paths.
#[derive(Default)]
pub(crate) struct Found {
    /// Files that could hold resources; sorted, each once.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Those whose names could be taken for lines of the output. They are not among the files.
    pub(crate) misnamed: BTreeSet<PathBuf>,
}

/// Files that could hold resources: those named, and under a folder all `.yaml`, `.yml` and
/// `.json` files outside of hidden folders. Sorted, each once.
///
/// # Errors
/// One of them cannot be read, or has a control character in its name.
pub(crate) fn files(paths: &[PathBuf], context: &Context) -> Result<Vec<PathBuf>> {
    let found = find(paths, Within::Shown, context)?;
    match found.misnamed.first() {
        Some(path) => Err(Failure::new(format!("{path:?} has a control character in its name"))
            .hint("rename it: such a name could be taken for lines of the output")),
        None => Ok(found.files.into_iter().collect()),
    }
}

/// As [`files`], with more to choose and to know.
pub(crate) fn find(paths: &[PathBuf], within: Within, context: &Context) -> Result<Found> {
    let mut found = Found::default();
    let mut folders = Vec::new();
    for path in paths {
        if fs::metadata(path).at(path.display())?.is_dir() {
            folders.push(path.clone());
        } else {
            found.add(path.clone());
        }
    }
    while let Some(folder) = folders.pop() {
        context.printer.progress(format!("looking in {}", folder.display()));
        for entry in fs::read_dir(&folder).at(folder.display())? {
            let entry = entry.at(folder.display())?;
            let kind = entry.file_type().at(folder.display())?;
            let path = if folder == Path::new(".") { PathBuf::from(entry.file_name()) } else { entry.path() };
            let left_out = match within {
                Within::Shown => entry.file_name().to_string_lossy().starts_with('.'),
                Within::All => entry.file_name() == ".git",
            };
            let yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
            if left_out {
                continue;
            }
            if kind.is_dir() && !is_misnamed(&path) {
                folders.push(path);
            } else if kind.is_dir() || yaml && path.is_file() {
                found.add(path);
            }
        }
    }
    Ok(found)
}

impl Found {
    fn add(&mut self, path: PathBuf) {
        let place = if is_misnamed(&path) { &mut self.misnamed } else { &mut self.files };
        place.insert(path);
    }
}

/// Other than line breaks the printer escapes by itself; here all are refused alike.
fn is_misnamed(path: &Path) -> bool {
    path.to_string_lossy().contains(char::is_control)
}
