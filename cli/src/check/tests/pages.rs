//! Pages and examples.

use serde_json::Value;
use waxwing_core::yaml;

/// What the examples for pipelines and the page call is what the parser takes.
#[test]
fn the_examples_call_what_there_is() {
    let pages = [
        include_str!("../../../../docs/ci/github-actions.yml"),
        include_str!("../../../../docs/ci/gitlab-ci.yml"),
        include_str!("../../../../docs/ci/pre-commit-config.yaml"),
        include_str!("../../../../.pre-commit-hooks.yaml"),
    ];
    let mut commands = Vec::new();
    let mut hooks = std::collections::BTreeMap::new();
    for page in pages {
        for document in yaml::documents(page).unwrap_or_else(|error| panic!("{error}")) {
            strings(&document.value, &mut |text| commands.extend(text.lines().map(ToOwned::to_owned)));
            for hook in document.value.as_array().into_iter().flatten() {
                hooks.insert(
                    hook["id"].as_str().unwrap().to_owned(),
                    hook["entry"].as_str().unwrap().to_owned(),
                );
            }
        }
    }
    let config = yaml::documents(pages[2]).unwrap();
    for hook in config[0].value["repos"][0]["hooks"].as_array().unwrap() {
        let args = hook["args"].as_array().into_iter().flatten().map(|arg| arg.as_str().unwrap());
        let entry = &hooks[hook["id"].as_str().unwrap()];
        commands.push(std::iter::once(entry.as_str()).chain(args).collect::<Vec<_>>().join(" "));
    }
    let page = include_str!("../../../../docs/CHECK.md");
    let is_command = |line: &&str| line.starts_with("$ waxwing") || line.contains(" | waxwing ");
    commands.extend(page.lines().filter(is_command).map(|line| line.trim_start_matches("$ ").to_owned()));
    let called: Vec<&str> = commands
        .iter()
        .filter_map(|line| {
            let piped = line.rsplit_once("| waxwing ").map(|(_, rest)| rest);
            let line = piped.or_else(|| line.strip_prefix("waxwing "))?;
            let end = [" >", " ||"].iter().filter_map(|end| line.find(end)).min();
            Some(line[..end.unwrap_or(line.len())].trim())
        })
        .collect();
    assert!(called.len() > 8, "{called:?}");
    for line in called {
        let words = ["waxwing"].into_iter().chain(line.split_whitespace());
        let matches = crate::args::command("waxwing").try_get_matches_from(words);
        matches.unwrap_or_else(|error| panic!("waxwing {line}\n{error}"));
    }
}

fn strings(value: &Value, look: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => look(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, look)),
        Value::Object(map) => map.values().for_each(|value| strings(value, look)),
        _ => {}
    }
}
