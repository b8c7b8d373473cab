//! The directory of a managed plugin: its configuration, and a root file system with this program alone.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{super::Error, Context, Plugin, Result};

/// This program's own file, also where it was replaced since it was started.
const OWN: &str = "/proc/self/exe";
/// What this process has in its memory, and of which files.
const MAPS: &str = "/proc/self/maps";
/// Where this program is in the root file system.
const PROGRAM: &str = "/netctl";

impl Plugin {
    pub(super) fn run(self, context: &Context) -> Result {
        let Self { swarm_socket, dir } = &self;
        let home =
            swarm_socket.parent().filter(|home| home.is_absolute() && home.parent().is_some());
        let home = home.ok_or(Error::Unusable(
            "--swarm-socket must be an absolute path, in a directory that the plugin is to see",
        ))?;
        let maps = fs::read_to_string(MAPS)
            .map_err(|source| Error::Unreadable { path: MAPS.into(), source })?;
        let libraries = libraries(&maps);
        fs::create_dir_all(dir).map_err(|source| Error::File { path: dir.clone(), source })?;
        let mut there =
            fs::read_dir(dir).map_err(|source| Error::Unreadable { path: dir.clone(), source })?;
        if there.next().is_some() {
            return Err(Error::NotOurs(dir.clone()));
        }
        let written = write(dir, &libraries, &config(&libraries, home, swarm_socket));
        if let Err(error) = written {
            // Why it could not be written is what people have to know.
            drop(fs::remove_dir_all(dir));
            return Err(error);
        }
        context.output.print(&format!("{}\n", dir.display()))
    }
}

/// The shared libraries of this process, the dynamic loader among them; none where it was linked without.
fn libraries(maps: &str) -> BTreeSet<PathBuf> {
    let file = |line: &str| {
        let path = Path::new(line.split_ascii_whitespace().nth(5)?);
        let name = path.file_name()?.to_str()?;
        (path.is_absolute() && name.contains(".so")).then(|| path.to_owned())
    };
    maps.lines().filter_map(file).collect()
}

/// The plugin's configuration, by Docker's reference for `config.json`.
fn config(libraries: &BTreeSet<PathBuf>, home: &Path, socket: &Path) -> Value {
    // Found by its own path, the loader need not be where the program says.
    let is_loader = |path: &&PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("ld-"))
    };
    let loader = libraries.iter().find(is_loader).map(|path| path.display().to_string());
    let words = [PROGRAM, "docker", "relay"].map(ToOwned::to_owned);
    let entrypoint: Vec<String> =
        loader.into_iter().chain(words).chain([socket.display().to_string()]).collect();
    json!({
        "description": "netctl: container networking across hosts, on eBPF",
        "documentation": "man:netctl(1)",
        "interface": {
            "types": ["docker.networkdriver/1.0", "docker.ipamdriver/1.0"],
            "socket": "netctl.sock",
        },
        "entrypoint": entrypoint,
        // It has nothing to do with networks itself.
        "network": { "type": "none" },
        "mounts": [{
            "source": home,
            "destination": home,
            "type": "bind",
            "options": ["rbind", "ro"],
        }],
    })
}

fn write(dir: &Path, libraries: &BTreeSet<PathBuf>, config: &Value) -> Result<(), Error> {
    let root = dir.join("rootfs");
    put(Path::new(OWN), &root.join(&PROGRAM[1..]))?;
    for library in libraries {
        put(library, &root.join(library.strip_prefix("/").unwrap_or(library)))?;
    }
    let path = dir.join("config.json");
    fs::write(&path, format!("{config:#}\n")).map_err(|source| Error::File { path, source })
}

fn put(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |source| Error::File { path: to.to_owned(), source };
    fs::create_dir_all(to.parent().unwrap_or(to)).map_err(failed)?;
    let mut read = fs::File::open(from)
        .map_err(|source| Error::Unreadable { path: from.to_owned(), source })?;
    let mut written = fs::File::create(to).map_err(failed)?;
    io::copy(&mut read, &mut written).map_err(failed)?;
    written.set_permissions(fs::Permissions::from_mode(0o755)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_once_each_and_nothing_else() {
        let maps = "\
55d0-55d1 r--p 00000000 fe:00 1 /usr/bin/netctl
7f00-7f01 r--p 00000000 fe:00 2 /usr/lib/x86_64-linux-gnu/libc.so.6
7f01-7f02 r-xp 00001000 fe:00 2 /usr/lib/x86_64-linux-gnu/libc.so.6
7f02-7f03 rw-p 00000000 00:00 0
7f03-7f04 r--p 00000000 fe:00 3 /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
7ffd-7ffe rw-p 00000000 00:00 0 [stack]
";
        let found = libraries(maps);
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["ld-linux-x86-64.so.2", "libc.so.6"]);
        let socket = Path::new("/run/netctl/swarm.sock");
        let config = config(&found, Path::new("/run/netctl"), socket);
        assert_eq!(
            config["entrypoint"],
            json!([
                "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                "/netctl",
                "docker",
                "relay",
                "/run/netctl/swarm.sock"
            ])
        );
        assert_eq!(config["mounts"][0]["source"], json!("/run/netctl"));
    }
}
