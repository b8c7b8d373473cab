//! Network configurations in the directory where runtimes look for them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Error, Install, Result};
use crate::{cni, model::Name};

/// A configuration that is there, ours or another's.
#[derive(Debug)]
pub(super) struct Conflist {
    pub(super) path: PathBuf,
    pub(super) name: String,
    /// The plugins that it has in a chain.
    types: Vec<String>,
}

impl Conflist {
    /// Whether it has no plugin but ours.
    pub(super) fn is_ours(&self) -> bool {
        self.types == [cni::NAME]
    }

    /// Whether it has ours.
    pub(super) fn uses_plugin(&self) -> bool {
        self.types.iter().any(|plugin| plugin == cni::NAME)
    }
}

/// Early in the order of names, by which some runtimes choose the one that they use.
pub(super) fn file_name(network: &Name) -> String {
    format!("10-netctl-{network}.conflist")
}

/// What is written: of version 1.0.0 for runtimes that know no list of versions.
pub(super) fn text(install: &Install, socket: &Path) -> String {
    let capabilities: serde_json::Map<String, Value> =
        cni::CAPABILITIES.iter().map(|name| ((*name).to_owned(), true.into())).collect();
    let mut plugin = json!({
        "type": cni::NAME,
        "network": install.network,
        "capabilities": capabilities,
    });
    if let Some(driver) = &install.driver {
        plugin["driver"] = driver.as_str().into();
    }
    if !install.subnets.is_empty() {
        plugin["subnet"] = json!(install.subnets);
    }
    for (key, set) in [("ipv6", install.ipv6), ("internal", install.internal)] {
        if set {
            plugin[key] = true.into();
        }
    }
    if socket != Path::new(cni::SOCKET) {
        plugin["socket"] = json!(socket);
    }
    let conflist = json!({
        "cniVersion": "1.0.0",
        "cniVersions": cni::versions(),
        "name": install.network,
        "plugins": [plugin],
    });
    format!("{conflist:#}\n")
}

/// All that are in a directory, which need not be there. What is no network configuration is passed over, as runtimes do.
pub(super) fn all(dir: &Path) -> Result<Vec<Conflist>> {
    let unreadable = |source| Error::Unreadable { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let looked_at = ["conf", "conflist", "json"];
        if path.extension().is_some_and(|end| looked_at.iter().any(|known| end == *known)) {
            let text = fs::read(&path)
                .map_err(|source| Error::Unreadable { path: path.clone(), source })?;
            let conf = serde_json::from_slice(&text).unwrap_or_default();
            found.push(Conflist { name: word(&conf, "name"), types: types(&conf), path });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn types(conf: &Value) -> Vec<String> {
    match conf.get("plugins").and_then(Value::as_array) {
        Some(plugins) => plugins.iter().map(|plugin| word(plugin, "type")).collect(),
        None => vec![word(conf, "type")],
    }
}

fn word(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
