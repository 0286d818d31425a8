//! Pull requests, by the REST API of GitHub (version 2022-11-28).

use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, Call, MOST_LISTED, Wanted};
use crate::error::{Failure, Result};

/// A repository at GitHub.
pub(super) struct Github {
    owner: String,
    name: String,
}

impl Github {
    /// By `OWNER/NAME`.
    pub(super) fn new(project: &str) -> Result<Self> {
        match project.split('/').collect::<Vec<_>>().as_slice() {
            [owner, name] if !owner.is_empty() && !name.is_empty() => {
                Ok(Self { owner: (*owner).to_owned(), name: (*name).to_owned() })
            }
            _ => Err(Failure::usage("the repository at GitHub is not of the form OWNER/NAME")
                .hint("say it: --forge-project OWNER/NAME")),
        }
    }

    fn pulls(&self) -> Vec<String> {
        ["repos", &self.owner, &self.name, "pulls"].map(str::to_owned).to_vec()
    }
}

impl Api for Github {
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")]
    }

    fn token(&self, token: &str) -> (&'static str, String) {
        ("authorization", format!("Bearer {token}"))
    }

    fn open(&self, wanted: &Wanted<'_>) -> Call {
        let query = vec![
            ("state", "open".to_owned()),
            ("head", format!("{}:{}", self.owner, wanted.branch)),
            ("base", wanted.base.to_owned()),
            ("per_page", MOST_LISTED.to_owned()),
        ];
        Call { method: Method::GET, path: self.pulls(), query, body: None }
    }

    fn create(&self, wanted: &Wanted<'_>) -> Call {
        let Wanted { branch, base, title, body } = wanted;
        let body = json!({"title": title, "head": branch, "base": base, "body": body});
        Call { method: Method::POST, path: self.pulls(), query: Vec::new(), body: Some(body) }
    }

    fn update(&self, number: u64, wanted: &Wanted<'_>) -> Call {
        let mut path = self.pulls();
        path.push(number.to_string());
        let body = json!({"title": wanted.title, "body": wanted.body});
        Call { method: Method::PATCH, path, query: Vec::new(), body: Some(body) }
    }

    fn is_own(&self, listed: &Value, wanted: &Wanted<'_>) -> bool {
        let name = listed["head"]["repo"]["full_name"].as_str().unwrap_or_default();
        listed["head"]["ref"] == wanted.branch
            && listed["base"]["ref"] == wanted.base
            && name.eq_ignore_ascii_case(&format!("{}/{}", self.owner, self.name))
    }

    fn request(&self, answer: &Value) -> Option<(u64, String)> {
        Some((answer["number"].as_u64()?, answer["html_url"].as_str()?.to_owned()))
    }
}
