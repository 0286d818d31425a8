//! `waxwing seal`: plaintext in, sealed resources out. No private key, no cluster.
//!
//! Where the output exists already, only what changed is sealed anew, as far as something at hand
//! can tell; see `evidence`. Everything that is no Secret passes through byte for byte.

mod compose;
mod evidence;
mod merge;
mod sources;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use waxwing_core::{
    Secret,
    keys::Identities,
    seal::{DataKey, Scope},
};

use self::{
    evidence::Evidence,
    merge::Sealer,
    sources::{Literals, Plain, Source},
};
use crate::{
    args::Context,
    cache,
    error::{Exit, Explain, Failure, Result},
    identities, json,
    printer::count,
    sealed_file::changed_meanwhile,
    write::{self, Lock, Mode},
};

/// Seal Secret manifests, .env files or single files into resources that may lie in Git.
///
/// Reads Secret manifests (several documents and lists too) from files or standard input; other
/// documents pass through. Where the output exists, only values that changed are sealed anew: an
/// identity at hand or --cache can tell which did. Values that nothing can compare stay as they
/// are, unless --all is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  waxwing seal secret.yaml -o sealed.yaml
  kubectl create secret generic db --dry-run=client -o yaml --from-file=password | waxwing seal -n web
  waxwing seal --from-env-file .env --name app -n web -o app.yaml
  waxwing seal --tls tls.crt tls.key --name site -n web -o site.yaml")]
pub(crate) struct Args {
    /// Files with Secret manifests; - is standard input, also the default
    files: Vec<PathBuf>,
    #[command(flatten)]
    literals: Literals,
    /// Namespace, where a manifest doesn't say
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// How far the values may travel: strict (name and namespace), namespace or cluster
    #[arg(long, value_name = "SCOPE", value_parser = parse_scope)]
    scope: Option<Scope>,
    /// Write to this file; sealed resources in it are brought up to date
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["in_place", "output_dir"])]
    output: Option<PathBuf>,
    /// Put the sealed form in the place of each file. Comments in a Secret's document are left out on
    /// purpose, because they may hold values; other documents stay byte for byte
    #[arg(long, conflicts_with = "output_dir")]
    in_place: bool,
    /// Write one file for each input, of the same name, into this folder
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Write JSON: one resource, or a List of them. Default: where the output is called *.json, and
    /// where the input is JSON and the output is not called *.yaml
    #[arg(long)]
    json: bool,
    /// Seal also the values that can't be compared with what is sealed
    #[arg(long)]
    all: bool,
    /// Write nothing; exit with 3 if something would change, with 5 if that can't be told
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    cache: cache::Options,
    /// Tell changed values by the live Secrets, which the current kubeconfig context may read
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER)]
    compare_live: bool,
    /// The kubeconfig context for --compare-live
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "CONTEXT", requires = "compare_live")]
    context: Option<String>,
    #[command(flatten)]
    identities: identities::Options,
}

fn parse_scope(text: &str) -> std::result::Result<Scope, String> {
    text.parse().map_err(|error: waxwing_core::seal::FormatError| error.to_string())
}

