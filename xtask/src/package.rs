//! What people install: a package for Debian and an archive of the same files.
//!
//! What is in them is made from `deploy/` and by the program itself: its manual pages and completions are its own words.

mod debian;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use testbed::{DEADLINE, output};

use self::tree::Tree;
use crate::{say, setup, shell};

#[derive(Args)]
pub(crate) struct Options {
    /// Package this program, instead of building one for release
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Directory to write to; `package` in cargo's target directory where none is given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(options: Options) -> Result<()> {
    setup::ensure()?;
    let binary = match options.binary {
        Some(path) => fs::canonicalize(&path)
            .with_context(|| format!("there is no program {}", path.display()))?,
        None => shell::build_release()?,
    };
    let out = match options.out {
        Some(out) => out,
        None => shell::target()?.join("package"),
    };
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let version = version(&binary)?;
    let tree = Tree::make(&out.join("root"), &binary)?;
    let archive = out.join(format!("netctl-{version}-linux-{}.tar.gz", std::env::consts::ARCH));
    let to: &Path = &archive;
    tool(
        "tar",
        &[
            "--create",
            "--gzip",
            "--owner=0",
            "--group=0",
            "--sort=name",
            "--file",
            text(to)?,
            "--directory",
            text(tree.root())?,
            ".",
        ],
    )?;
    say::done(&format!("{}, {} KiB", archive.display(), kib(&archive)?));
    let package = debian::build(&tree, &version, &out)?;
    say::done(&format!("{}, {} KiB", package.display(), kib(&package)?));
    tree.remove()
}

/// The version that a program says it has.
fn version(binary: &Path) -> Result<String> {
    let said = tool(text(binary)?, &["--version"])?;
    let version = said.split_whitespace().nth(1).map(ToOwned::to_owned);
    version.with_context(|| format!("{} --version says {said:?}", binary.display()))
}

/// What a program prints, which is to succeed.
fn tool(program: &str, words: &[&str]) -> Result<String> {
    let mut command = std::process::Command::new(program);
    command.args(words);
    output(command, DEADLINE)?.ok().with_context(|| format!("{program} failed"))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not text", path.display()))
}

fn kib(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)?.len() / 1024)
}
