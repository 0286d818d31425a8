//! The folder of a run, and what steps do in it: commands, commits, waiting for the render, checks.
//!
//! ```text
//! repo/       the Git repository: .waxwing.yaml, sealed.yaml
//! keys/       identities, outside of the repository, 0600
//! prod-eu/    what is rendered for the first cluster
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
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use waxwing_core::{
    Secret,
    keys::Identities,
    seal::{DataKey, OpenError, Sealed},
    yaml,
};
use waxwing_crds::{ClusterScopePolicy, RollbackPolicy};

#[cfg(feature = "cluster")]
use super::live::Live;
use super::{git::Git, sample::Sample};
use crate::{
    args::Context,
    error::{Explain, Failure, Result},
    identities::{self, Options},
    printer::{Printer, Tone},
    render::{Job, Layout, Renderer, Row, What, watch},
    sealed_file::{Choice, Item, SealedFile},
    verbs::render::time_of_day,
};

/// The sealed file, in the repository.
pub(super) const SEALED: &str = "sealed.yaml";
/// The configuration file, in the repository.
pub(super) const CONFIG: &str = crate::repository::FILE;
/// The longest wait for the render.
const PATIENCE: Duration = Duration::from_secs(30);
/// The render polls faster than usual, because a person waits.
const INTERVAL: Duration = Duration::from_millis(40);

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
    interrupted: Arc<AtomicBool>,
    site: Site,
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

/// Where what is sealed is opened.
enum Site {
    /// Not yet anywhere.
    None,
    /// In a folder beside the repository.
    Render(Render),
    /// In a namespace of a cluster.
    #[cfg(feature = "cluster")]
    Cluster(Live),
}

/// `render --watch` in a thread.
struct Render {
    stop: Arc<AtomicBool>,
    rows: mpsc::Receiver<(i64, Row)>,
    thread: Option<JoinHandle<Result<()>>>,
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
    fn go_on(&self) -> Result<()> {
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
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
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
        let is_change = |line: &&str| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---");
        let diff = git.diff(commit)?;
        diff.lines().filter(is_change).try_for_each(|line| self.tell(cut(line, 90)))
    }

    /// Has the cluster of this connection open what is sealed, instead of a folder.
    #[cfg(feature = "cluster")]
    pub(super) fn use_cluster(&mut self, live: Live) {
        self.site = Site::Cluster(live);
    }

    /// The cluster that opens what is sealed.
    #[cfg(feature = "cluster")]
    pub(super) fn cluster(&self) -> Result<&Live> {
        match &self.site {
            Site::Cluster(live) => Ok(live),
            _ => Err(Failure::new("there is no cluster")),
        }
    }

    /// Whether a cluster opens what is sealed.
    pub(super) fn is_live(&self) -> bool {
        !matches!(self.site, Site::None | Site::Render(_))
    }

    /// Has what is in the repository opened: a render sees it by itself, to a cluster it is applied.
    pub(super) fn publish(&mut self) -> Result<()> {
        match &self.site {
            Site::None => self.begin_render(),
            Site::Render(_) => Ok(()),
            #[cfg(feature = "cluster")]
            Site::Cluster(live) => {
                let (mut files, mut objects) = (Vec::new(), Vec::new());
                for file in crate::sealed_file::files(&[self.repo("")], &self.context())? {
                    let items = SealedFile::read(&file, None)?.items;
                    objects.extend(items.into_iter().map(|item| item.map(|item| item.object)).collect::<Result<Vec<_>>>()?);
                    files.push(format!("-f {}", file.file_name().unwrap_or_default().to_string_lossy()));
                }
                self.show(&format!("kubectl apply --server-side {}     # your GitOps tool does this", files.join(" ")))?;
                let removed = live.apply(&objects)?;
                removed.iter().try_for_each(|name| {
                    self.show(&format!("kubectl delete --namespace {} sealedsecret {name}", live.namespace()))
                })
            }
        }
    }

    fn context(&self) -> Context {
        Context { printer: Printer::new(false), config: None, now: self.now }
    }

