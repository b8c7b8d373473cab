//! The image that containers are made of, from this machine's own busybox: no registry is asked.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Engine, IMAGE, on_path};
use crate::command::output_of;

/// What a container does where nothing is said: nothing, and it ends at once where it is told to.
const COMMAND: &str = r#"CMD ["sh", "-c", "trap exit TERM; while :; do sleep 1d & wait $!; done"]"#;

pub(super) fn import(engine: &Engine) -> Result<()> {
    let (root, tar) = (engine.own.join("image"), engine.own.join("image.tar"));
    fill(&root).context("cannot make the containers' image")?;
    let words = [Path::new("-C"), &root, Path::new("-cf"), &tar, Path::new(".")];
    output_of("tar", words)?.ok()?;
    let tar = tar.display().to_string();
    engine.ok(["import", "--change", COMMAND, &tar, IMAGE]).map(drop)
}

fn fill(root: &Path) -> Result<()> {
    for dir in ["bin", "etc", "proc", "sys", "dev", "tmp", "root"] {
        fs::create_dir_all(root.join(dir))?;
    }
    let busybox = on_path("busybox").context("there is no busybox on the PATH")?;
    fs::copy(&busybox, root.join("bin/busybox"))?;
    // One that is linked statically has none, which `ldd` says by failing.
    let listed = output_of("ldd", [&busybox])?.stdout;
    for library in listed.split_whitespace().filter_map(|word| word.strip_prefix('/')) {
        let (from, to) = (Path::new("/").join(library), root.join(library));
        fs::create_dir_all(to.parent().unwrap_or(root))?;
        fs::copy(from, to)?;
    }
    for name in output_of(&busybox.to_string_lossy(), ["--list"])?.ok()?.lines() {
        if name != "busybox" {
            symlink("busybox", root.join("bin").join(name))?;
        }
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n")?;
    Ok(())
}
