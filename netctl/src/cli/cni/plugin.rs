//! The plugin's file: this program under another name.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::libc;

use super::{Done, Error, Result, What, replace};
use crate::cni;

/// By which a program of this project is known, whatever its version.
const MARK: &[u8] = b"netctl-cni: the CNI plugin of netctl";
/// This program's own file, also where it was replaced since it was started.
const OWN: &str = "/proc/self/exe";

/// Where the plugin is to be, and what is there.
pub(super) struct Target {
    path: PathBuf,
    /// What is there, which is ours.
    there: Option<Vec<u8>>,
}

impl Target {
    /// Fails where something is there that is not ours.
    pub(super) fn look(dir: &Path) -> Result<Self> {
        let path = dir.join(cni::NAME);
        let there = match fs::read(&path) {
            Ok(bytes) if contains(&bytes, MARK) => Some(bytes),
            Ok(_) => return Err(Error::NotOurs(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotOurs(path));
            }
            Err(source) => return Err(Error::Unreadable { path, source }),
        };
        Ok(Self { path, there })
    }

    /// Puts a copy there, unless it is there already.
    pub(super) fn install(&self) -> Result<Done> {
        let unreadable = |source| Error::Unreadable { path: OWN.into(), source };
        let own = fs::read(OWN).map_err(unreadable)?;
        let Self { path, there } = self;
        let done = if there.as_ref() == Some(&own) && !path.is_symlink() {
            What::Kept
        } else {
            replace(path, 0o755, &mut own.as_slice())?;
            What::Wrote
        };
        Ok(Done { path: path.clone(), done })
    }

    /// Undoes what [`Self::install`] did where nothing was there before.
    pub(super) fn take_back(&self, done: &Done) {
        if done.done == What::Wrote && self.there.is_none() {
            // Why the rest could not be done is what people have to know.
            drop(fs::remove_file(&self.path));
        }
    }

    /// Removes it unless it is `used`. Nothing where it is not there.
    pub(super) fn uninstall(self, used: bool) -> Result<Option<Done>> {
        let Self { path, there: Some(_) } = self else { return Ok(None) };
        if used {
            return Ok(Some(Done { path, done: What::Kept }));
        }
        match fs::remove_file(&path) {
            Ok(()) => Ok(Some(Done { path, done: What::Removed })),
            Err(source) => Err(Error::File { path, source }),
        }
    }
}

/// Whether `part` is somewhere in `whole`.
fn contains(whole: &[u8], part: &[u8]) -> bool {
    // SAFETY: both pointers are of slices with these lengths, and are only read.
    let found = unsafe {
        libc::memmem(whole.as_ptr().cast(), whole.len(), part.as_ptr().cast(), part.len())
    };
    !found.is_null()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_knows_itself() {
        let own = fs::read(OWN).expect("this program's file");
        assert!(contains(&own, MARK));
        assert!(!contains(b"netctl-cni: the CNI plugin", MARK));
        assert!(!contains(b"", MARK));
    }
}