    /// Begins to render the repository for the first cluster, by the loop of `render --watch`.
    fn begin_render(&mut self) -> Result<()> {
        self.show("waxwing render . --into ../prod-eu --identity ../keys/prod-eu.txt --watch &")?;
        let job = Job {
            source: self.repo(""),
            output: self.path("prod-eu"),
            layout: Layout::Yaml,
            rollback: RollbackPolicy::Warn,
            cluster_scope: ClusterScopePolicy::Deny,
            force: false,
        };
        let options = Options::of(vec![self.path("keys/prod-eu.txt")]);
        let context = self.context();
        let mut renderer = Renderer::open(job, &context)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (send, rows) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            watch(&mut renderer, &options, INTERVAL, &stopped, &context, &mut |now, row| {
                send.send((now, row.clone())).map_err(Failure::from)
            })
        });
        self.site = Site::Render(Render { stop, rows, thread: Some(thread) });
        Ok(())
    }

    /// Waits until all of these are told, each of a Secret.
    pub(super) fn expect(&self, expected: &[(What, &str)]) -> Result<Vec<Row>> {
        let render = match &self.site {
            Site::None => return Err(Failure::new("nothing opens what is sealed")),
            Site::Render(render) => render,
            #[cfg(feature = "cluster")]
            Site::Cluster(live) => {
                let rows = expected.iter().map(|(what, secret)| live.expect(*what, secret, &|| self.go_on()));
                let rows = rows.collect::<Result<Vec<Row>>>()?;
                rows.iter().try_for_each(|row| self.tell(cut(&format!("cluster | {}", row.line()), 150)))?;
                return Ok(rows);
            }
        };
        let mut missing: Vec<_> = expected.to_vec();
        let mut found = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while !missing.is_empty() {
            let row = render.rows.recv_timeout(Duration::from_millis(200));
            self.go_on()?;
            let Ok((now, row)) = row else {
                if Instant::now() < deadline {
                    continue;
                }
                let missing: Vec<_> = missing.iter().map(|(what, secret)| format!("{} {secret}", what.as_str())).collect();
                return Err(Failure::new(format!("the render did not say: {}", missing.join(", "))));
            };
            self.tell(cut(&format!("render | {} {}", time_of_day(now), row.line()), 150))?;
            missing.retain(|(what, secret)| (*what, *secret) != (row.what, row.secret.as_str()));
            found.push(row);
        }
        Ok(found)
    }

    /// Ends the render; removes the namespace from the cluster.
    pub(super) fn end(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.site, Site::None) {
            Site::None => Ok(()),
            Site::Render(mut render) => {
                render.stop.store(true, Ordering::Relaxed);
                match render.thread.take().map(JoinHandle::join) {
                    Some(Ok(result)) => result,
                    _ => Err(Failure::new("the render ended badly")),
                }
            }
            #[cfg(feature = "cluster")]
            Site::Cluster(live) => {
                self.show(&format!("kubectl delete namespace {}", live.namespace()))?;
                live.end()
            }
        }
    }

    /// `NAMESPACE/NAME` of what the steps work on.
    pub(super) fn secret(&self) -> String {
        format!("{}/{}", self.subject.0, self.subject.1)
    }

    /// What is opened in the first cluster, by key.
    pub(super) fn live(&self) -> Result<Values> {
        match &self.site {
            #[cfg(feature = "cluster")]
            Site::Cluster(live) => live.values(&self.subject.1),
            _ => self.rendered("prod-eu"),
        }
    }

    /// Whether a Secret is made in the first cluster.
    pub(super) fn is_made(&self, namespace: &str, name: &str) -> Result<bool> {
        match &self.site {
            #[cfg(feature = "cluster")]
            Site::Cluster(live) => live.has(name),
            _ => Ok(self.path("prod-eu").join(namespace).join(format!("{name}.yaml")).exists()),
        }
    }

    /// Changes one opened value by hand.
    pub(super) fn tamper(&self) -> Result<()> {
        let (key, secret) = (&self.keys.0, self.secret());
        #[cfg(feature = "cluster")]
        if let Site::Cluster(live) = &self.site {
            self.show(&format!("kubectl edit --namespace {} secret {}     # somebody changes {key}", self.subject.0, self.subject.1))?;
            return live.tamper(&self.subject.1, key);
        }
        self.show(&format!("$EDITOR ../prod-eu/{secret}.yaml     # somebody changes {key}"))?;
        let path = self.path("prod-eu").join(format!("{secret}.yaml"));
        let right = fs::read_to_string(&path).at(path.display())?;
        let edited: String = right
            .split_inclusive('\n')
            .map(|line| match line.trim_start().trim_start_matches('"').strip_prefix(key.as_str()) {
                Some(rest) if rest.starts_with([':', '"']) => format!("  {key}: c29tZXRoaW5nIGVsc2U=\n"),
                _ => line.to_owned(),
            })
            .collect();
        check(edited != right, "the edit changes something")?;
        fs::write(&path, edited).at(path.display())
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
        let text = fs::read_to_string(path).at(path.display())?;
        let documents = yaml::documents(&text)?;
        let name = |document: &yaml::Document| document.value["metadata"]["name"] == self.subject.1.as_str();
        let manifest = documents.iter().find(|document| name(document));
        let manifest = manifest.ok_or_else(|| Failure::new("the Secret is not in it").at(path.display()))?;
        values_of(&manifest.value)
    }

    /// What the identities in a file open, by the format's own functions.
    pub(super) fn opened(&self, identity: &str) -> Result<Values> {
        let identities: Identities = identities::read(&self.path("keys").join(identity))?.into_iter().collect();
        let opened = self.sealed()?.open(&identities, self.now + 60)?;
        Ok(opened.into_values().into_iter().map(|(key, opened)| (key.to_string(), opened.value)).collect())
    }

    /// Whether the identities in a file fit the envelope of one value.
    pub(super) fn opens(&self, identity: &str, key: &str) -> Result<bool> {
        let identities: Identities = identities::read(&self.path("keys").join(identity))?.into_iter().collect();
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

impl Drop for Render {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A condition that must hold, as a sentence.
pub(super) fn check(holds: bool, sentence: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Failure::new(format!("this does not hold: {sentence}"))) }
}

/// Whether two sets of values are the same.
pub(super) fn same(left: &Values, right: &Values) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|((key, value), (other_key, other))| key == other_key && value.same_as(other))
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
fn cut(line: &str, width: usize) -> String {
    match line.char_indices().nth(width) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Arguments as a shell takes them.
fn typed(args: &[&str]) -> String {
    let is_plain = |arg: &str| arg.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./=:,@~".contains(&b));
    let quoted = |arg: &&str| if is_plain(arg) && !arg.is_empty() { (*arg).to_owned() } else { format!("'{arg}'") };
    args.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
