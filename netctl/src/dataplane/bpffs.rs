//! The directory of pins: a bpf file system, owned by one data plane at a time.

mod mounts;

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use netctl_common::ABI_VERSION;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    mount::umount,
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use tracing::warn;

use super::{Error, Unpinned, layout};
use crate::crash;

/// Where systemd and everybody else mount the machine's own bpf file system. It lies in sysfs, where no directory can
/// be made before that is done.
const SYSTEM: &str = "/sys/fs/bpf";
/// From which number on a directory holds what is no version's any more: none has come so far.
const ASIDE: u32 = 1_000_000_000;
/// How long a process may take from its fork to its program.
const STARTING: Duration = Duration::from_secs(1);

/// The pins of this version of the layout, locked.
///
/// Dropping it lets another data plane have them; the pins themselves stay.
#[derive(Debug)]
pub(super) struct Pins {
    root: PathBuf,
    /// Nothing of this version was pinned here before.
    pub(super) fresh: bool,
    _lock: Flock<fs::File>,
}

impl Pins {
    /// Makes `root` a bpf file system if it is not on one, and takes it.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        provide(root)?;
        let lock = lock(root)?;
        let mut pins = Self { root: root.to_owned(), fresh: false, _lock: lock };
        pins.set_aside()?;
        pins.fresh = !version(root).exists();
        pins.provide()?;
        Ok(pins)
    }

    /// Makes the directories where there are none.
    pub(super) fn provide(&self) -> Result<(), Error> {
        for dir in [self.maps(), self.links()] {
            fs::create_dir_all(&dir).map_err(|source| failed("create", &dir, source))?;
        }
        Ok(())
    }

    /// Has what is pinned be another version's where some of its maps are not, whose pins somebody removed: what is
    /// attached has those maps still, and serves on by them until ours hold what it is to.
    fn set_aside(&self) -> Result<(), Error> {
        let own = version(&self.root);
        let mut missing = layout::deciding().filter(|map| !self.maps().join(map.name).exists());
        let Some(missing) = missing.next().filter(|_| has_links(&self.root)) else { return Ok(()) };
        let free = |number: &u32| !numbered(&self.root, *number).exists();
        let aside = (ASIDE..=u32::MAX).find(free).map(|number| numbered(&self.root, number));
        let aside = aside.unwrap_or_else(|| own.clone());
        warn!(map = missing.name, pins = %own.display(), aside = %aside.display(), "somebody has removed a pin: what is attached serves on until all is held anew");
        crash::step("before pins are set aside");
        fs::rename(&own, &aside).map_err(|source| failed("move", &own, source))
    }

    /// Where maps are pinned, by their names.
    pub(super) fn maps(&self) -> PathBuf {
        maps(&self.root)
    }

    /// Where links are pinned.
    pub(super) fn links(&self) -> PathBuf {
        version(&self.root).join("links")
    }

    /// The directories of pins that other versions of the layout left.
    pub(super) fn other_versions(&self) -> Result<Vec<PathBuf>, Error> {
        let ours = version(&self.root);
        let all = versions(&self.root)?;
        Ok(all.into_iter().filter(|dir| *dir != ours).collect())
    }
}

/// Removes what any version of netctl pinned below `root`, and the file systems that were mounted for it.
///
/// It is no error where nothing is.
pub(super) fn remove(root: &Path) -> Result<Unpinned, Error> {
    let mut unpinned = Unpinned::default();
    if root.exists() && is_bpf(root)? {
        let lock = lock(root)?;
        unpinned.pins = versions(root)?;
        unpinned.pins.iter().try_for_each(|dir| clear(dir))?;
        drop(lock);
    }
    release(root, &mut unpinned)?;
    Ok(unpinned)
}

/// Removes what this version pinned below `root`, and the file systems that were mounted for it alone.
pub(super) fn take_back(root: &Path) -> Result<(), Error> {
    let lock = lock(root)?;
    clear(&version(root))?;
    drop(lock);
    release(root, &mut Unpinned::default())
}

/// Removes the directory if nothing is pinned there any more, and unmounts what netctl has mounted where nobody has
/// anything in it.
fn release(root: &Path, unpinned: &mut Unpinned) -> Result<(), Error> {
    let system = Path::new(SYSTEM);
    if root != system && root.exists() && is_bpf(root)? {
        if mounts::is_ours(root)? {
            unmount(root, unpinned)?;
        }
        if !is_mount_point(root)? && is_empty(root)? {
            fs::remove_dir(root).map_err(|source| failed("remove", root, source))?;
        }
    }
    if root.starts_with(system) && mounts::is_ours(system)? {
        unmount(system, unpinned)?;
    }
    Ok(())
}

