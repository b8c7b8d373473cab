//! The dashboard that is packaged shows what there is, in the form that Grafana loads (its dashboard JSON model).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::Store;

use crate::{address, join, lab, scrape::Scrape, within};

/// How wide Grafana's grid is.
const WIDTH: u64 = 24;
/// What Prometheus adds to each series.
const ADDED: [&str; 2] = ["job", "instance"];

fn board() -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/netctl.json");
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

fn list<'a>(value: &'a Value, pointer: &str) -> Result<&'a Vec<Value>> {
    value.pointer(pointer).and_then(Value::as_array).with_context(|| format!("no list {pointer}"))
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("no text {pointer} in {value}"))
}

fn number(value: &Value, pointer: &str) -> Result<u64> {
    let found = value.pointer(pointer).and_then(Value::as_u64);
    found.with_context(|| format!("no number {pointer} in {value}"))
}

/// Each expression of each panel, and of each variable.
fn queries(board: &Value) -> Result<Vec<String>> {
    let mut queries = Vec::new();
    for panel in list(board, "/panels")?.iter().filter(|panel| panel["type"] != "row") {
        for target in list(panel, "/targets")? {
            queries.push(text(target, "/expr")?.to_owned());
        }
    }
    for variable in list(board, "/templating/list")? {
        if let Some(query) = variable.pointer("/query/query").and_then(Value::as_str) {
            queries.push(query.to_owned());
        }
    }
    Ok(queries)
}

#[test]
fn it_has_the_form_that_grafana_loads() -> Result<()> {
    let board = board()?;
    ensure!(number(&board, "/schemaVersion")? >= 36, "the first with references to data sources");
    ensure!(!text(&board, "/title")?.is_empty() && !text(&board, "/uid")?.is_empty());
    ensure!(board.get("id").is_none(), "an id is of one Grafana alone");

    let variables = list(&board, "/templating/list")?;
    let named: BTreeSet<&str> =
        variables.iter().map(|own| text(own, "/name")).collect::<Result<_>>()?;
    let sources: Vec<&Value> = variables.iter().filter(|own| own["type"] == "datasource").collect();
    ensure!(sources.len() == 1 && sources[0]["query"] == "prometheus", "{sources:?}");
    let source = format!("${{{}}}", text(sources[0], "/name")?);

    let mut ids = BTreeSet::new();
    let mut taken: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for panel in list(&board, "/panels")? {
        let id = number(panel, "/id")?;
        ensure!(ids.insert(id), "two panels have the id {id}");
        ensure!(!text(panel, "/title")?.is_empty(), "panel {id} has no title");
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|key| number(panel, &format!("/gridPos/{key}")));
        let (x, y, w, h) = (x?, y?, w?, h?);
        ensure!(w > 0 && h > 0 && x + w <= WIDTH, "panel {id} does not fit");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            let other = taken.insert(place, id);
            ensure!(other.is_none(), "panels {id} and {other:?} overlap at {place:?}");
        }
        if panel["type"] == "row" {
            continue;
        }
        ensure!(["timeseries", "stat"].contains(&text(panel, "/type")?), "panel {id}");
        ensure!(!text(panel, "/fieldConfig/defaults/unit")?.is_empty(), "panel {id} has no unit");
        let mut references = BTreeSet::new();
        for target in list(panel, "/targets")?.iter().chain([panel]) {
            ensure!(text(target, "/datasource/uid")? == source, "panel {id}");
            ensure!(text(target, "/datasource/type")? == "prometheus", "panel {id}");
        }
        for target in list(panel, "/targets")? {
            ensure!(references.insert(text(target, "/refId")?), "panel {id} has a refId twice");
        }
        ensure!(!references.is_empty(), "panel {id} shows nothing");
    }
    for query in queries(&board)? {
        balanced(&query)?;
        for variable in variables_of(&query) {
            let known = named.contains(variable) || variable.starts_with("__");
            ensure!(known, "{query}: there is no variable {variable}");
        }
    }
    Ok(())
}

