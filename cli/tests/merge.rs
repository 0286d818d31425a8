//! `waxwing merge-driver` under the real `git merge`: a thousand generated merges of files, each compared with a model
//! that knows nothing of how it is done.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    thread,
};

use serde_json::json;
use waxwing_core::{
    Secret,
    keys::{Identities, Identity, NamedRecipient},
    seal::{Binding, DataKey, Scope, Sealed},
    yaml::{self, edit},
};
use waxwing_crds::{SealedSecret, SealedSecretSpec};

const NOW: i64 = 1_789_000_000;
const REPOSITORIES: u64 = 10;
const FILES: u64 = 100;

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// The keys of everybody.
struct People {
    cluster: Identity,
    others: [NamedRecipient; 2],
}

impl People {
    fn new() -> Self {
        let named = |name: &str| NamedRecipient::new(name, Identity::generate().recipient().clone()).unwrap();
        Self { cluster: Identity::generate(), others: [named("recovery"), named("second")] }
    }

    fn identities(&self) -> Identities {
        Identities::from_iter([self.cluster.clone()])
    }

    /// The cluster, and one of the others or both or none.
    fn recipients(&self, choice: usize) -> Vec<NamedRecipient> {
        let cluster = NamedRecipient::new("cluster", self.cluster.recipient().clone()).unwrap();
        let others = self.others.iter().enumerate().filter(|(index, _)| choice & (1 << index) != 0);
        [cluster].into_iter().chain(others.map(|(_, other)| other.clone())).collect()
    }
}

/// One document of a file, and what it means. A value's version is the sealing act that made its token.
#[derive(Clone)]
struct Document {
    text: String,
    /// None in one that is not ours.
    sealed: Option<Sealed>,
    values: BTreeMap<String, (u32, String)>,
    removed: bool,
    /// Comments that were added, and above which key.
    comments: Vec<(String, Option<String>)>,
}

/// A file on one side.
#[derive(Clone)]
struct Side {
    documents: Vec<Document>,
    /// Whether something other than tokens and envelopes was changed.
    changed_lines: bool,
}

struct Generator<'a> {
    numbers: Numbers,
    people: &'a People,
    acts: u32,
}

