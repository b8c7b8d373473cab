//! Network namespaces.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    thread,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::statfs::{FsType, fstatfs},
};

use super::Error;

/// The file system of namespace files (`NSFS_MAGIC`, include/uapi/linux/magic.h).
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);
/// The calling thread's own namespace.
const CURRENT: &str = "/proc/thread-self/ns/net";

/// A network namespace, held open: it lives at least as long as this.
#[derive(Debug)]
pub struct Netns {
    file: File,
    path: PathBuf,
}

impl Netns {
    /// The namespace of the calling thread.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new(CURRENT))
    }

    /// The namespace that is bound at `path`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::NoNamespace { path: path.to_owned() },
            _ => Error::Namespace { verb: "open", path: path.to_owned(), source },
        })?;
        let kind = fstatfs(&file).map(|stat| stat.filesystem_type());
        if kind != Ok(NSFS_MAGIC) {
            return Err(Error::NotNamespace { path: path.to_owned() });
        }
        let netns = Self { file, path: path.to_owned() };
        // Other kinds of namespaces have the same file system; entering tells them apart.
        netns.run(|| ()).map_err(|_refused| Error::NotNamespace { path: path.to_owned() })?;
        Ok(netns)
    }

    /// Whether a namespace is bound at `path`. An unbound path is an empty file, or nothing at all.
    pub fn is_mounted(path: &Path) -> bool {
        Self::open(path).is_ok()
    }

    /// Makes a new namespace, with its loopback device up, and binds it at `path`.
    pub fn create(path: &Path) -> Result<(), Error> {
        let failed =
            |source: io::Error| Error::Namespace { verb: "create", path: path.to_owned(), source };
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        let bound = on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            mount(Some(CURRENT), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            raise_loopback()
        });
        bound.map_err(|source| {
            drop(Self::remove(path));
            failed(source)
        })
    }

    /// Unbinds what is at `path` and removes the path; nothing there is no error. Processes and open handles keep the
    /// namespace itself.
    pub fn remove(path: &Path) -> Result<(), Error> {
        let failed =
            |source: io::Error| Error::Namespace { verb: "remove", path: path.to_owned(), source };
        match umount2(path, MntFlags::MNT_DETACH) {
            Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
            Err(error) => return Err(failed(error.into())),
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Runs `work` on a thread of its own in this namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        on_thread(|| {
            setns(self.as_fd(), CloneFlags::CLONE_NEWNET).map(|()| work()).map_err(io::Error::from)
        })
        .map_err(|source| Error::Namespace {
            verb: "enter",
            path: self.path.clone(),
            source,
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The namespace of a thread ends with it, so that none that others use is ever changed.
fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// By ioctl, which needs no runtime.
fn raise_loopback() -> io::Result<()> {
    super::netlink::raise_loopback()
}