/// Whether nothing is pinned there.
fn is_empty(dir: &Path) -> Result<bool, Error> {
    // A kernel with preloaded iterators puts files of its own into every bpf file system (`kernel/bpf/preload`).
    Ok(entries(dir)?.iter().all(|path| path.extension().is_some_and(|end| end == "debug")))
}

/// Unmounts a file system of ours, and says so, or that others use it.
///
/// It is done as soon as nobody has it open: a process that another thread is just starting has a copy of each file of
/// ours until it runs its program.
fn unmount(dir: &Path, unpinned: &mut Unpinned) -> Result<(), Error> {
    let end = Instant::now() + STARTING;
    let mut outcome = Err(Errno::EBUSY);
    while is_empty(dir)? && outcome == Err(Errno::EBUSY) && Instant::now() < end {
        crash::step("before a bpf file system is unmounted");
        outcome = umount(dir);
        if outcome.is_err() {
            thread::sleep(Duration::from_millis(5));
        }
    }
    match outcome {
        Ok(()) => unpinned.unmounted.push(dir.to_owned()),
        Err(Errno::EBUSY) => unpinned.in_use.push(dir.to_owned()),
        Err(errno) => return Err(failed("unmount", dir, errno.into())),
    }
    Ok(())
}

/// Removes the pins of one version of the layout: links first, since what is attached needs the maps.
pub(super) fn clear(version: &Path) -> Result<(), Error> {
    for dir in [&version.join("links"), version] {
        crash::step("before pins are removed");
        match fs::remove_dir_all(dir) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", dir, source));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The directory of this version of the layout.
fn version(root: &Path) -> PathBuf {
    numbered(root, abi())
}

fn numbered(root: &Path, number: u32) -> PathBuf {
    root.join(format!("v{number}"))
}

/// The version of the layout. A debug build takes itself for the one that it is told, so that a test can have two that
/// differ in nothing else.
fn abi() -> u32 {
    let told = if cfg!(debug_assertions) { std::env::var("NETCTL_ABI_VERSION").ok() } else { None };
    told.and_then(|told| told.parse().ok()).unwrap_or(ABI_VERSION)
}

/// The links that any version of the layout has pinned below `root`.
pub(super) fn all_links(root: &Path) -> Result<Vec<PathBuf>, Error> {
    if !root.exists() || !is_bpf(root)? {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for version in versions(root)? {
        let links = version.join("links");
        if links.exists() {
            all.extend(entries(&links)?);
        }
    }
    Ok(all)
}

/// Where this version of the layout pins maps below `root`, by their names.
pub(super) fn maps(root: &Path) -> PathBuf {
    version(root).join("maps")
}

/// Whether links of this version of the layout are pinned below `root`.
pub(super) fn has_links(root: &Path) -> bool {
    let links = version(root).join("links");
    is_bpf(root).unwrap_or(false) && entries(&links).is_ok_and(|links| !links.is_empty())
}

/// The directories `v1`, `v2`, … in `root`.
fn versions(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let is_version = |dir: &PathBuf| {
        let name = dir.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix('v'))
            .is_some_and(|number| number.parse::<u32>().is_ok())
    };
    Ok(entries(root)?.into_iter().filter(is_version).collect())
}

/// What is in the directory `dir`.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    read().map_err(|source| failed("read", dir, source))
}

/// Takes the lock that a bpf file system, which holds no regular files, has on its directories.
fn lock(root: &Path) -> Result<Flock<fs::File>, Error> {
    let dir = fs::File::open(root).map_err(|source| failed("open", root, source))?;
    match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => Err(Error::Busy { path: root.to_owned() }),
        Err((_, errno)) => Err(failed("lock", root, errno.into())),
    }
}

/// Makes the directory `root`, on a bpf file system.
fn provide(root: &Path) -> Result<(), Error> {
    let system = Path::new(SYSTEM);
    if root.starts_with(system) && !is_bpf(system)? {
        mounts::mount_bpf(system)?;
    }
    fs::create_dir_all(root).map_err(|source| failed("create", root, source))?;
    if is_bpf(root)? { Ok(()) } else { mounts::mount_bpf(root) }
}

fn is_bpf(dir: &Path) -> Result<bool, Error> {
    let found = statfs(dir).map_err(|errno| failed("inspect", dir, errno.into()))?;
    Ok(found.filesystem_type() == BPF_FS_MAGIC)
}

/// Whether another file system lies above it.
fn is_mount_point(dir: &Path) -> Result<bool, Error> {
    let device = |path: &Path| {
        let found = fs::metadata(path).map_err(|source| failed("inspect", path, source))?;
        Ok::<_, Error>(found.dev())
    };
    Ok(device(dir)? != device(&dir.join(".."))?)
}

pub(super) fn failed(what: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Bpffs { what, path: path.to_owned(), source }
}