impl Generator<'_> {
    fn base(&mut self, json: bool) -> Side {
        let count = if json { 1 } else { 1 + self.numbers.below(3) };
        let documents = (0..count).map(|index| self.document(index, json)).collect();
        Side { documents, changed_lines: false }
    }

    fn document(&mut self, index: usize, json: bool) -> Document {
        let plain = Document {
            text: "# not ours\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: \"1\"\n"
                .to_owned(),
            sealed: None,
            values: BTreeMap::new(),
            removed: false,
            comments: Vec::new(),
        };
        if index > 0 && self.numbers.one_in(4) {
            return plain;
        }
        let scope = [Scope::Strict, Scope::Namespace, Scope::Cluster][self.numbers.below(3)];
        let binding = Binding {
            scope,
            namespace: "web".to_owned(),
            name: format!("db-{index}"),
            secret_type: "Opaque".to_owned(),
        };
        let mut sealed = Sealed::empty(binding);
        let mut document = Document { sealed: None, ..plain };
        for _ in 0..=self.numbers.below(3) {
            let keys: BTreeSet<String> =
                (0..=self.numbers.below(3)).map(|_| format!("key-{}", self.numbers.below(8))).collect();
            self.seal(&mut sealed, &mut document.values, keys, 0);
        }
        document.text = text(&sealed, json);
        if !json && self.numbers.one_in(2) {
            document.text = format!("# about {}\n{}", sealed.binding().name, document.text);
        }
        if !json && self.numbers.one_in(3) {
            let key = document.values.keys().next().unwrap().clone();
            document.text = above(&document.text, &key, "of old");
        }
        document.sealed = Some(sealed);
        document
    }

    /// One sealing act.
    fn seal(
        &mut self,
        sealed: &mut Sealed,
        values: &mut BTreeMap<String, (u32, String)>,
        keys: impl IntoIterator<Item = String>,
        recipients: usize,
    ) {
        let mut plain: Vec<(DataKey, Secret)> = Vec::new();
        for key in keys {
            self.acts += 1;
            let value = format!("value {}", self.acts);
            plain.push((key.parse().unwrap(), Secret::new(value.clone().into_bytes())));
            values.insert(key, (self.acts, value));
        }
        let recipients = self.people.recipients(recipients);
        sealed.seal(&plain, &recipients, NOW + i64::from(self.acts)).unwrap();
    }

    /// Changes a side in one to three ways.
    fn change(&mut self, side: &mut Side, label: &str, json: bool) {
        let before: Vec<String> = side.documents.iter().map(|document| document.text.clone()).collect();
        for step in 0..=self.numbers.below(3) {
            let index = self.numbers.below(side.documents.len());
            self.change_document(side, index, &format!("{label}-{step}"), json);
        }
        // What both sides leave alone is no merge.
        if side.documents.iter().map(|document| &document.text).eq(&before) && !side.documents[0].removed {
            self.acts += 1;
            let key = format!("{label}-{}", self.acts);
            self.change_values(&mut side.documents[0], [key]);
        }
    }

    fn change_values(&mut self, document: &mut Document, keys: impl IntoIterator<Item = String>) {
        let mut sealed = document.sealed.clone().unwrap();
        self.seal(&mut sealed, &mut document.values, keys, 0);
        document.write(sealed);
    }

    fn change_document(&mut self, side: &mut Side, index: usize, label: &str, json: bool) {
        let several = side.documents.len() > 1;
        let document = &mut side.documents[index];
        let keys: Vec<String> = document.values.keys().cloned().collect();
        let Some(mut sealed) = document.sealed.clone().filter(|_| !document.removed) else { return };
        let key = if keys.is_empty() { None } else { Some(keys[self.numbers.below(keys.len())].clone()) };
        match (self.numbers.below(24), key) {
            (0..7, Some(key)) => self.change_values(document, [key]),
            (7..12, _) => {
                let new = format!("{}-{label}", ["a", "m", "z"][self.numbers.below(3)]);
                self.change_values(document, [new]);
            }
            (12..15, Some(key)) => {
                sealed.unset(&key.parse().unwrap());
                document.values.remove(&key);
                document.write(sealed);
            }
            (15, Some(key)) => {
                // A renamed key is sealed anew under its new name.
                sealed.unset(&key.parse().unwrap());
                document.values.remove(&key);
                document.write(sealed);
                self.change_values(document, [format!("{key}-renamed")]);
            }
            (16..19, _) => {
                let recipients = self.people.recipients(self.numbers.below(4));
                sealed.rewrap(&self.people.identities(), &recipients).unwrap();
                document.write(sealed);
            }
            (19, Some(_)) => {
                sealed.compact(&self.people.identities(), &self.people.recipients(0), NOW + 9_999).unwrap();
                for (version, _) in document.values.values_mut() {
                    self.acts += 1;
                    *version = self.acts;
                }
                document.write(sealed);
            }
            (20, Some(key)) if !json => {
                let note = format!("note {label}");
                document.text = above(&document.text, &key, &note);
                document.comments.push((note, Some(key)));
                side.changed_lines = true;
            }
            (21, _) if !json => {
                let note = format!("top {label}");
                document.text = format!("# {note}\n{}", document.text);
                document.comments.push((note, None));
                side.changed_lines = true;
            }
            (22, Some(_)) => {
                // Another name or another type: every value is sealed anew.
                let mut binding = sealed.binding().clone();
                if self.numbers.one_in(2) {
                    binding.name = format!("{}-{label}", binding.name);
                } else {
                    binding.secret_type = format!("example.com/{label}");
                }
                let mut moved = Sealed::empty(binding);
                let mut values = BTreeMap::new();
                self.seal(&mut moved, &mut values, keys, 0);
                document.values = values;
                document.write(moved);
                side.changed_lines = true;
            }
            (23, _) if several => {
                document.removed = true;
                side.changed_lines = true;
            }
            _ => {
                let new = format!("k-{label}");
                self.change_values(document, [new]);
            }
        }
    }
}

impl Document {
    /// Writes another sealed part as the commands do: what differs.
    fn write(&mut self, sealed: Sealed) {
        let mut spec = SealedSecretSpec::default();
        sealed.write_into(&mut spec);
        let set = |path: [&str; 2], value| edit::Edit::Set { path: path.map(Into::into).into(), value };
        let edits = [
            set(["metadata", "name"], json!(sealed.binding().name)),
            set(["spec", "type"], json!(spec.secret_type)),
            set(["spec", "envelopes"], json!(spec.envelopes)),
            set(["spec", "data"], json!(spec.data)),
        ];
        self.text = edit::apply(&self.text, 0, &edits).unwrap();
        self.sealed = Some(sealed);
    }
}

