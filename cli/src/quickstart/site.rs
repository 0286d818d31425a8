//! Where what is sealed is opened: a folder that `render --watch` fills, or a namespace of a cluster.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use waxwing_crds::{ClusterScopePolicy, RollbackPolicy};

use super::demo::{Demo, Values, check, cut};
#[cfg(feature = "cluster")]
use super::live::Live;
use crate::{
    args::Context,
    error::{Explain, Failure, Result},
    identities::Options,
    printer::Printer,
    render::{Job, Layout, Renderer, Row, What, watch},
    stores,
    verbs::render::time_of_day,
};

/// The longest wait for the render.
const PATIENCE: Duration = Duration::from_secs(30);
/// The render polls faster than usual, because a person waits.
const INTERVAL: Duration = Duration::from_millis(40);

/// Where what is sealed is opened.
pub(super) enum Site {
    /// Not yet anywhere.
    None,
    /// In a folder beside the repository.
    Render(Render),
    /// In a namespace of a cluster.
    #[cfg(feature = "cluster")]
    Cluster(Box<Live>),
}

/// `render --watch` in a thread.
pub(super) struct Render {
    stop: Arc<AtomicBool>,
    rows: mpsc::Receiver<(i64, Row)>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Demo<'_> {
    /// Has the cluster of this connection open what is sealed, instead of a folder.
    #[cfg(feature = "cluster")]
    pub(super) fn use_cluster(&mut self, live: Live) {
        self.site = Site::Cluster(Box::new(live));
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
                    let items = crate::sealed_file::SealedFile::read(&file, None)?.items;
                    objects.extend(
                        items
                            .into_iter()
                            .map(|item| item.map(|item| item.object))
                            .collect::<Result<Vec<_>>>()?,
                    );
                    files.push(format!("-f {}", file.file_name().unwrap_or_default().to_string_lossy()));
                }
                self.show(&format!(
                    "kubectl apply --server-side {}     # your GitOps tool does this",
                    files.join(" ")
                ))?;
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
            stores: stores::Options::default(),
            reload: false,
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
                let missing: Vec<_> =
                    missing.iter().map(|(what, secret)| format!("{} {secret}", what.as_str())).collect();
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
            self.show(&format!(
                "kubectl edit --namespace {} secret {}     # somebody changes {key}",
                self.subject.0, self.subject.1
            ))?;
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
}

impl Drop for Render {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
