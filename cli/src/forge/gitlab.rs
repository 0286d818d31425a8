//! Merge requests, by the REST API of GitLab (version 4).

use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, Call, MOST_LISTED, Wanted};

/// A project at GitLab.
pub(super) struct Gitlab {
    project: String,
}

impl Gitlab {
    /// By its path with all groups.
    pub(super) fn new(project: String) -> Self {
        Self { project }
    }

    /// The path is one part; its slashes are encoded.
    fn requests(&self) -> Vec<String> {
        ["projects", &self.project, "merge_requests"].map(str::to_owned).to_vec()
    }
}

impl Api for Gitlab {
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("accept", "application/json")]
    }

    fn token(&self, token: &str) -> (&'static str, String) {
        ("private-token", token.to_owned())
    }

    fn open(&self, wanted: &Wanted<'_>) -> Call {
        let query = vec![
            ("state", "opened".to_owned()),
            ("source_branch", wanted.branch.to_owned()),
            ("target_branch", wanted.base.to_owned()),
            ("per_page", MOST_LISTED.to_owned()),
        ];
        Call { method: Method::GET, path: self.requests(), query, body: None }
    }

    fn create(&self, wanted: &Wanted<'_>) -> Call {
        let body = json!({
            "source_branch": wanted.branch,
            "target_branch": wanted.base,
            "title": wanted.title,
            "description": wanted.body,
            "remove_source_branch": true,
        });
        Call { method: Method::POST, path: self.requests(), query: Vec::new(), body: Some(body) }
    }

    fn update(&self, number: u64, wanted: &Wanted<'_>) -> Call {
        let mut path = self.requests();
        path.push(number.to_string());
        let body = json!({"title": wanted.title, "description": wanted.body});
        Call { method: Method::PUT, path, query: Vec::new(), body: Some(body) }
    }

    fn is_own(&self, listed: &Value, wanted: &Wanted<'_>) -> bool {
        let project = &listed["source_project_id"];
        listed["source_branch"] == wanted.branch
            && listed["target_branch"] == wanted.base
            && project.is_u64()
            && *project == listed["target_project_id"]
    }

    fn request(&self, answer: &Value) -> Option<(u64, String)> {
        Some((answer["iid"].as_u64()?, answer["web_url"].as_str()?.to_owned()))
    }
}