fn text(sealed: &Sealed, json: bool) -> String {
    let mut object = SealedSecret::default();
    object.metadata.name = Some(sealed.binding().name.clone());
    object.metadata.namespace = Some(sealed.binding().namespace.clone());
    sealed.write_into(&mut object.spec);
    if json {
        serde_json::to_string_pretty(&object).unwrap() + "\n"
    } else {
        yaml::to_string(&object).unwrap()
    }
}

/// Puts a comment above a key of `data`.
fn above(text: &str, key: &str, note: &str) -> String {
    let (head, data) = text.split_once("\n  data:\n").unwrap();
    let line = format!("    {key}: ");
    let data = data.replacen(&line, &format!("    # {note}\n{line}"), 1);
    format!("{head}\n  data:\n{data}")
}

impl Side {
    fn text(&self, crlf: bool) -> String {
        let documents = self.documents.iter().filter(|document| !document.removed);
        let texts: Vec<&str> = documents.map(|document| document.text.as_str()).collect();
        let text = texts.join("---\n");
        if crlf { text.replace('\n', "\r\n") } else { text }
    }
}

/// What has to become of a file.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Fate {
    Conflicts,
    Merges,
    /// Both sides changed lines that are none of ours: Git may or may not find a conflict there.
    Either,
}

/// One file on all sides.
struct Case {
    name: String,
    base: Side,
    ours: Side,
    theirs: Side,
    crlf: bool,
}

impl Case {
    fn new(name: String, generator: &mut Generator<'_>) -> Self {
        let json = generator.numbers.one_in(12);
        let crlf = !json && generator.numbers.one_in(8);
        let base = generator.base(json);
        let (mut ours, mut theirs) = (base.clone(), base.clone());
        generator.change(&mut ours, "ours", json);
        generator.change(&mut theirs, "theirs", json);
        let name = format!("{name}.{}", if json { "json" } else { "yaml" });
        Self { name, base, ours, theirs, crlf }
    }

    fn documents(&self) -> impl Iterator<Item = [&Document; 3]> {
        let sides = self.base.documents.iter().zip(&self.ours.documents).zip(&self.theirs.documents);
        sides.map(|((base, ours), theirs)| [base, ours, theirs])
    }

    fn fate(&self) -> Fate {
        if self.documents().any(conflicts) {
            Fate::Conflicts
        } else if self.ours.changed_lines && self.theirs.changed_lines
            || self
                .documents()
                .any(|[_, ours, theirs]| comments_go(ours, theirs) || comments_go(theirs, ours))
        {
            Fate::Either
        } else {
            Fate::Merges
        }
    }

    /// Every resource of the merged file with its opened values.
    fn expected(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut expected = BTreeMap::new();
        for [base, ours, theirs] in self.documents() {
            if base.sealed.is_none() {
                continue;
            }
            if ours.removed || theirs.removed {
                continue;
            }
            let name = |document: &Document| document.sealed.as_ref().unwrap().binding().name.clone();
            let old = name(base);
            let name = if name(ours) == old { name(theirs) } else { name(ours) };
            let keys = merged_keys([base, ours, theirs]);
            expected.insert(name, keys.into_iter().map(|(key, (_, value))| (key, value)).collect());
        }
        expected
    }
}

/// The merged values, where there is no conflict.
fn merged_keys([base, ours, theirs]: [&Document; 3]) -> BTreeMap<String, (u32, String)> {
    let keys: BTreeSet<&String> = ours.values.keys().chain(theirs.values.keys()).collect();
    let merged = keys.into_iter().filter_map(|key| {
        let [old, our, their] = [base, ours, theirs].map(|side| side.values.get(key));
        let value = if our == old { their } else { our };
        value.map(|value| (key.clone(), value.clone()))
    });
    merged.collect()
}

/// Whether a side has a comment of its own above a key that the other side has no more.
fn comments_go(side: &Document, other: &Document) -> bool {
    let mut keys = side.comments.iter().filter_map(|(_, key)| key.as_ref());
    keys.any(|key| other.removed || !other.values.contains_key(key))
}

