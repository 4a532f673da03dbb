//! What goes wrong, and when.

use std::fmt;
use std::io;

use super::super::FileName;
use super::chance::Chance;

/// What goes wrong. Calls are counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The process dies in this call. A write may have done a part of its work.
    CrashAt(u64),
    /// The first call from this one on, or the first sync of data or names, fails; if `sticky`, so does every later one.
    ErrorAt { op: u64, error: io::ErrorKind, sticky: bool, only_sync: bool },
    /// The first read or write from this call on that asks for two bytes or more does less.
    ShortAt(u64),
    /// The first write of something from this call on takes no byte, and says so.
    ZeroWriteAt(u64),
    /// There is room for so many bytes more. Removing files makes room again.
    FullAfter(u64),
}

/// A call that counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    Create(FileName),
    Open(FileName),
    Read(FileName, u64, usize),
    Write(FileName, u64, usize),
    Length(FileName),
    #[cfg(test)]
    Truncate(FileName, u64),
    Sync(FileName),
    SyncNames,
    Rename(FileName, FileName),
    Remove(FileName),
    List,
    Foreign,
    FreeBytes,
    Map(FileName),
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Whole,
    Short,
    Zero,
    Fail(io::ErrorKind),
    Crash,
}

impl Fault {
    pub(super) fn is_sticky(self) -> bool {
        matches!(self, Self::ErrorAt { sticky: true, .. } | Self::FullAfter(_))
    }

    /// What becomes of the call of this number.
    pub(super) fn judge(self, number: u64, call: Call) -> Verdict {
        match (self, call) {
            (Self::CrashAt(at), _) if number >= at => Verdict::Crash,
            (Self::ErrorAt { op, error, only_sync, .. }, _) if number >= op => {
                let sync = matches!(call, Call::Sync(_) | Call::SyncNames);
                if sync || !only_sync { Verdict::Fail(error) } else { Verdict::Whole }
            }
            (Self::ShortAt(at), Call::Read(_, _, 2..) | Call::Write(_, _, 2..)) if number >= at => {
                Verdict::Short
            }
            (Self::ZeroWriteAt(at), Call::Write(_, _, 1..)) if number >= at => Verdict::Zero,
            _ => Verdict::Whole,
        }
    }
}

impl Verdict {
    /// The error of a call that is not done.
    pub(super) fn failure(self, number: u64) -> Option<io::Error> {
        match self {
            Self::Whole | Self::Short | Self::Zero => None,
            Self::Fail(error) => {
                Some(io::Error::new(error, format!("call {number} was made to fail: {error}")))
            }
            Self::Crash => Some(io::Error::other(format!("the process crashed in call {number}"))),
        }
    }

    /// How many bytes of a read or write are moved.
    pub(super) fn length(self, asked: usize, chance: &mut Chance) -> usize {
        match self {
            Self::Whole => asked,
            Self::Zero => 0,
            Self::Short => chance.part(asked.saturating_sub(2)).saturating_add(1),
            Self::Fail(_) | Self::Crash => chance.part(asked),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(name) => write!(f, "create {name}"),
            Self::Open(name) => write!(f, "open {name}"),
            Self::Read(name, at, length) => write!(f, "read {name} at {at}, {length} bytes"),
            Self::Write(name, at, length) => write!(f, "write {name} at {at}, {length} bytes"),
            Self::Length(name) => write!(f, "length of {name}"),
            #[cfg(test)]
            Self::Truncate(name, length) => write!(f, "truncate {name} to {length}"),
            Self::Sync(name) => write!(f, "sync {name}"),
            Self::SyncNames => f.write_str("sync names"),
            Self::Rename(from, to) => write!(f, "rename {from} to {to}"),
            Self::Remove(name) => write!(f, "remove {name}"),
            Self::List => f.write_str("list"),
            Self::Foreign => f.write_str("list foreign names"),
            Self::FreeBytes => f.write_str("free bytes"),
            Self::Map(name) => write!(f, "map {name}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Short => f.write_str(" (short)"),
            Self::Zero => f.write_str(" (none taken)"),
            Self::Fail(error) => write!(f, " (failed: {error})"),
            Self::Crash => f.write_str(" (crashed)"),
        }
    }
}
