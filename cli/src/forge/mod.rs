//! Asking for the merge of a branch: a pull request at GitHub, a merge request at GitLab.
//!
//! An open request for the branch is brought up to date, and never joined by a second one. Nothing that a forge answers is
//! repeated but numbers and the address of the request; the token goes into one header and nowhere else.

mod github;
mod gitlab;

use std::{path::PathBuf, time::Duration};

use reqwest::{
    Client, Method, StatusCode, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::Context,
    error::{Explain, Failure, Result},
    input,
};

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most that is read of an answer.
const MOST: usize = 4 * 1024 * 1024;

/// Requests that are listed at once: the most that both forges give.
const MOST_LISTED: &str = "100";

/// Options of a job that asks for a merge.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// File with a token: with it, a pull or merge request is opened, or the open one updated
    #[arg(long, value_name = "FILE", requires = "git")]
    forge_token_file: Option<PathBuf>,
    /// What the server is. Default: by the name of the host
    #[arg(long, value_name = "KIND", requires = "forge_token_file")]
    forge: Option<Kind>,
    /// Address of the API of an own server, such as https://HOST/api/v3 (GitHub) or
    /// https://HOST/api/v4 (GitLab)
    #[arg(long, value_name = "URL", requires = "forge_token_file")]
    forge_url: Option<String>,
    /// The repository's name there. Default: the path of --git
    #[arg(long, value_name = "OWNER/NAME", requires = "forge_token_file")]
    forge_project: Option<String>,
}

/// A kind of forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// GitHub and GitHub Enterprise Server.
    Github,
    /// GitLab.
    Gitlab,
}

/// A forge, and who we are there.
pub(crate) struct Forge {
    api: Box<dyn Api>,
    caller: Caller,
}

/// What is to be merged where.
pub(crate) struct Wanted<'a> {
    /// The branch.
    pub(crate) branch: &'a str,
    /// Where it is to go.
    pub(crate) base: &'a str,
    /// One line.
    pub(crate) title: &'a str,
    /// Markdown.
    pub(crate) body: &'a str,
}

/// A request at the forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Request {
    /// Its number.
    pub(crate) number: u64,
    /// Where people read it.
    pub(crate) url: String,
    /// What became of it.
    pub(crate) state: State,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum State {
    /// It was open, and is as it was.
    Kept,
    /// It is new.
    Opened,
    /// It was open, and says now what the branch holds.
    Updated,
}

