//! What can go wrong, and which exit code tells it. The codes of `sysexits.h`, apart from every verdict's.

use std::fmt;
use std::path::Path;

use promgate::ErrorKind;

#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// A file is not what it should be.
    Data(String),
    /// A file cannot be read or written.
    Io(String),
}

impl Failure {
    pub(crate) fn data(path: &Path, error: impl fmt::Display) -> Self {
        Self::Data(format!("{}: {error}", path.display()))
    }

    pub(crate) fn io(path: &Path, error: impl fmt::Display) -> Self {
        Self::Io(format!("{}: {error}", path.display()))
    }

    /// What a store says about its folder.
    pub(crate) fn store(path: &Path, error: &promgate::Error) -> Self {
        match error.kind() {
            ErrorKind::Io | ErrorKind::Full | ErrorKind::Failed | ErrorKind::Locked => Self::io(path, error),
            _ => Self::data(path, error),
        }
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Data(_) => 65,
            Self::Io(_) => 74,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => write!(f, "{text}; --help shows how"),
            Self::Data(text) | Self::Io(text) => f.write_str(text),
        }
    }
}
