//! Network namespaces: opening, making, removing, and running code in them.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use nix::{
    libc,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};
use tokio::sync::oneshot;

use super::{Error, Netlink};
use crate::crash;

/// The namespace of the thread that opens it. `/proc/self` would be the process' first thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// `_IO(0xb7, 3)` of `linux/nsfs.h`: the `CLONE_*` flag of a namespace descriptor.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;

/// A reference to a network namespace, which keeps it alive. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Netns(Arc<File>);

/// What tells namespaces apart: two descriptors are of one namespace if and only if this is equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetnsId {
    /// The device number of the kernel's nsfs.
    pub device: u64,
    /// The inode in it: the number that `readlink /proc/PID/ns/net` shows.
    pub inode: u64,
}

impl Netns {
    /// The namespace of the calling thread.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new(OWN))
    }

    /// Opens the namespace that is mounted at a path, or a `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// [`Error::NetnsMissing`], [`Error::NotANetns`], [`Error::NotPermitted`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::NetnsMissing { path: path.into() },
            io::ErrorKind::PermissionDenied => Error::NotPermitted {
                doing: format!("open the network namespace {}", path.display()),
            },
            _ => Error::Path { doing: "open the network namespace", path: path.into(), source },
        })?;
        if is_netns(&file) {
            Ok(Self(Arc::new(file)))
        } else {
            Err(Error::NotANetns { path: path.into() })
        }
    }

    /// Makes a namespace with its loopback up, and mounts it at `path`; missing parent directories are made.
    ///
    /// The mount is made last, so that what is found at the path is always complete. A plain file at the path, as a
    /// crash may leave it, is taken over. The mount is seen by every process of this mount namespace, and of others as
    /// far as the surrounding mount is shared with them.
    ///
    /// # Errors
    /// [`Error::NetnsExists`] if a namespace is mounted there, [`Error::NotPermitted`].
    pub async fn create(path: &Path) -> Result<Self, Error> {
        let netns = Self::detached().await?;
        netns.bind(path).await?;
        Ok(netns)
    }

    /// Mounts this namespace at `path`, as [`Self::create`] does: from then on it stays, whoever else leaves it.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn bind(&self, path: &Path) -> Result<(), Error> {
        let (netns, target) = (self.clone(), path.to_path_buf());
        tokio::task::spawn_blocking(move || netns.mount_at(&target))
            .await
            .map_err(|_join| Error::Panicked)?
    }

    /// Makes a namespace with its loopback up that lives as long as something refers to it.
    pub async fn detached() -> Result<Self, Error> {
        let netns = on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|errno| Error::system("make a network namespace", errno))?;
            Self::current()
        })
        .await??;
        let netlink = Netlink::open(&netns).await?;
        netlink.set_up(&netlink.link_by_name("lo").await?).await?;
        Ok(netns)
    }

    /// Unmounts the namespace at `path` and removes the file; `false` if nothing was there. The namespace itself ends
    /// when nothing refers to it any more.
    ///
    /// # Errors
    /// [`Error::NotANetns`] if something else than what [`Netns::create`] makes is there; it is left as it is.
    pub fn remove(path: &Path) -> Result<bool, Error> {
        let _lock = match lock_parent(path) {
            Err(Error::Path { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(false);
            }
            locked => locked?,
        };
        let mut removed = false;
        crash::step("before a namespace is removed");
        // More than one mount lies there if another program mounted over ours.
        while Self::is_mounted(path) {
            umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
                .map_err(|errno| Error::path("unmount", path, errno))?;
            removed = true;
        }
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(removed),
            Ok(meta) if !meta.is_file() || meta.len() > 0 => {
                Err(Error::NotANetns { path: path.into() })
            }
            _ => {
                crash::step("after a namespace is unbound");
                unlink(path).map(|()| true)
            }
        }
    }

    /// Whether a network namespace is mounted at `path`.
    pub fn is_mounted(path: &Path) -> bool {
        Self::open(path).is_ok()
    }

    /// What tells this namespace from others.
    pub fn id(&self) -> Result<NetnsId, Error> {
        let meta = self
            .0
            .metadata()
            .map_err(|source| Error::System { doing: "identify a network namespace", source })?;
        Ok(NetnsId { device: meta.dev(), inode: meta.ino() })
    }

    /// The namespaces that the processes are in which this process sees.
    pub async fn inhabited() -> Result<BTreeSet<NetnsId>, Error> {
        tokio::task::spawn_blocking(inhabited).await.map_err(|_join| Error::Panicked)?
    }

    /// Runs `work` in the namespace, on a thread of its own, without blocking the runtime.
    pub async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let netns = self.clone();
        on_thread(move || netns.enter().map(|()| work())).await?
    }

    /// Runs `work` in the namespace, on a thread of its own, and waits for it. For callers without a runtime.
    pub fn run_blocking<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        thread::scope(|scope| {
            scope
                .spawn(|| self.enter().map(|()| work()))
                .join()
                .map_err(|_panic| Error::Panicked)?
        })
    }

    /// Moves the calling thread into the namespace, for good. Only for threads made for that.
    pub(super) fn enter(&self) -> Result<(), Error> {
        setns(&*self.0, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::system("enter a network namespace", errno))
    }

    fn mount_at(&self, path: &Path) -> Result<(), Error> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| Error::Path {
                doing: "make the directory",
                path: parent.into(),
                source,
            })?;
        }
        let _lock = lock_parent(path)?;
        if Self::is_mounted(path) {
            return Err(Error::NetnsExists { path: path.into() });
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|source| Error::Path { doing: "make the file", path: path.into(), source })?;
        let source = PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()));
        crash::step("before a namespace is bound");
        mount(Some(&source), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|errno| Error::path("mount a network namespace at", path, errno))
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs `work` on a new thread. One that panics is reported, not propagated.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("netns".to_owned())
        // The receiver is gone if the caller was cancelled: nobody is left to tell.
        .spawn(move || drop(sender.send(work())))
        .map_err(|source| Error::System { doing: "start a thread", source })?;
    receiver.await.map_err(|_dropped| Error::Panicked)
}

