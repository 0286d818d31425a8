//! Reading the operator's HTTP endpoint: status codes and metrics.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks for a path and gives status code and body.
///
/// # Errors
/// When nobody answers in HTTP.
pub async fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    exchange(port, &request).await
}

/// Sends a request as it stands, and gives status code and body.
///
/// # Errors
/// When nobody answers in HTTP.
pub async fn exchange(port: u16, request: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    let code = head.split(' ').nth(1).context("a status line has a code")?.parse()?;
    Ok((code, body.to_owned()))
}

/// All series of one scrape.
#[derive(Clone, Debug)]
pub struct Scrape {
    text: String,
    series: Vec<Series>,
}

/// One series with its value.
#[derive(Clone, Debug)]
pub struct Series {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Scrape {
    /// Reads the text format. Label values of ours hold neither commas nor quotes.
    ///
    /// # Panics
    /// When a line is none of it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { text: text.to_owned(), series: lines.map(Series::parse).collect() }
    }

    /// As it was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every series.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// The sum over the series of one metric that have all these labels; 0 where there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |series: &&Series| {
            series.name == name
                && labels
                    .iter()
                    .all(|(label, value)| series.labels.get(*label).is_some_and(|has| has == value))
        };
        self.series.iter().filter(fits).map(|series| series.value).sum()
    }
}

impl Series {
    fn parse(line: &str) -> Self {
        let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no series: {line}"));
        let (name, labels) = head.split_once('{').unwrap_or((head, "}"));
        let labels = labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty());
        let labels = labels.map(|pair| {
            let (label, value) = pair.split_once('=').unwrap_or_else(|| panic!("no label: {line}"));
            (label.to_owned(), value.trim_matches('"').to_owned())
        });
        let value = value.parse().unwrap_or_else(|_| panic!("no value: {line}"));
        Self { name: name.to_owned(), labels: labels.collect(), value }
    }
}
