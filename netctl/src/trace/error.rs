//! Why a packet cannot be followed.

use std::path::PathBuf;

use crate::{api::client, dataplane, kernel};

/// Why a packet cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the daemon failed.
    #[error(transparent)]
    Request(#[from] client::Error),
    /// The kernel does not say.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// The programs cannot be asked.
    #[error(transparent)]
    Dataplane(#[from] dataplane::Error),
    /// The daemon has not said where its things are.
    #[error("{} does not say where the daemon's things are: restart the daemon", .0.join("daemon.json").display())]
    NoNote(PathBuf),
    /// The question is about what is not there.
    #[error("{0}")]
    Unknown(String),
}