/// Excludes other processes that make or remove namespaces in the same directory, until the lock is dropped.
fn lock_parent(path: &Path) -> Result<File, Error> {
    let parent =
        path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(parent).and_then(|dir| dir.lock().map(|()| dir)).map_err(|source| Error::Path {
        doing: "lock the directory",
        path: parent.into(),
        source,
    })
}

/// Removes the file that a namespace was mounted at. That also ends the mounts that copies of this mount namespace hold
/// (`__detach_mounts`, Linux 3.18).
///
/// The kernel refuses that where something is mounted at the file in the caller's own mount namespace, also where it is
/// covered: `ip netns add` mounts `/run/netns` over itself, and what was mounted in it lies below then, where no path
/// leads. A thread with a mount namespace of its own takes off what covers it.
fn unlink(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            thread::scope(|scope| scope.spawn(|| uncover(path)).join())
                .map_err(|_panic| Error::Panicked)??;
        }
        removed => removed.map_err(|source| cannot_remove(path, source))?,
    }
    Ok(())
}

fn uncover(path: &Path) -> Result<(), Error> {
    let nothing = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(nothing, "/", nothing, MsFlags::MS_PRIVATE | MsFlags::MS_REC, nothing))
        .map_err(|errno| Error::system("make a mount namespace", errno))?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let off = |path: &Path| {
        umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .map_err(|errno| Error::path("unmount", path, errno))
    };
    loop {
        while Netns::is_mounted(path) {
            off(path)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => off(directory)?,
            removed => return removed.map_err(|source| cannot_remove(path, source)),
        }
    }
}

fn cannot_remove(path: &Path, source: io::Error) -> Error {
    Error::Path { doing: "remove", path: path.into(), source }
}

fn inhabited() -> Result<BTreeSet<NetnsId>, Error> {
    let unreadable = |source| Error::System { doing: "list the processes", source };
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").map_err(unreadable)? {
        let process = entry.map_err(unreadable)?.path();
        // What is no process has no such file, nor has a process that ends meanwhile.
        if let Ok(meta) = fs::metadata(process.join("ns/net")) {
            found.insert(NetnsId { device: meta.dev(), inode: meta.ino() });
        }
    }
    Ok(found)
}

fn is_netns(file: &File) -> bool {
    let nsfs = fstatfs(file).is_ok_and(|stat| stat.filesystem_type() == NSFS_MAGIC);
    // SAFETY: the request takes no argument and the descriptor is open.
    nsfs && unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) } == libc::CLONE_NEWNET
}
