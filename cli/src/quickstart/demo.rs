//! The folder of a run, and what steps do in it: commands, commits, checks.
//!
//! ```text
//! repo/       the Git repository: .waxwing.yaml, sealed.yaml
//! keys/       identities, outside of the repository, 0600
//! prod-eu/    what is rendered for the first cluster
//! store/      the directory that values are pulled from
//! ```

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use waxwing_core::{
    Secret,
    keys::Identities,
    seal::{DataKey, OpenError, Sealed},
    yaml,
};

use super::{git::Git, sample::Sample, site::Site};
use crate::{
    args::Context,
    error::{Explain, Failure, Result},
    identities,
    printer::{Printer, Tone},
    sealed_file::{Choice, Item, SealedFile},
};

/// The sealed file, in the repository.
pub(super) const SEALED: &str = "sealed.yaml";
/// The configuration file, in the repository.
pub(super) const CONFIG: &str = crate::repository::FILE;

/// Opened values by key.
pub(super) type Values = BTreeMap<String, Secret>;

/// A run.
pub(super) struct Demo<'a> {
    folder: PathBuf,
    pub(super) sample: Sample,
    pub(super) git: Option<Git>,
    pub(super) now: i64,
    say: &'a Printer,
    program: PathBuf,
    pub(super) interrupted: Arc<AtomicBool>,
    pub(super) site: Site,
    /// Namespace and name of the SealedSecret that the steps work on.
    pub(super) subject: (String, String),
    /// The keys that the steps change: two where there are two.
    pub(super) keys: (String, String),
    /// The last value that was set.
    pub(super) last_set: LastSet,
}

/// What undoes a `set`.
#[derive(Clone, Default)]
pub(super) struct LastSet {
    /// The key.
    pub(super) key: String,
    /// The sealed file as it was before.
    pub(super) text: String,
    /// The commit, and its message.
    pub(super) commit: Option<String>,
    pub(super) message: &'static str,
}

impl<'a> Demo<'a> {
    pub(super) fn new(
        folder: &Path,
        mut sample: Sample,
        interrupted: Arc<AtomicBool>,
        context: &'a Context,
    ) -> Result<Self> {
        let repo = folder.join("repo");
        for path in [&repo, &folder.join("keys")] {
            fs::DirBuilder::new().mode(0o700).create(path).at(path.display())?;
        }
        sample.lay_out(folder)?;
        Ok(Self {
            git: Git::init(&repo)?,
            folder: folder.to_owned(),
            sample,
            now: context.now,
            say: &context.printer,
            program: std::env::current_exe()?,
            interrupted,
            site: Site::None,
            subject: Default::default(),
            keys: Default::default(),
            last_set: LastSet::default(),
        })
    }

    /// A path in the folder of the run.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A path in the repository.
    pub(super) fn repo(&self, name: &str) -> PathBuf {
        self.folder.join("repo").join(name)
    }

