//! `docs/reference/template-filters.md` lists what there is, and what it shows is what comes out.

use std::collections::BTreeSet;

use super::*;
use crate::template::external::tools::{FILTERS, FUNCTIONS, OPERATORS, TESTS, Tool};

const PAGE: &str = include_str!("../../../../../docs/reference/template-filters.md");

/// The rows of the tables under a heading: what it is called with, an example and its result.
fn rows(heading: &str) -> Vec<[String; 3]> {
    let (_, section) = PAGE.split_once(&format!("## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        // A bar within a cell is written `\|`.
        let row = row.replace("\\|", "\u{1}");
        let cells: Vec<String> = row
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.replace('\u{1}', "|").trim().to_owned())
            .collect();
        let [call, _, example, result] = &cells[..] else { panic!("{row}") };
        [call, example, result].map(|cell| cell.trim_matches('`').to_owned())
    })
    .collect()
}

/// As the page writes it: what can be left out stands in brackets.
fn signature(tool: &Tool) -> String {
    let parameters = tool.parameters.iter().enumerate();
    let parameters: Vec<String> = parameters
        .map(|(at, name)| if at < tool.required { (*name).to_owned() } else { format!("[{name}]") })
        .collect();
    if parameters.is_empty() {
        tool.name.to_owned()
    } else {
        format!("{}({})", tool.name, parameters.join(", "))
    }
}

fn compare(heading: &str, tools: &[Tool], call: impl Fn(&Tool) -> String) {
    let listed: Vec<String> = rows(heading).into_iter().map(|[call, ..]| call).collect();
    let there: Vec<String> = tools.iter().map(call).collect();
    assert_eq!(listed, there, "{heading}");
}

#[test]
fn the_page_lists_all_that_there_is_and_no_more() {
    compare("Filters", &FILTERS, signature);
    compare("Functions", &FUNCTIONS, signature);
    compare("Tests", &TESTS, |tool| format!("is {}", signature(tool)));
    let operators: BTreeSet<String> = rows("Operators")
        .into_iter()
        .flat_map(|[call, ..]| call.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let there: BTreeSet<String> = OPERATORS
        .iter()
        .map(|tool| tool.name)
        .chain(["and", "or", "not", "if", "else"])
        .map(str::to_owned)
        .collect();
    assert_eq!(operators, there);
}

#[test]
fn the_examples_give_what_the_page_says() {
    for heading in ["Filters", "Functions", "Tests", "Operators"] {
        for [call, example, result] in rows(heading) {
            let name = call.trim_start_matches("is ").split(['(', ' ']).next().unwrap();
            assert!(example.contains(name), "{call}: {example}");
            assert_eq!(
                render(&example, &page_values()).as_deref(),
                Ok(&*result.replace("\\n", "\n")),
                "{example}"
            );
        }
    }
}

/// The values that the page speaks of, as it gives them.
fn page_values() -> Data {
    let (_, section) = PAGE.split_once("## Values of the examples\n").unwrap();
    let block = section.split("```").nth(1).unwrap();
    let mut given: BTreeMap<String, String> =
        crate::yaml::from_str(block.trim_start_matches("yaml\n")).unwrap();
    // Too long for the page.
    given.insert("cert".to_owned(), [CERT, CA].concat());
    given.insert("key".to_owned(), KEY.to_owned());
    given.into_iter().map(|(name, value)| (key(&name), Secret::new(value.into_bytes()))).collect()
}

#[test]
fn every_name_is_there_once() {
    let all: Vec<&str> =
        [&OPERATORS[..], &TESTS, &FILTERS, &FUNCTIONS].into_iter().flatten().map(|tool| tool.name).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}

#[test]
fn the_page_gives_the_limits() {
    for limit in ["1 MiB", "64 KiB", "20,000", "32 MiB", "16 hashes", "1,000"] {
        assert!(PAGE.contains(limit), "{limit}");
    }
    assert_eq!(
        (limits::OUTPUT_BYTES, limits::TEXT_BYTES, limits::SOURCE_BYTES),
        (1 << 20, 1 << 20, 64 << 10)
    );
    assert_eq!(
        (limits::FUEL, limits::WORK_BYTES, limits::HASHING, limits::RANGE),
        (20_000, 32 << 20, 16 << 10, 1_000)
    );
}

/// The manifest in `docs/TEMPLATES.md`.
#[test]
fn the_example_of_the_other_page_works() {
    let (_, section) = include_str!("../../../../../docs/TEMPLATES.md")
        .split_once("## Templates of ExternalSecrets\n")
        .unwrap();
    let block = section.split("```").nth(1).unwrap();
    let spec: serde_json::Value = crate::yaml::from_str(block.trim_start_matches("yaml\n")).unwrap();
    let sources = &spec["spec"]["target"]["template"]["data"];
    let sources: BTreeMap<String, String> = crate::yaml::from_value(sources).unwrap();
    let sources = sources.into_iter().map(|(name, source)| (key(&name), source)).collect();
    let values =
        data(&[("user", b"joe"), ("password", b"a:\"b"), ("hosts", b"h1,h2"), ("tls.crt", b"PEM\n")]);
    let rendered = ExternalTemplates::parse(sources).unwrap().render(&values, PLACE).unwrap();
    let text = |name: &str| std::str::from_utf8(rendered.get(name).unwrap().expose()).unwrap();
    assert_eq!(text("config.json"), "{\"ca\":\"PEM\\n\",\"password\":\"a:\\\"b\",\"user\":\"joe\"}");
    assert_eq!(text("pgpass"), "h1:5432:*:joe:a\\:\"b\nh2:5432:*:joe:a\\:\"b\n\n");
    assert!(text(".htpasswd").starts_with("joe:$2y$10$"));
}