/// Whether what the two sides did to a document does not go together.
fn conflicts([base, ours, theirs]: [&Document; 3]) -> bool {
    let (Some(old), Some(our), Some(their)) = (&base.sealed, &ours.sealed, &theirs.sealed) else {
        return false;
    };
    let renamed = |side: &Sealed| side.binding().name != old.binding().name;
    let gone = |document: &Document, side: &Sealed| document.removed || renamed(side);
    match (gone(ours, our), gone(theirs, their)) {
        (true, true) => return renamed(our) && renamed(their) && !ours.removed && !theirs.removed,
        (true, false) => return their != old,
        (false, true) => return our != old,
        (false, false) => {}
    }
    let version = |document: &Document, key: &str| document.values.get(key).map(|(version, _)| *version);
    let keys: BTreeSet<&String> =
        [base, ours, theirs].iter().flat_map(|document| document.values.keys()).collect();
    let key_conflicts = keys.iter().any(|key| {
        let [old, our, their] = [base, ours, theirs].map(|document| version(document, key));
        our != old && their != old && our != their
    });
    let retyped = |side: &Sealed| side.binding().secret_type != old.binding().secret_type;
    let sealed_more = |document: &Document| {
        document.values.iter().any(|(key, (changed, _))| version(base, key) != Some(*changed))
    };
    let type_conflicts = (retyped(our) && retyped(their))
        || (retyped(our) && sealed_more(theirs))
        || (retyped(their) && sealed_more(ours));
    // An envelope of old that a value still needs, and that both sides have for others.
    let needed = old.tokens().iter().filter(|(key, _)| {
        let key = key.as_str();
        version(base, key) == version(ours, key) && version(base, key) == version(theirs, key)
    });
    let envelope_conflicts = needed.map(|(_, token)| token.envelope()).any(|id| {
        let [old, our, their] = [old, our, their].map(|sealed| sealed.envelopes()[&id].to());
        our != old && their != old && our != their
    });
    key_conflicts || type_conflicts || envelope_conflicts
}

fn git(folder: &Path, args: &[&str]) -> (i32, String) {
    let binary = Path::new(env!("CARGO_BIN_EXE_waxwing"));
    let path = format!("{}:/usr/bin:/bin", binary.parent().unwrap().display());
    let mut command = Command::new("git");
    command.current_dir(folder).env_clear().envs([
        ("PATH", path.as_str()),
        ("HOME", "/nonexistent"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_COUNT", "2"),
        ("GIT_CONFIG_KEY_0", "user.name"),
        ("GIT_CONFIG_VALUE_0", "tests"),
        ("GIT_CONFIG_KEY_1", "user.email"),
        ("GIT_CONFIG_VALUE_1", "tests@example.com"),
    ]);
    let output = command.args(args).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), said)
}

fn done(folder: &Path, args: &[&str]) -> String {
    let (status, said) = git(folder, args);
    assert_eq!(status, 0, "git {args:?}: {said}");
    said
}

/// Opens every resource of a text.
fn opened(text: &str, people: &People) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for document in yaml::documents(text).unwrap() {
        if document.value["kind"] != "SealedSecret" {
            continue;
        }
        let object: SealedSecret = document.typed(text).unwrap();
        let name = object.metadata.name.clone().unwrap();
        let sealed = Sealed::parse(&object.spec, "web", &name).unwrap();
        let used: BTreeSet<_> = sealed.tokens().values().map(|token| token.envelope()).collect();
        assert!(sealed.envelopes().keys().all(|id| used.contains(id)), "an envelope for nothing");
        let values = sealed.open(&people.identities(), NOW + 100_000).unwrap().into_values();
        let values = values.into_iter().map(|(key, opened)| {
            (key.to_string(), String::from_utf8(opened.value.expose().to_vec()).unwrap())
        });
        assert!(found.insert(name, values.collect()).is_none(), "a resource is there twice");
    }
    found
}

/// A text with conflicts, resolved to one side everywhere.
fn resolved(text: &str, ours: bool) -> String {
    let (mut out, mut within) = (String::new(), None);
    for line in text.split_inclusive('\n') {
        match (within, line.get(..7)) {
            (_, Some("<<<<<<<")) => within = Some(true),
            (Some(_), Some("=======")) => within = Some(false),
            (Some(_), Some(">>>>>>>")) => within = None,
            (Some(side), _) if side != ours => {}
            _ => out.push_str(line),
        }
    }
    out
}

