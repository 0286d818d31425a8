//! Where a repository is: by https, by ssh, or in a folder. Never shown with what stands before the `@`.

use std::{fmt, path::PathBuf};

use reqwest::Url;

use crate::{
    error::{Failure, Result},
    forge,
};

/// A repository's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A web server. `tls` is off for `http://`, which is this machine alone and never gets a credential.
    Web { url: String, tls: bool },
    /// An ssh server. `url` is what the library takes; `parts` has host and path.
    Ssh { url: String, user: String, shown: String, parts: Url },
}

impl Place {
    /// What was meant by `--git`. No failure repeats what was given, because a password may stand in it.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if !text.contains("://") {
            return of_scp(text).unwrap_or_else(|| Ok(Self::Folder(PathBuf::from(text))));
        }
        let url =
            Url::parse(text).map_err(|_| Failure::usage("--git is no URL and no folder").hint(FORMS))?;
        if url.password().is_some() {
            return Err(Failure::usage("the URL of --git holds a password")
                .hint("put it into a file `password` of a folder, and name that with --git-credentials DIR")
                .hint(
                    "other processes and the shell's history can read arguments: if it is in use, replace it",
                ));
        }
        let user = url.username().to_owned();
        match url.scheme() {
            "file" => {
                let path = url.to_file_path();
                path.map(Self::Folder).map_err(|()| Failure::usage("the file URL of --git names no folder").hint(FORMS))
            }
            "http" | "https" if !user.is_empty() => Err(Failure::usage("the URL of --git holds a user name")
                .hint("a token may stand there as well: put both into files of a folder, and name that with --git-credentials DIR")),
            // The rules come from there, so it matters who answers even where nothing is secret.
            "http" if !forge::is_loopback(&url) => {
                Err(Failure::usage("by http:// somebody on the way could answer with rules and files of their own")
                    .hint("use https://; a CA of your own goes into the file ca.crt of --git-credentials"))
            }
            "http" | "https" if url.query().is_none() && url.fragment().is_none() => {
                Ok(Self::Web { url: url.to_string(), tls: url.scheme() == "https" })
            }
            "ssh" if url.host_str().is_some() => {
                let mut shown = url.clone();
                // An ssh URL can be without a user.
                let _ = shown.set_username("");
                let user = if user.is_empty() { GIT.to_owned() } else { user };
                let mut full = url;
                let _ = full.set_username(&user);
                Ok(Self::Ssh { url: full.to_string(), user, shown: shown.to_string(), parts: full })
            }
            _ => Err(Failure::usage("--git is a URL that is not understood").hint(FORMS)),
        }
    }

    /// What libgit2 is given.
    pub(super) fn url(&self) -> String {
        match self {
            // As a path, because in a URL some characters mean something else.
            Self::Folder(path) => {
                std::path::absolute(path).unwrap_or_else(|_| path.clone()).to_string_lossy().into_owned()
            }
            Self::Web { url, .. } | Self::Ssh { url, .. } => url.clone(),
        }
    }

    /// The name of the server, if there is one.
    pub(crate) fn host(&self) -> Option<String> {
        self.parts()?.host_str().map(str::to_owned)
    }

    /// The path on the server without the ending: what forges call the project.
    pub(crate) fn project(&self) -> Option<String> {
        let url = self.parts()?;
        let path = url.path().trim_matches('/');
        Some(path.strip_suffix(".git").unwrap_or(path).to_owned()).filter(|path| !path.is_empty())
    }

    fn parts(&self) -> Option<Url> {
        match self {
            Self::Folder(_) => None,
            Self::Web { url, .. } => Url::parse(url).ok(),
            Self::Ssh { parts, .. } => Some(parts.clone()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Web { url, .. } => f.write_str(url),
            Self::Ssh { shown, .. } => f.write_str(shown),
        }
    }
}

/// `user@host:path` or `[user@host:port]:path`, as Git writes it for ssh; nothing where it is a path. A path without a slash
/// begins in the folder where the user logs in, which no URL can say.
fn of_scp(text: &str) -> Option<Result<Place>> {
    let (server, path) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => text.split_once(':')?,
    };
    if server.contains('/') || server.is_empty() || path.is_empty() {
        return None;
    }
    let place = scp(server, path);
    Some(place.ok_or_else(|| Failure::usage("--git is no URL and no folder").hint(FORMS)))
}