/// What differs between forges.
trait Api {
    /// Headers of every call but the token's.
    fn headers(&self) -> &'static [(&'static str, &'static str)];
    /// The header with the token.
    fn token(&self, token: &str) -> (&'static str, String);
    /// The call that lists open requests for the branch.
    fn open(&self, wanted: &Wanted<'_>) -> Call;
    /// The call that opens one.
    fn create(&self, wanted: &Wanted<'_>) -> Call;
    /// The call that changes its text.
    fn update(&self, number: u64, wanted: &Wanted<'_>) -> Call;
    /// Whether a listed request is for the branch of this repository: people who may write nothing to it can ask from a
    /// branch of the same name in a fork.
    fn is_own(&self, listed: &Value, wanted: &Wanted<'_>) -> bool;
    /// Number and address of a request in an answer.
    fn request(&self, answer: &Value) -> Option<(u64, String)>;
}

/// One call.
struct Call {
    method: Method,
    /// Parts of the path; each is encoded.
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl Options {
    /// The forge, if there is a token. `host` and `project` are those of the repository's URL.
    pub(crate) fn forge(
        &self,
        host: Option<&str>,
        project: Option<String>,
        ca: Option<&PathBuf>,
    ) -> Result<Option<Forge>> {
        let Some(file) = &self.forge_token_file else { return Ok(None) };
        let kind = self.forge.or_else(|| host.and_then(kind_of)).ok_or_else(|| {
            Failure::usage("the name of the host does not say what forge it is")
                .hint("say it: --forge github or --forge gitlab")
        })?;
        let project = self.forge_project.clone().or(project).ok_or_else(|| {
            Failure::usage("there is no name of the repository at the forge")
                .hint("say it: --forge-project OWNER/NAME")
        })?;
        let base = match &self.forge_url {
            Some(url) => Url::parse(url).map_err(|_| Failure::usage("--forge-url is no URL"))?,
            None => default_url(kind, host)?,
        };
        check(&base)?;
        let api: Box<dyn Api> = match kind {
            Kind::Github => Box::new(github::Github::new(&project)?),
            Kind::Gitlab => Box::new(gitlab::Gitlab::new(project)),
        };
        let token = input::read(file)?;
        // Why exposed: it is sent to the forge.
        let token = std::str::from_utf8(token.expose())
            .map_err(|_| Failure::new("not UTF-8 text"))
            .at(file.display())?;
        let caller = Caller::new(base, api.as_ref(), token.trim(), ca).at(file.display())?;
        Ok(Some(Forge { api, caller }))
    }
}

impl Forge {
    /// Makes sure that a request is open; `pushed` says that its text may be old.
    pub(crate) fn ensure(&self, wanted: &Wanted<'_>, pushed: bool, context: &Context) -> Result<Request> {
        context.printer.progress("asking the forge");
        let open = self.caller.call(self.api.open(wanted))?;
        let first = open.as_array().and_then(|all| all.iter().find(|listed| self.api.is_own(listed, wanted)));
        let (state, answer) = match first.map(|first| (self.api.request(first), first)) {
            Some((Some((number, _)), _)) if pushed => {
                (State::Updated, self.caller.call(self.api.update(number, wanted))?)
            }
            Some((_, first)) => (State::Kept, first.clone()),
            None => (State::Opened, self.caller.call(self.api.create(wanted))?),
        };
        let (number, url) = self
            .api
            .request(&answer)
            .ok_or_else(|| Failure::new("the forge's answer is no request").at(&self.caller.base))?;
        Ok(Request { number, url, state })
    }
}

/// Makes the calls.
struct Caller {
    runtime: tokio::runtime::Runtime,
    client: Client,
    base: Url,
}

impl Caller {
    fn new(base: Url, api: &dyn Api, token: &str, ca: Option<&PathBuf>) -> Result<Self> {
        let header = |name: &'static str, value: &str, secret: bool| {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| Failure::new("the token has characters that no header can carry"))?;
            value.set_sensitive(secret);
            Ok::<_, Failure>((HeaderName::from_static(name), value))
        };
        if token.is_empty() {
            return Err(Failure::new("the file with the token is empty"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in api.headers() {
            headers.extend([header(name, value, false)?]);
        }
        let (name, value) = api.token(token);
        headers.extend([header(name, &value, true)?]);
        // The error is that somebody was first, which can only have been with ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("waxwing/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .timeout(TIMEOUT)
            .default_headers(headers);
        if let Some(ca) = ca {
            let pem = std::fs::read(ca).at(ca.display())?;
            let all = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|_| Failure::new("no certificate in PEM"))
                .at(ca.display())?;
            builder = builder.tls_certs_only(all);
        }
        let client = builder.build().map_err(|_| Failure::new("no HTTP client could be made"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, client, base })
    }

    fn call(&self, call: Call) -> Result<Value> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::usage("--forge-url is no address of an API"))?
            .pop_if_empty()
            .extend(&call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(call.query.iter().map(|(name, value)| (*name, value.as_str())));
        }
        let mut request = self.client.request(call.method, url);
        if let Some(body) = call.body {
            request = request.header("content-type", "application/json").body(serde_json::to_vec(&body)?);
        }
        let (status, body) = self.runtime.block_on(answer(request)).at(&self.base)?;
        if !status.is_success() {
            return Err(refused(status).at(&self.base));
        }
        serde_json::from_slice(&body)
            .map_err(|_| Failure::new("the forge did not answer in JSON").at(&self.base))
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<(StatusCode, Vec<u8>)> {
    let failed = |error: reqwest::Error| {
        Failure::new(if error.is_timeout() {
            "the forge did not answer in time"
        } else if error.is_connect() {
            "no connection to the forge could be made; its certificate may not be trusted"
        } else {
            "the forge did not answer as HTTP"
        })
        .hint("what was pushed stays; the next run asks again")
    };
    let mut answer = request.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MOST {
            return Err(Failure::new("the forge's answer is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((answer.status(), body))
}

fn refused(status: StatusCode) -> Failure {
    let failure = Failure::new(format!("the forge answered {}", status.as_u16()));
    match status.as_u16() {
        300..=399 => failure.hint("it points elsewhere, which is never followed: give its address as --forge-url"),
        401 => failure.hint("the token of --forge-token-file is wrong, or has expired"),
        403 => failure.hint("the token may not open requests: GitHub calls the right `pull requests: write`, GitLab the scope `api`"),
        404 => failure.hint("there is no such repository, or the token may not see it; --forge-project names it"),
        409 | 422 => failure.hint("it takes no request for this branch; look whether one is open or the branch is gone"),
        _ => failure.hint("what was pushed stays; the next run asks again"),
    }
}

fn kind_of(host: &str) -> Option<Kind> {
    match host {
        host if host == "github.com" || host.starts_with("github.") => Some(Kind::Github),
        host if host == "gitlab.com" || host.starts_with("gitlab.") => Some(Kind::Gitlab),
        _ => None,
    }
}

fn default_url(kind: Kind, host: Option<&str>) -> Result<Url> {
    let host =
        host.ok_or_else(|| Failure::usage("a folder has no forge").hint("say where it is: --forge-url URL"))?;
    let url = match kind {
        Kind::Github if host == "github.com" => "https://api.github.com".to_owned(),
        Kind::Github => format!("https://{host}/api/v3"),
        Kind::Gitlab => format!("https://{host}/api/v4"),
    };
    Url::parse(&url).map_err(|_| {
        Failure::usage("the host of --git has no name that a URL can hold")
            .hint("say where the forge is: --forge-url URL")
    })
}

/// Whether it is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

/// The token goes there.
fn check(base: &Url) -> Result<()> {
    if !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
        return Err(Failure::usage("--forge-url holds more than the address of an API"));
    }
    match base.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(base) => Ok(()),
        _ => Err(Failure::usage("the token would go over the network in the clear")
            .hint("give an https:// address as --forge-url")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K24. Guard: `check`, which is asked before the token is read.
    #[test]
    fn a_token_goes_to_no_http_server_but_one_of_this_machine() {
        let allowed = |url| check(&Url::parse(url).unwrap()).is_ok();
        assert!(
            allowed("https://git.example/api/v4")
                && allowed("http://127.0.0.1:8080")
                && allowed("http://[::1]:1/x")
        );
        assert!(
            !allowed("http://git.example/api/v4")
                && !allowed("ftp://git.example")
                && !allowed("http://127.0.0.1.example/")
        );
        assert!(!allowed("https://user@git.example/") && !allowed("https://git.example/?token=x"));
    }

    #[test]
    fn a_forge_is_known_by_its_host() {
        let url = |kind, host| default_url(kind, Some(host)).unwrap().to_string();
        assert_eq!(kind_of("github.com"), Some(Kind::Github));
        assert_eq!(kind_of("gitlab.example"), Some(Kind::Gitlab));
        assert_eq!(kind_of("git.example"), None);
        assert_eq!(url(Kind::Github, "github.com"), "https://api.github.com/");
        assert_eq!(url(Kind::Github, "github.example"), "https://github.example/api/v3");
        assert_eq!(url(Kind::Gitlab, "gitlab.com"), "https://gitlab.com/api/v4");
    }
}
