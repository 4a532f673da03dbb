//! The log: what every batch says, before it is visible.

mod apply;
mod entry;
mod frame;
mod group;
mod late;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod law;
mod log;
mod numbers;
mod tables;

pub(crate) use apply::{Applied, apply, take_definitions};
pub(crate) use entry::{BatchWriter, RowValues};
pub(crate) use frame::{Frame, FrameKind, Scan, scan};
pub(crate) use group::{Group, Stop};
pub(crate) use log::{LogFile, LogSync, failed};
pub(crate) use tables::Tables;