/// Parentheses and the like are closed in their order; quotation marks are closed.
fn balanced(query: &str) -> Result<()> {
    let mut open = Vec::new();
    let mut quoted = false;
    for c in query.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => open.push(')'),
            '{' => open.push('}'),
            '[' => open.push(']'),
            ')' | '}' | ']' => ensure!(open.pop() == Some(c), "{query}: an odd {c}"),
            _ => {}
        }
    }
    ensure!(open.is_empty() && !quoted, "{query}: {open:?} is missing");
    Ok(())
}

fn variables_of(query: &str) -> Vec<&str> {
    let end = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    query.split('$').skip(1).map(|rest| &rest[..end(rest).unwrap_or(rest.len())]).collect()
}

/// The words of a query outside quotation marks, each with what is behind it.
fn words(query: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (piece, outside) in query.split('"').zip([true, false].into_iter().cycle()) {
        let mut rest = piece;
        while outside && let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
            rest = &rest[start..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
            found.push((word, behind));
            rest = behind;
        }
    }
    found
}

#[test]
fn all_that_it_shows_is_there() -> Result<()> {
    let lab = lab(1, Store::File, &[])?;
    let played = (|| {
        let host = lab.host(1);
        join(host, "a")?;
        join(host, "b")?;
        let counting = aya::sys::enable_stats(aya::sys::Stats::RunTime)?;
        let target = address(host, "b")?;
        within(host, "a", &format!("ping -n -q -c 2 -i 0.01 -W 2 {target}"))?;
        let scrape = Scrape::of(host)?;
        drop(counting);
        let mut there: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for series in &scrape.0 {
            let labels = series.labels.keys().map(String::as_str).chain(ADDED);
            there.entry(&series.name).or_default().extend(labels);
        }
        let mut shown = BTreeSet::new();
        for query in queries(&board()?)? {
            let ours = |word: &&str| word.starts_with("netctl_") || word.starts_with("process_");
            let words = words(&query);
            let metrics: Vec<&str> = words.iter().map(|(word, _)| *word).filter(ours).collect();
            ensure!(!metrics.is_empty(), "{query} asks for nothing of ours");
            for &metric in &metrics {
                ensure!(there.contains_key(metric), "{query}: there is no {metric}");
                shown.insert(metric.to_owned());
            }
            let has = |label: &str| {
                metrics
                    .iter()
                    .any(|metric| there.get(metric).is_some_and(|own| own.contains(label)))
            };
            let matched = words.iter().filter(|(_, behind)| behind.starts_with('='));
            for (label, _) in matched.filter(|(_, behind)| !behind.starts_with("==")) {
                ensure!(has(label), "{query}: nothing has the label {label}");
            }
            for (_, behind) in words.iter().filter(|(word, _)| *word == "by") {
                let labels = behind.trim_start().strip_prefix('(').context("by what?")?;
                let labels = labels.split_once(')').context("no end")?.0;
                for label in labels.split(',').map(str::trim) {
                    ensure!(has(label), "{query}: nothing has the label {label}");
                }
            }
        }
        // What is not a detail is on it.
        for name in there.keys().filter(|name| name.starts_with("netctl_")) {
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let bucket = family.map(|family| format!("{family}_bucket"));
            let left_out =
                ["netctl_build_info", "netctl_networks", "netctl_sandboxes", "netctl_bytes_total"];
            let left_out = left_out.contains(name)
                || name.starts_with("netctl_gateway_transmit_packets")
                || name.starts_with("netctl_store_connection_changed");
            let on_it = shown.contains(bucket.as_deref().unwrap_or(name));
            ensure!(on_it || left_out, "{name} is not shown");
        }
        Ok(())
    })();
    played.map_err(|error: anyhow::Error| lab.explain(error))?;
    lab.end()
}
