//! The names of a store's files.

use std::fmt;
use std::io;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FileKind {
    /// The list of what is published: `MANIFEST`, of number 0.
    Manifest,
    /// A manifest before it is renamed over the last one: `MANIFEST.00000001.tmp`.
    NewManifest,
    /// A file of the log: `wal/00000001.wal`.
    Log,
    /// A file of the log before it is published: `wal/00000001.wal.tmp`.
    NewLog,
    /// A segment: `seg/00000001.seg`.
    Segment,
    /// A segment before it is published: `seg/00000001.seg.tmp`.
    NewSegment,
    /// A damaged file, kept aside: `quarantine/00000001.bad`.
    Quarantine,
}

/// Names come from numbers only: no text from outside reaches a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileName {
    pub(crate) kind: FileKind,
    pub(crate) number: u64,
}

/// The folders of a store under its own one, which is the first.
pub(crate) const FOLDERS: [&str; 4] = ["", "wal", "seg", "quarantine"];

/// The file in a store's folder that a writer holds locked.
pub(crate) const LOCK: &str = "LOCK";

impl FileName {
    /// The one manifest.
    pub(crate) const MANIFEST: Self = Self { kind: FileKind::Manifest, number: 0 };

    pub(crate) fn new(kind: FileKind, number: u64) -> Self {
        Self { kind, number }
    }

    /// Itself, if there is such a name: the manifest has no number.
    pub(super) fn checked(self) -> io::Result<Self> {
        if self.kind == FileKind::Manifest && self.number != 0 {
            let text = format!("the manifest has number 0, not {}", self.number);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(self)
    }

    /// The place of its folder in [`FOLDERS`].
    pub(super) fn folder(self) -> usize {
        match self.kind {
            FileKind::Manifest | FileKind::NewManifest => 0,
            FileKind::Log | FileKind::NewLog => 1,
            FileKind::Segment | FileKind::NewSegment => 2,
            FileKind::Quarantine => 3,
        }
    }

    /// The store's file that has this name in this folder of [`FOLDERS`], if it is one.
    pub(super) fn parse(folder: usize, name: &str) -> Option<Self> {
        let (kind, number) = match folder {
            0 if name == "MANIFEST" => return Some(Self::MANIFEST),
            0 => (FileKind::NewManifest, name.strip_prefix("MANIFEST.")?.strip_suffix(".tmp")?),
            1 => match name.strip_suffix(".wal.tmp") {
                Some(number) => (FileKind::NewLog, number),
                None => (FileKind::Log, name.strip_suffix(".wal")?),
            },
            2 => match name.strip_suffix(".seg.tmp") {
                Some(number) => (FileKind::NewSegment, number),
                None => (FileKind::Segment, name.strip_suffix(".seg")?),
            },
            3 => (FileKind::Quarantine, name.strip_suffix(".bad")?),
            _ => return None,
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let short = number.len() == 8 || number.len() > 8 && !number.starts_with('0');
        (digits && short).then(|| number.parse().ok()).flatten().map(|number| Self { kind, number })
    }
}

/// The path from the store's folder.
impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match self.kind {
            FileKind::Manifest => f.write_str("MANIFEST"),
            FileKind::NewManifest => write!(f, "MANIFEST.{number:08}.tmp"),
            FileKind::Log => write!(f, "wal/{number:08}.wal"),
            FileKind::NewLog => write!(f, "wal/{number:08}.wal.tmp"),
            FileKind::Segment => write!(f, "seg/{number:08}.seg"),
            FileKind::NewSegment => write!(f, "seg/{number:08}.seg.tmp"),
            FileKind::Quarantine => write!(f, "quarantine/{number:08}.bad"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [FileKind; 6] = [
        FileKind::NewManifest,
        FileKind::Log,
        FileKind::NewLog,
        FileKind::Segment,
        FileKind::NewSegment,
        FileKind::Quarantine,
    ];

    #[test]
    fn a_name_is_read_back_from_its_path() {
        let numbers = [0, 1, 99_999_999, 100_000_000, u64::MAX];
        let names = KINDS.iter().flat_map(|kind| numbers.map(|number| FileName::new(*kind, number)));
        for name in names.chain([FileName::MANIFEST]) {
            let path = name.to_string();
            let (folder, file) = path.split_once('/').unwrap_or(("", &path));
            assert_eq!(FOLDERS[name.folder()], folder);
            assert_eq!(FileName::parse(name.folder(), file), Some(name), "{path}");
            let elsewhere = (0..5).filter(|folder| *folder != name.folder());
            assert!(
                elsewhere.map(|folder| FileName::parse(folder, file)).all(|name| name.is_none()),
                "{path}"
            );
        }
    }

    #[test]
    fn only_the_one_spelling_of_a_number_is_a_name() {
        for file in [
            "1.wal",
            "0000001.wal",
            "000000001.wal",
            "+0000001.wal",
            "0000000a.wal",
            ".wal",
            "00000001.WAL",
            "00000001.wal.tmp.tmp",
            "00000001",
            "00000001.seg",
            "99999999999999999999.wal",
            "٠٠٠٠.wal",
        ] {
            assert_eq!(FileName::parse(1, file), None, "{file}");
        }
        for file in ["LOCK", "MANIFEST.tmp", "MANIFEST.1.tmp", "MANIFEST.00000001", "manifest"] {
            assert_eq!(FileName::parse(0, file), None, "{file}");
        }
    }

    #[test]
    fn the_manifest_has_no_number() {
        assert!(FileName::MANIFEST.checked().is_ok());
        let error = FileName::new(FileKind::Manifest, 7).checked().unwrap_err();
        assert_eq!(error.to_string(), "the manifest has number 0, not 7");
    }
}