/// One file to be written, or standard output.
struct Target {
    path: Option<PathBuf>,
    before: Option<String>,
    after: String,
    is_json: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    // What is replaced in place is read under the lock; a pipe is not, which may wait for others.
    let in_place = args.in_place && !args.check;
    let before = in_place.then(|| Lock::beside(args.files.iter().map(PathBuf::as_path))).transpose()?;
    let sources = args.sources()?;
    let lock = match before {
        Some(lock) => lock,
        None => args.lock(&sources)?,
    };
    let mut sealer = Sealer {
        evidence: args.evidence(context)?,
        all: args.all,
        scope: args.scope,
        namespace: args.namespace.as_deref(),
        outcomes: Vec::new(),
        context,
    };
    let mut targets: Vec<Target> = Vec::new();
    for source in sources {
        let path = args.target(&source)?;
        let index = match targets.iter().position(|target| target.path == path) {
            Some(_) if args.output_dir.is_some() => {
                let path = path.unwrap_or_default();
                return Err(Failure::usage(format!(
                    "two inputs would both be written to {}",
                    path.display()
                )));
            }
            Some(index) => index,
            None => {
                let before = path.as_deref().map(existing).transpose()?.flatten();
                let after = if args.in_place { String::new() } else { before.clone().unwrap_or_default() };
                let is_json = before.as_deref().is_some_and(json::is_json);
                targets.push(Target { path, before, after, is_json });
                targets.len() - 1
            }
        };
        let target = &mut targets[index];
        let place = target.path.clone().or_else(|| source.path.clone()).unwrap_or_else(|| PathBuf::from("."));
        target.is_json |= args.wants_json(target.path.as_deref(), &source)?;
        let sealed = sealer.outcomes.len();
        target.after = if args.in_place {
            sealer.in_place(&source, &place)?
        } else {
            sealer.onto(std::mem::take(&mut target.after), &source, &place)?
        };
        if sealer.outcomes.len() == sealed {
            let input = source.title();
            context.printer.warning(format!("{input}: there is no Secret in it; nothing of it was sealed"));
        }
    }
    for target in &mut targets {
        let is_changed = target.before.as_ref() != Some(&target.after);
        if target.is_json && is_changed && !json::is_json(&target.after) {
            target.after = json::of_stream(&target.after)?;
        }
    }
    let exit = args.finish(&targets, sealer, context);
    drop(lock);
    exit
}

/// The manifest of a new resource with these values, for whom the rules for its file name.
pub(crate) fn new(
    namespace: &str,
    name: &str,
    values: BTreeMap<DataKey, Secret>,
    path: &Path,
    context: &Context,
) -> Result<String> {
    let (identities, now) = (Identities::default(), context.now);
    let evidence = Evidence { identities, live: None, cache: None, now };
    let (all, scope, outcomes) = (true, None, Vec::new());
    let mut sealer = Sealer { evidence, all, scope, namespace: Some(namespace), outcomes, context };
    sealer.make(&Plain::new(namespace, name, values), path)
}

/// Puts one document behind a stream.
pub(crate) fn append(text: &mut String, document: &str) {
    compose::append(text, document);
}

impl Args {
    fn sources(&self) -> Result<Vec<Source>> {
        let mut sources = Vec::new();
        if let Some(plain) = self.literals.read(self.namespace.as_deref())? {
            if self.in_place {
                return Err(Failure::usage("--in-place needs manifests to put something in the place of"));
            }
            sources.push(Source::literal(plain));
        } else if self.files.is_empty() {
            if io::IsTerminal::is_terminal(&io::stdin()) {
                return Err(Failure::usage("nothing to seal: no file, and standard input is a terminal")
                    .hint("name files with Secret manifests, or see --from-env-file and --from-file"));
            }
            sources.push(Source::read(Path::new("-"))?);
        }
        for path in &self.files {
            sources.push(Source::read(path)?);
        }
        if self.in_place && sources.iter().any(|source| source.path.is_none()) {
            return Err(Failure::usage("--in-place can't put anything in the place of standard input"));
        }
        if self.check && self.output.is_none() && self.output_dir.is_none() && !self.in_place {
            return Err(Failure::usage(
                "--check compares with an output: name it with --output, --output-dir or --in-place",
            ));
        }
        Ok(sources)
    }

    /// Where the sealed form of an input goes.
    fn target(&self, source: &Source) -> Result<Option<PathBuf>> {
        if self.in_place {
            return Ok(source.path.clone());
        }
        let Some(folder) = &self.output_dir else { return Ok(self.output.clone()) };
        let name = source.file_name().ok_or_else(|| {
            Failure::usage("what comes from standard input has no file name for --output-dir")
                .hint("use --output FILE")
        })?;
        Ok(Some(folder.join(name)))
    }

