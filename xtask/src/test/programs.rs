//! The programs of tests: what cargo builds, and which tests are in each.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use testbed::Forward;

use super::Options;

/// A program of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// What people call it: the name of its crate.
    pub(super) name: String,
    /// Whether its tests are over whole hosts, and each for itself; those of a crate's own parts are over in no time.
    pub(super) whole_hosts: bool,
    path: PathBuf,
    /// Its package's directory, where cargo runs it.
    dir: PathBuf,
}

/// What cargo says, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds the programs, with cargo's own progress on stderr.
pub(super) fn build(options: &Options) -> Result<Vec<Program>> {
    let mut command = super::cargo_test(options);
    command.args(["--no-run", "--message-format=json-render-diagnostics"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn().context("cannot run cargo")?;
    let forward = Forward::to(child.id());
    let Some(stdout) = child.stdout.take() else { bail!("cargo has no stdout") };
    let mut programs = Vec::new();
    for line in BufReader::new(stdout).lines() {
        programs.extend(program(&line?)?);
    }
    let status = child.wait()?;
    drop(forward);
    ensure!(status.success(), "the tests do not build: cargo says why above");
    Ok(programs)
}

/// The program that a message of cargo's is about, if it is about one.
fn program(line: &str) -> Result<Option<Program>> {
    let message: Message =
        serde_json::from_str(line).with_context(|| format!("cargo said {line}"))?;
    let Message { executable: Some(path), manifest_path, target: Some(target), profile } = message
    else {
        return Ok(None);
    };
    if profile.is_none_or(|profile| !profile.test) {
        return Ok(None);
    }
    let dir = manifest_path.as_deref().and_then(Path::parent).context("cargo names no package")?;
    let whole_hosts = target.kind.iter().any(|kind| kind == "test");
    Ok(Some(Program { name: target.name, whole_hosts, path, dir: dir.to_owned() }))
}

impl Program {
    /// A command that runs it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.dir).env("CARGO_MANIFEST_DIR", &self.dir).stdin(Stdio::null());
        command
    }

    /// The names of its tests that `filter` lets pass.
    pub(super) fn tests(&self, filter: &[String]) -> Result<Vec<String>> {
        let mut command = self.command();
        let output = command.args(filter).args(["--list", "--format", "terse"]).output();
        let output = output.with_context(|| format!("cannot run {}", self.path.display()))?;
        ensure!(
            output.status.success(),
            "{} does not list its tests: {}",
            self.path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let listed = String::from_utf8(output.stdout)?;
        Ok(listed
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn programs_are_told_from_what_else_cargo_builds() {
        let message = |kind: &str, test: bool, executable: Option<&str>| {
            let told = json!({
                "reason": "compiler-artifact", "manifest_path": "/src/tests/Cargo.toml",
                "target": {"name": "faults", "kind": [kind]}, "profile": {"test": test},
                "executable": executable,
            });
            program(&told.to_string()).expect("a message")
        };
        let path = Some("/target/debug/deps/faults-1");
        let faults = message("test", true, path).expect("a program");
        assert_eq!((&*faults.name, faults.whole_hosts), ("faults", true));
        assert_eq!(faults.dir, Path::new("/src/tests"));
        assert!(!message("lib", true, path).expect("a program").whole_hosts);
        assert_eq!(message("bin", false, path), None, "it is no program of tests");
        assert_eq!(message("lib", true, None), None);
        assert_eq!(
            program(r#"{"reason":"build-finished","success":true}"#).expect("a message"),
            None
        );
        assert!(program("error").is_err());
    }
}
