//! `quickstart`: the main job from end to end on this machine, with nothing but this program and, if it is there, Git.
//!
//! Commands are run as a user would type them, by starting this very program; `render --watch` runs beside them in a
//! thread. Every step checks what came out by other means than the command that it ran: the files' bytes, the format's
//! own parser, another identity.

mod demo;
mod git;
#[cfg(feature = "cluster")]
mod live;
mod receiver;
mod sample;
mod site;
mod steps;
mod text;

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    printer::Tone,
    work_tree,
};
use demo::Demo;
use sample::Sample;

/// What to do it with.
pub(crate) struct Wish {
    /// An empty or new folder; none is a temporary one.
    pub(crate) folder: Option<PathBuf>,
    /// What to seal instead of the sample.
    pub(crate) from: Option<PathBuf>,
    /// Whether a temporary folder stays.
    pub(crate) keep: bool,
    /// The cluster to do it in, instead of a folder.
    #[cfg(feature = "cluster")]
    pub(crate) cluster: Option<ClusterWish>,
}

#[cfg(feature = "cluster")]
pub(crate) use live::ClusterWish;

/// The folder of a run.
struct Place {
    path: PathBuf,
    /// Removed at the end, unless it is taken out.
    temporary: Option<tempfile::TempDir>,
}

/// Runs every step; the first that fails ends it.
pub(crate) fn run(wish: &Wish, context: &Context) -> Result {
    let begun = Instant::now();
    let say = &context.printer;
    #[cfg(feature = "cluster")]
    let live = wish.cluster.as_ref().map(|wish| live::Live::new(wish, say)).transpose()?;
    #[cfg(feature = "cluster")]
    let (steps, namespace) = match &live {
        Some(live) => (steps::IN_A_CLUSTER, Some(live.namespace())),
        None => (steps::HERE, None),
    };
    #[cfg(not(feature = "cluster"))]
    let (steps, namespace) = (steps::HERE, None);
    let sample = Sample::new(wish.from.as_deref(), namespace)?;
    let mut place = Place::new(wish.folder.as_deref())?;
    say.line(format!("The folder of this run is {}", place.path.display()))?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&interrupted))?;
    }
    let mut demo = Demo::new(&place.path, sample, Arc::clone(&interrupted), context)?;
    if demo.git.is_none() {
        say.line("There is no git on this machine: the steps go on without commits.")?;
    }
    #[cfg(feature = "cluster")]
    if let Some(live) = live {
        demo.use_cluster(live);
    }
    let result = steps.iter().enumerate().try_for_each(|(index, step)| {
        say.line("")?;
        say.line(say.toned(Tone::Strong, &format!("{}. {}", index + 1, step.title)))?;
        (step.run)(&mut demo)
    });
    // Whatever happened, the render ends and the namespace goes.
    let ended = demo.end();
    let outcome = result.and(ended);
    if interrupted.load(Ordering::Relaxed) {
        return Err(Failure::new(match &place.temporary {
            Some(_) => "interrupted; the folder is removed".to_owned(),
            None => format!("interrupted; {} stays as it is", place.path.display()),
        }));
    }
    if let Err(failure) = outcome {
        say.line(format!("   {}  {failure}", say.toned(Tone::Bad, "FAILED")))?;
        place.keep();
        return Err(Failure::new("a step failed").hint(format!(
            "the folder stays as it is: {}; remove it when you have looked",
            place.path.display()
        )));
    }
    if wish.keep {
        place.keep();
    }
    say.line("")?;
    let (count, seconds) = (steps.len(), begun.elapsed().as_secs_f32());
    say.line(say.toned(Tone::Good, &format!("{count} of {count} steps ok, in {seconds:.1} s")))?;
    for line in next(&place) {
        say.line(line)?;
    }
    Ok(Exit::Done)
}

/// What to do after it.
fn next(place: &Place) -> Vec<String> {
    let stays = match &place.temporary {
        Some(_) => "  this folder is removed now; --keep or --dir DIR keeps the next one".to_owned(),
        None => format!("  look around in {}: repo, keys, and what was rendered", place.path.display()),
    };
    let lines = [
        "What next:",
        &stays,
        "  waxwing init             in your own repository, with your clusters' recipients",
        "  waxwing seal FILE -o OUT your first Secret manifest or .env file; commit the result",
        "  helm install             the operator, from charts/waxwing; see README.md",
    ];
    lines.map(str::to_owned).into()
}

impl Place {
    fn new(folder: Option<&Path>) -> Result<Self> {
        let (path, temporary) = match folder {
            None => {
                let private = fs::Permissions::from_mode(0o700);
                let temporary =
                    tempfile::Builder::new().prefix("waxwing-quickstart-").permissions(private).tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
            Some(folder) => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).at(folder.display())?;
                if fs::read_dir(folder).at(folder.display())?.next().is_some() {
                    return Err(Failure::new(format!("{} is not empty", folder.display()))
                        .hint("name a folder that is empty or not there yet, or leave out --dir"));
                }
                (folder.to_owned(), None)
            }
        };
        let path = path.canonicalize().at(path.display())?;
        if let Some(tree) = work_tree::around(&path.join("repo")) {
            return Err(Failure::new(format!("{} lies in the Git work tree {}", path.display(), tree.display()))
                .hint("identities and opened Secrets are written beside the new repository: choose a folder elsewhere"));
        }
        Ok(Self { path, temporary })
    }

    fn keep(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            self.path = temporary.keep();
        }
    }
}