    /// JSON in gives JSON out, unless the name of the output says what it is.
    fn wants_json(&self, path: Option<&Path>, source: &Source) -> Result<bool> {
        let end = path.and_then(Path::extension).filter(|_| !self.in_place);
        Ok(self.json
            || match end.and_then(OsStr::to_str) {
                Some("json") => true,
                Some("yaml" | "yml") => false,
                _ => json::is_json(source.text()?),
            })
    }

    /// Keeps others from writing where this will write.
    fn lock(&self, sources: &[Source]) -> Result<Lock> {
        let mut paths = Vec::new();
        for source in sources.iter().filter(|_| !self.check) {
            paths.extend(self.target(source)?);
        }
        Lock::beside(paths.iter().map(PathBuf::as_path))
    }

    fn evidence(&self, context: &Context) -> Result<Evidence> {
        let cache = self.cache.open(self.output.as_deref().unwrap_or(Path::new(".")), context)?;
        Ok(Evidence {
            identities: self.identities.load_any(context)?,
            live: self.live()?,
            cache,
            now: context.now,
        })
    }

    #[cfg(feature = "cluster")]
    fn live(&self) -> Result<Option<Box<evidence::Live>>> {
        if !self.compare_live {
            return Ok(None);
        }
        let cluster = crate::cluster::Cluster::connect(self.context.as_deref())?;
        Ok(Some(Box::new(move |binding, key, seq| cluster.live_value(binding, key, seq))))
    }

    #[cfg(not(feature = "cluster"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the same shape as with the feature")]
    fn live(&self) -> Result<Option<Box<evidence::Live>>> {
        Ok(None)
    }

    /// Writes, or says what would be written.
    fn finish(&self, targets: &[Target], sealer: Sealer<'_>, context: &Context) -> Result {
        let changed = |target: &&Target| target.before.as_deref() != Some(target.after.as_str());
        let is_changed = targets.iter().any(|target| changed(&target));
        let untold: usize = sealer.outcomes.iter().map(|outcome| outcome.untold.len()).sum();
        if targets.iter().any(|target| target.path.is_some()) {
            for outcome in &sealer.outcomes {
                context.printer.note(outcome.to_string());
            }
        }
        if !self.check {
            let files =
                targets.iter().filter(changed).filter_map(|target| Some((target.path.as_ref()?, target)));
            let mut prepared = Vec::new();
            for (path, target) in files {
                if existing(path)? != target.before {
                    return Err(changed_meanwhile(path));
                }
                make_folder(path)?;
                prepared.push((
                    path,
                    write::prepare(path, target.after.as_bytes(), Mode::Keep).at(path.display())?,
                ));
            }
            for (path, prepared) in prepared {
                prepared.commit().at(path.display())?;
            }
            for target in targets.iter().filter(|target| target.path.is_none()) {
                context.printer.bytes(target.after.as_bytes())?;
            }
            if let Some(cache) = &sealer.evidence.cache {
                cache.save()?;
            }
        }
        if untold > 0 {
            context.printer.warning(format!(
                "{} not compared with what is sealed, and left as it was",
                count(untold, "value")
            ));
            let live = if cfg!(feature = "cluster") { ", --compare-live" } else { "" };
            context.printer.hint(format!(
                "name those that changed with waxwing set, or seal all with --all; an identity{live} or --cache can tell"
            ));
        }
        Ok(match (self.check && is_changed, untold > 0) {
            (true, _) => Exit::Found,
            (false, true) => Exit::Partly,
            (false, false) => Exit::Done,
        })
    }
}

fn existing(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::from(error).at(path.display())),
    }
}

fn make_folder(path: &Path) -> Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => fs::create_dir_all(parent).at(parent.display()),
        None => Ok(()),
    }
}