fn scp(server: &str, path: &str) -> Option<Place> {
    let (user, host) = server.rsplit_once('@').unwrap_or((GIT, server));
    let parts = Url::parse(&format!("ssh://{user}@{host}/{}", path.trim_start_matches('/'))).ok()?;
    // `user:password@host` is taken apart at the wrong place, or holds a password.
    if path.contains('@') || parts.username() != user || parts.password().is_some() {
        return None;
    }
    let form = |server: &str| match parts.port() {
        Some(_) => format!("[{server}]:{path}"),
        None => format!("{server}:{path}"),
    };
    let (url, shown) = (form(&format!("{user}@{host}")), form(host));
    Some(Place::Ssh { url, user: user.to_owned(), shown, parts })
}

/// Who logs in where nobody is named: what forges expect.
const GIT: &str = "git";
const FORMS: &str =
    "give https://HOST/PATH, ssh://USER@HOST[:PORT]/PATH, USER@HOST:PATH, or the path of a bare repository";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_without_what_stands_before_the_at() {
        let shown = |text| Place::parse(text).unwrap().to_string();
        assert_eq!(
            shown("ssh://deploy@git.example:2222/team/apps.git"),
            "ssh://git.example:2222/team/apps.git"
        );
        assert_eq!(shown("deploy@git.example:team/apps.git"), "git.example:team/apps.git");
        assert_eq!(shown("[deploy@git.example:2222]:team/apps.git"), "[git.example:2222]:team/apps.git");
        assert_eq!(shown("https://git.example/team/apps.git"), "https://git.example/team/apps.git");
        assert_eq!(shown("../apps.git"), "../apps.git");
        assert_eq!(Place::parse("git@git.example:a/b.git").unwrap().project().as_deref(), Some("a/b"));
        assert_eq!(
            Place::parse("https://git.example:8443/a/b/c.git/").unwrap().project().as_deref(),
            Some("a/b/c")
        );
    }

    #[test]
    fn a_path_without_a_slash_begins_where_the_user_logs_in() {
        for (text, url) in [
            ("git@git.example:apps.git", "git@git.example:apps.git"),
            ("git.example:apps.git", "git@git.example:apps.git"),
            ("deploy@git.example:/srv/apps.git", "deploy@git.example:/srv/apps.git"),
            ("git@git.example:~/apps.git", "git@git.example:~/apps.git"),
            ("[git@git.example:2222]:a/apps.git", "[git@git.example:2222]:a/apps.git"),
            ("ssh://git.example/apps.git", "ssh://git@git.example/apps.git"),
        ] {
            let place = Place::parse(text).unwrap();
            assert_eq!((place.url().as_str(), place.host().as_deref()), (url, Some("git.example")), "{text}");
        }
        assert!(Place::parse("a@b@git.example:apps.git").is_err());
    }

    /// K26. Guard: `Place::parse` takes `http://` from this machine alone: the rules are those of whoever answers.
    #[test]
    fn rules_come_by_no_connection_that_others_can_answer() {
        for url in ["http://git.example/a.git", "http://127.0.0.1.example/a.git", "http://10.0.0.1/a.git"] {
            let failure = Place::parse(url).unwrap_err();
            assert!(failure.to_string().contains("rules and files of their own"), "{url}: {failure}");
        }
        for url in ["http://127.0.0.1:8080/a.git", "http://localhost/a.git", "http://[::1]/a.git"] {
            assert!(matches!(Place::parse(url), Ok(Place::Web { tls: false, .. })), "{url}");
        }
    }

    /// K24. Guard: `Place::parse` takes no URL with a password or with a user name for the web, and repeats neither.
    #[test]
    fn a_url_with_a_credential_is_refused_and_not_repeated() {
        const CANARY: &str = "Qz7vCanaryXw93";
        let urls = [
            format!("https://{CANARY}@git.example/a.git"),
            format!("https://user:{CANARY}@git.example/a.git"),
            format!("ssh://git:{CANARY}@git.example/a.git"),
            format!("ftp://{CANARY}.example/a.git"),
            format!("https://git.example/a.git?token={CANARY}"),
            format!("https://[{CANARY}/a.git"),
            format!("git:{CANARY}@git.example:a.git"),
            format!("git:{CANARY}@git.example/a.git"),
            format!("[git:{CANARY}@git.example:22]:a.git"),
            format!("http://git.example/{CANARY}.git"),
        ];
        for url in urls {
            let failure = Place::parse(&url).err().unwrap_or_else(|| panic!("{url} is taken"));
            let said = format!("{failure} {:?}", failure.hints());
            assert!(!said.contains(CANARY), "{said}");
        }
    }
}
