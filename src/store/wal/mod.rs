//! The log: what every batch says, before it is visible.

mod entry;
mod frame;
mod late;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod law;
mod log;
mod numbers;
mod tables;

pub(crate) use entry::{Applied, BatchWriter, RowValues, apply, take_definitions};
pub(crate) use frame::{Frame, FrameKind, Scan, scan};
pub(crate) use log::{LogFile, LogSync, failed};
pub(crate) use tables::Tables;