fn check(case: &Case, text: &str, is_unmerged: bool, people: &People) -> Fate {
    let name = &case.name;
    let fate = case.fate();
    if is_unmerged {
        assert_ne!(fate, Fate::Merges, "{name} has a conflict:\n{text}");
        assert!(text.contains("<<<<<<< ") && text.contains(">>>>>>> "), "{name} shows no conflict:\n{text}");
        let (mine, other) = (resolved(text, true), resolved(text, false));
        assert!(mine != other, "{name}: both ways out of the conflict are the same:\n{text}");
        return Fate::Conflicts;
    }
    assert_ne!(fate, Fate::Conflicts, "{name} was merged:\n{text}");
    assert_eq!(opened(text, people), case.expected(), "{name}:\n{text}");
    for [_, ours, theirs] in case.documents() {
        for side in [ours, theirs].into_iter().filter(|side| !side.removed) {
            for (note, _) in &side.comments {
                // What a side took out again itself is nobody's loss.
                let stood = side.text.contains(&format!("# {note}\n"));
                assert!(!stood || text.contains(&format!("# {note}")), "{name} lost {note:?}:\n{text}");
            }
        }
    }
    if case.crlf {
        assert!(
            text.lines().count() > 0 && text.split('\n').all(|line| line.is_empty() || line.ends_with('\r'))
        );
    }
    Fate::Merges
}

/// Merges one repository's files at once. Gives how many merged, and how many conflicts there were.
fn repository(seed: u64) -> (usize, usize) {
    let people = People::new();
    let numbers = Numbers(0x9E37_79B9_7F4A_7C15 ^ (seed + 1));
    let mut generator = Generator { numbers, people: &people, acts: 0 };
    let cases: Vec<Case> =
        (0..FILES).map(|file| Case::new(format!("{seed}-{file}"), &mut generator)).collect();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    let write = |side: fn(&Case) -> &Side, message: &str| {
        for case in &cases {
            fs::write(folder.join(&case.name), side(case).text(case.crlf)).unwrap();
        }
        done(folder, &["add", "--all"]);
        done(folder, &["commit", "-qm", message]);
    };
    done(folder, &["init", "-q", "-b", "main"]);
    let (status, said) = run_waxwing(folder, &["merge-driver", "--install"]);
    assert_eq!(status, 0, "{said}");
    write(|case| &case.base, "base");
    done(folder, &["checkout", "-qb", "theirs"]);
    write(|case| &case.theirs, "theirs");
    done(folder, &["checkout", "-q", "main"]);
    write(|case| &case.ours, "ours");
    let (_, said) = git(folder, &["merge", "--no-edit", "theirs"]);
    let unmerged = done(folder, &["diff", "--name-only", "--diff-filter=U"]);
    let unmerged: BTreeSet<&str> = unmerged.lines().collect();
    assert!(!said.contains("waxwing: error"), "{said}");
    let mut counts = (0, 0);
    for case in &cases {
        let text = fs::read_to_string(folder.join(&case.name)).unwrap();
        match check(case, &text, unmerged.contains(case.name.as_str()), &people) {
            Fate::Merges => counts.0 += 1,
            _ => counts.1 += 1,
        }
    }
    counts
}

fn run_waxwing(folder: &Path, args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_waxwing")).current_dir(folder).args(args).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// K27. Guards: `Merge::is_expected` reads what came out again; `three_way` takes no side of a key that both changed;
/// `resource::merge` looks at the scope and type that a token was sealed for.
#[test]
fn a_thousand_merges_lose_no_key_and_hide_no_conflict() {
    let counts: Vec<(usize, usize)> = thread::scope(|scope| {
        let runs: Vec<_> = (0..2)
            .map(|half| {
                scope.spawn(move || {
                    (0..REPOSITORIES).filter(|seed| seed % 2 == half).map(repository).collect::<Vec<_>>()
                })
            })
            .collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    let merged: usize = counts.iter().map(|(merged, _)| merged).sum();
    let conflicts: usize = counts.iter().map(|(_, conflicts)| conflicts).sum();
    assert_eq!(merged + conflicts, (REPOSITORIES * FILES) as usize);
    // Both happen often enough to mean something.
    assert!(merged > 400 && conflicts > 150, "{merged} merged, {conflicts} conflicts");
}
