//! A strict reader of the text format of Prometheus, version 0.0.4, and of what `promtool check metrics` asks for beyond.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};

/// One line with a value.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A family as its first two lines say.
#[derive(Debug)]
struct Family {
    name: String,
    kind: String,
    series: Vec<Series>,
}

/// All series, in order; an error names the line that no reader need take.
pub(crate) fn read(text: &str) -> Result<Vec<Series>> {
    ensure!(text.ends_with('\n'), "the last line has no end");
    let mut families: Vec<Family> = Vec::new();
    let mut helped: Option<String> = None;
    for line in text.lines() {
        let mut take = || -> Result<()> {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').context("no help")?;
                ensure!(helped.is_none() && !help.trim().is_empty() && is_name(name), "a bad help");
                ensure!(families.iter().all(|family| family.name != name), "it was there before");
                helped = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').context("no type")?;
                ensure!(helped.take().as_deref() == Some(name), "no help before it");
                conventional(name, kind)?;
                let (name, kind) = (name.to_owned(), kind.to_owned());
                families.push(Family { name, kind, series: Vec::new() });
            } else {
                let series = series(line)?;
                let family = families.last_mut().context("no family before it")?;
                ensure!(family.takes(&series), "it is not of family {}", family.name);
                family.series.push(series);
            }
            Ok(())
        };
        take().with_context(|| format!("line {line:?}"))?;
    }
    ensure!(helped.is_none(), "a help without a type");
    let mut seen = BTreeSet::new();
    for family in &families {
        for series in &family.series {
            let key = (series.name.clone(), series.labels.clone());
            ensure!(seen.insert(key), "{series:?} is there twice");
        }
        if family.kind == "histogram" {
            family.distributions().with_context(|| family.name.clone())?;
        }
    }
    Ok(families.into_iter().flat_map(|family| family.series).collect())
}

/// What `promtool check metrics` complains of (`client_golang`, `testutil/promlint`).
fn conventional(name: &str, kind: &str) -> Result<()> {
    ensure!(["counter", "gauge", "histogram"].contains(&kind), "type {kind:?}");
    ensure!(name.ends_with("_total") == (kind == "counter"), "only counters end in _total");
    for end in ["_count", "_sum", "_bucket"] {
        ensure!(!name.ends_with(end), "{end} is for histograms' series");
    }
    ensure!(!name.contains(':') && !name.chars().any(char::is_uppercase), "an unusual name");
    for word in name.split('_') {
        ensure!(word != kind && word != "ms" && word != "kb", "{word:?} in a name");
        let scaled = ["milli", "micro", "nano", "kilo", "mega", "minute", "hour", "day"];
        ensure!(!scaled.iter().any(|prefix| word.starts_with(prefix)), "{word:?} is no base unit");
    }
    Ok(())
}

impl Family {
    fn takes(&self, series: &Series) -> bool {
        let has_bound = series.labels.contains_key("le");
        if self.kind != "histogram" {
            return series.name == self.name && !has_bound;
        }
        match series.name.strip_prefix(&self.name) {
            Some("_bucket") => has_bound,
            Some("_sum" | "_count") => !has_bound,
            _ => false,
        }
    }

    /// Buckets rise, and the last of them is all.
    fn distributions(&self) -> Result<()> {
        let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        let mut counts = BTreeMap::new();
        let mut sums = BTreeMap::new();
        for series in &self.series {
            let mut labels = series.labels.clone();
            match labels.remove("le") {
                Some(bound) => {
                    let bound = number(&bound)?;
                    buckets.entry(labels).or_default().push((bound, series.value));
                }
                None if series.name.ends_with("_sum") => drop(sums.insert(labels, series.value)),
                None => drop(counts.insert(labels, series.value)),
            }
        }
        ensure!(counts.len() == buckets.len() && sums.len() == buckets.len(), "parts are missing");
        for (labels, buckets) in buckets {
            let rises = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
            ensure!(buckets.windows(2).all(rises), "{labels:?} does not rise: {buckets:?}");
            let last = buckets.last().context("no buckets")?;
            ensure!(last.0 == f64::INFINITY, "{labels:?} ends at {}", last.0);
            ensure!(counts.get(&labels) == Some(&last.1), "{labels:?} has another count");
            ensure!(sums.get(&labels).is_some_and(|sum| *sum >= 0.0), "{labels:?} has no sum");
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn number(text: &str) -> Result<f64> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        _ => text.parse().with_context(|| format!("{text:?} is no number")),
    }
}

fn series(line: &str) -> Result<Series> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    ensure!(is_name(name), "{name:?} is no name");
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").context("no label")?;
            ensure!(is_name(label), "{label:?} is no name of a label");
            let (value, after) = quoted(after)?;
            ensure!(labels.insert(label.to_owned(), value).is_none(), "{label} is there twice");
            if let Some(after) = after.strip_prefix(',') {
                rest = after;
            } else {
                rest = after.strip_prefix('}').context("no end of the labels")?;
                break;
            }
        }
    }
    let value = number(rest.strip_prefix(' ').context("no space before the value")?)?;
    ensure!(value.is_finite(), "{value} says nothing");
    Ok(Series { name: name.to_owned(), labels, value })
}

/// The text up to the quotation mark that ends it, and what is behind that.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                other => bail!("{other:?} is escaped"),
            },
            c => value.push(c),
        }
    }
    bail!("a value without an end")
}

#[test]
fn the_reader_is_strict() {
    let good = "# HELP a_total All.\n# TYPE a_total counter\na_total{x=\"\\\"\\\\\\n\"} 1\n";
    let series = read(good).expect("it is as the format says");
    assert_eq!(series[0].labels["x"], "\"\\\n");
    for bad in [
        "a_total 1\n",
        "# TYPE a_total counter\na_total 1\n",
        "# HELP a_total All.\n# TYPE a_total counter\na_total 1",
        "# HELP a_total All.\n# TYPE a_total counter\na_total 1\na_total 2\n",
        "# HELP a_total All.\n# TYPE a_total counter\nb_total 1\n",
        "# HELP a_total All.\n# TYPE a_total gauge\na_total 1\n",
        "# HELP a All.\n# TYPE a counter\na 1\n",
        "# HELP a_milliseconds All.\n# TYPE a_milliseconds gauge\na_milliseconds 1\n",
        "# HELP a All.\n# TYPE a gauge\na{x=\"\\t\"} 1\n",
        "# HELP a All.\n# TYPE a gauge\na{x=\"\"\"} 1\n",
        "# HELP a All.\n# TYPE a gauge\na{x=\"1\"\n",
        "# HELP a All.\n# TYPE a gauge\na one\n",
        "# HELP a All.\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
        "# HELP a All.\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        "# HELP a All.\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
