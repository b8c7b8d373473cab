//! What SQLite's errors mean for people.

use std::path::Path;

use rusqlite::ErrorCode;

use super::super::Error;

/// An error from inside a job: SQLite's, or already one of the store's.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Store(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    /// Whether another process has the file locked.
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::Sql(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ),
            Self::Store(_) => false,
        }
    }

    /// The store's error for it.
    pub(super) fn at(self, path: &Path) -> Error {
        let error = match self {
            Self::Store(error) => return error,
            Self::Sql(error) => error,
        };
        let place = place(path);
        let reason = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                let reason = "another process has kept it locked for too long".to_owned();
                return Error::Unavailable { place, reason };
            }
            Some(ErrorCode::SystemIoFailure) => {
                return Error::Unavailable { place, reason: format!("the disk fails: {error}") };
            }
            Some(ErrorCode::DatabaseCorrupt) => {
                "it is damaged; restore it from a copy, or move it away to begin with nothing"
                    .to_owned()
            }
            Some(ErrorCode::NotADatabase) => {
                "it is not an SQLite file, or is damaged; name another file, or move it away to begin with nothing"
                    .to_owned()
            }
            Some(ErrorCode::DiskFull) => "the disk is full; make room and try again".to_owned(),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                "it, or its directory, is not writable".to_owned()
            }
            Some(ErrorCode::CannotOpen) => {
                format!("it cannot be opened for writing, or its directory is not writable ({error})")
            }
            Some(_) | None => error.to_string(),
        };
        Error::Refused { place, reason }
    }
}

/// How the store names itself.
pub(super) fn place(path: &Path) -> String {
    format!("file {}", path.display())
}