    pub(super) fn read(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.repo(name)).at(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.repo(name), text).at(name)
    }

    /// Ends a wait on Ctrl-C.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) { Err(Failure::new("interrupted")) } else { Ok(()) }
    }

    /// Shows a command as a user would type it, in the repository.
    pub(super) fn show(&self, command: &str) -> Result<()> {
        self.say.line(format!("   {} {command}", self.say.toned(Tone::Faint, "$")))
    }

    /// A line below the command.
    pub(super) fn tell(&self, text: impl AsRef<str>) -> Result<()> {
        self.say.line(format!("     {}", self.say.toned(Tone::Faint, text.as_ref())))
    }

    /// What was checked, and holds.
    pub(super) fn ok(&self, text: &str) -> Result<()> {
        self.say.line(format!("   {}  {text}", self.say.toned(Tone::Good, "ok")))
    }

    /// Runs this program with these arguments in the repository, and gives what it printed.
    pub(super) fn waxwing(&self, args: &[&str]) -> Result<String> {
        self.show(&format!("waxwing {}", typed(args)))?;
        self.start(args, b"")
    }

    /// The same with a value on standard input, which is not shown.
    pub(super) fn waxwing_with(&self, args: &[&str], value: &Secret) -> Result<String> {
        self.show(&format!("waxwing {}     # asks for the value, without echo", typed(args)))?;
        // Why exposed: standard input is how a value is given.
        self.start(args, value.expose())
    }

    fn start(&self, args: &[&str], input: &[u8]) -> Result<String> {
        self.go_on()?;
        let mut command = Command::new(&self.program);
        command.current_dir(self.repo("")).args(args);
        // Nothing of the user's own: no identities, no cache.
        let empty = self.path("none");
        command.env("XDG_CONFIG_HOME", &empty).env("XDG_STATE_HOME", &empty);
        command.env_remove("WAXWING_IDENTITY").env_remove("WAXWING_CACHE");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that reads nothing may be gone already.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        for line in printed.lines().chain(said.lines()) {
            self.tell(line)?;
        }
        if !output.status.success() {
            let code = output.status.code().map_or_else(|| "a signal".to_owned(), |code| code.to_string());
            return Err(Failure::new(format!("waxwing {} ended with {code}", args.first().unwrap_or(&""))));
        }
        Ok(printed.into_owned())
    }

    /// Commits everything, where there is Git.
    pub(super) fn commit(&self, message: &str) -> Result<Option<String>> {
        let Some(git) = &self.git else { return Ok(None) };
        self.show(&format!("git add --all && git commit -m '{message}'"))?;
        let commit = git.commit(message)?;
        self.tell(git.stat(&commit)?)?;
        Ok(Some(commit))
    }

    /// Shows what the last `set` changed, cut to the width of a terminal.
    pub(super) fn show_diff(&self) -> Result<()> {
        let (Some(git), Some(commit)) = (&self.git, &self.last_set.commit) else { return Ok(()) };
        self.show("git show --unified=0 | cut -c 1-90")?;
        let is_change = |line: &&str| {
            line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---")
        };
        let diff = git.diff(commit)?;
        diff.lines().filter(is_change).try_for_each(|line| self.tell(cut(line, 90)))
    }

    /// `NAMESPACE/NAME` of what the steps work on.
    pub(super) fn secret(&self) -> String {
        format!("{}/{}", self.subject.0, self.subject.1)
    }

    /// What is rendered into one of the folders, by key.
    pub(super) fn rendered(&self, cluster: &str) -> Result<Values> {
        let path = self.path(cluster).join(&self.subject.0).join(format!("{}.yaml", self.subject.1));
        let mode = fs::metadata(&path).at(path.display())?.mode() & 0o777;
        check(mode == 0o600, "a rendered Secret is readable by its owner alone")?;
        self.in_manifest(&path)
    }

    /// The values of the Secret in a file of manifests.
    pub(super) fn in_manifest(&self, path: &Path) -> Result<Values> {
        self.values_in(path, &self.subject.1)
    }

    /// The values of the Secret of this name in a file of manifests.
    pub(super) fn values_in(&self, path: &Path, name: &str) -> Result<Values> {
        let text = fs::read_to_string(path).at(path.display())?;
        let documents = yaml::documents(&text)?;
        let manifest = documents.iter().find(|document| document.value["metadata"]["name"] == name);
        let manifest = manifest.ok_or_else(|| Failure::new("the Secret is not in it").at(path.display()))?;
        values_of(&manifest.value)
    }

    /// What the identities in a file open, by the format's own functions.
    pub(super) fn opened(&self, identity: &str) -> Result<Values> {
        let identities: Identities =
            identities::read(&self.path("keys").join(identity))?.into_iter().collect();
        let opened = self.sealed()?.open(&identities, self.now + 60)?;
        Ok(opened.into_values().into_iter().map(|(key, opened)| (key.to_string(), opened.value)).collect())
    }

    /// Whether the identities in a file fit the envelope of one value.
    pub(super) fn opens(&self, identity: &str, key: &str) -> Result<bool> {
        let identities: Identities =
            identities::read(&self.path("keys").join(identity))?.into_iter().collect();
        match self.sealed()?.open_key(&key.parse::<DataKey>()?, &identities, self.now + 60) {
            Ok(_) => Ok(true),
            Err(OpenError::NoMatchingKey { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The sealed part that the steps work on, as it is in the repository.
    pub(super) fn sealed(&self) -> Result<Sealed> {
        self.subject_item().map(|item| item.sealed)
    }

    /// All sealed parts of the file.
    pub(super) fn all_sealed(&self) -> Result<Vec<Sealed>> {
        let items = SealedFile::read(&self.repo(SEALED), None)?.items;
        items.into_iter().map(|item| item.map(|item| item.sealed)).collect()
    }

    /// A manifest of the same sealed values under another name.
    pub(super) fn moved(&self, namespace: &str, name: &str) -> Result<String> {
        let mut object = self.subject_item()?.object;
        object.metadata.namespace = Some(namespace.to_owned());
        object.metadata.name = Some(name.to_owned());
        Ok(yaml::to_string(&object)?)
    }

    fn subject_item(&self) -> Result<Item> {
        let (namespace, name) = &self.subject;
        let items = SealedFile::read(&self.repo(SEALED), None)?.items;
        let found = items.into_iter().flatten().find(|item| {
            let binding = item.sealed.binding();
            binding.namespace == *namespace && binding.name == *name
        });
        found.ok_or_else(|| Failure::new(format!("{SEALED} has no {}", self.secret())))
    }

    /// Options that choose it, where the file holds several.
    pub(super) fn choice(&self) -> Result<Vec<String>> {
        let file = SealedFile::read(&self.repo(SEALED), None)?;
        if file.choose(&Choice::default()).is_ok() {
            return Ok(Vec::new());
        }
        let (namespace, name) = self.subject.clone();
        Ok(vec!["--namespace".to_owned(), namespace, "--name".to_owned(), name])
    }
}

/// A condition that must hold, as a sentence.
pub(super) fn check(holds: bool, sentence: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Failure::new(format!("this does not hold: {sentence}"))) }
}

/// Whether two sets of values are the same.
pub(super) fn same(left: &Values, right: &Values) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|((key, value), (other_key, other))| key == other_key && value.same_as(other))
}

/// The values of a Secret manifest.
fn values_of(manifest: &Value) -> Result<Values> {
    let field = |field: &str| manifest[field].as_object().cloned().unwrap_or_default();
    let mut values = Values::new();
    for (key, value) in field("data") {
        values.insert(key, Secret::new(BASE64_STANDARD.decode(value.as_str().unwrap_or_default())?));
    }
    for (key, value) in field("stringData") {
        values.insert(key, Secret::new(value.as_str().unwrap_or_default().as_bytes().to_vec()));
    }
    Ok(values)
}

/// The beginning of a line.
pub(super) fn cut(line: &str, width: usize) -> String {
    match line.char_indices().nth(width) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Arguments as a shell takes them.
fn typed(args: &[&str]) -> String {
    let is_plain = |arg: &str| arg.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./=:,@~".contains(&b));
    let quoted =
        |arg: &&str| if is_plain(arg) && !arg.is_empty() { (*arg).to_owned() } else { format!("'{arg}'") };
    args.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
