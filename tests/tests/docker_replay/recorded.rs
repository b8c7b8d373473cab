//! Recordings of what engines sent, and how it becomes what they would send to netctl: an engine repeats what a plugin has
//! told it, names of pools, subnets and addresses, and nothing else of a call depends on answers.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// One call of a recording.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// Which of the recording's steps it is of; the node's name where several were recorded.
    pub(crate) step: String,
    pub(crate) call: String,
    pub(crate) request: Value,
    /// What of the recorded answer an engine repeats, and whether it was a refusal.
    pub(crate) answered: Value,
}

/// The calls of a recording, in order.
pub(crate) fn read(text: &str) -> Result<Vec<Recorded>> {
    text.lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line)?;
            let step = line["step"].as_str().or(line["node"].as_str());
            Ok(Recorded {
                step: step.context("no step")?.to_owned(),
                call: line["call"].as_str().context("no call")?.to_owned(),
                request: line["request"].take(),
                answered: line["answered"].take(),
            })
        })
        .collect()
}

impl Recorded {
    /// Whether the recorded plugin had refused it.
    pub(crate) fn failed(&self) -> bool {
        ["Err", "Error"].iter().any(|name| self.answered[*name].is_string())
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.request[name].as_str().unwrap_or_default()
    }
}

/// What stands for what the recorded plugin had said.
#[derive(Debug, Default)]
pub(crate) struct Words(BTreeMap<String, String>);

impl Words {
    /// Notes what was answered where the recorded plugin had answered something else.
    pub(crate) fn learn(&mut self, recorded: &Value, answered: &Value) {
        for field in ["PoolID", "Pool", "Address"] {
            if let (Some(said), Some(says)) = (recorded[field].as_str(), answered[field].as_str()) {
                self.0.insert(said.to_owned(), says.to_owned());
                // An engine has addresses with their length from a plugin, and gives some back without.
                if field == "Address"
                    && let (Some((said, _)), Some((says, _))) =
                        (said.split_once('/'), says.split_once('/'))
                {
                    self.0.insert(said.to_owned(), says.to_owned());
                }
            }
        }
    }

    pub(crate) fn set(&mut self, said: &str, says: &str) {
        self.0.insert(said.to_owned(), says.to_owned());
    }

    /// The request as it is sent to netctl.
    pub(crate) fn apply(&self, request: &Value) -> Value {
        match request {
            Value::String(text) => self.0.get(text).unwrap_or(text).as_str().into(),
            Value::Array(values) => values.iter().map(|value| self.apply(value)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), self.apply(value))).collect()
            }
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain.clone(),
        }
    }
}
