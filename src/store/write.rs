//! Writing: one batch at a time, into the log first and then into the heads.

use std::sync::atomic::Ordering;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Sample;

use super::Inner;
use super::append::AppendReport;
use super::batch::{Encoder, LateRule, Rows};
use super::disk::Disk;
use super::exemplars::NewestExemplars;
use super::index::SeriesRef;
use super::planted::{Bug, planted};
use super::wal::{Applied, BatchWriter, FrameKind, LogFile, Tables, apply};

/// What writing goes on from.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) tables: Tables,
    batch: BatchWriter,
    /// The file of the log that grows.
    pub(super) log: Option<LogFile>,
    /// Whether that file must not be appended to any more.
    pub(super) ended: bool,
    pub(super) next_sequence: u64,
    /// A file of the log ends when it is as long.
    pub(super) log_bytes: u64,
    /// Bytes written since the room was last looked at.
    unchecked: u64,
    /// Whether the next batch begins anew.
    anew: bool,
    pub(super) exemplars: NewestExemplars,
    /// Samples since the heads were last taken for a segment.
    pub(super) unflushed: u64,
}

/// The room on the disk is looked at again after so many bytes.
const CHECK_ROOM: u64 = 1 << 20;

impl Writer {
    pub(super) fn new(next_sequence: u64, log_bytes: u64, unflushed: u64) -> Self {
        Self { next_sequence, log_bytes, unflushed, anew: true, unchecked: CHECK_ROOM, ..Self::default() }
    }
}

impl Inner {
    /// Takes what can be taken of samples and rows, both in the order of item and time.
    pub(super) fn write(&self, samples: &[(SeriesRef, Sample)], rows: &Rows) -> Result<AppendReport> {
        if planted(Bug::HalfBatches) {
            let (first, second) = samples.split_at_checked(samples.len() / 2).unwrap_or_default();
            let mut report = self.write_one(first, rows)?;
            report.add(self.write_one(second, &Rows::default())?);
            return Ok(report);
        }
        self.write_one(samples, rows)
    }

    fn write_one(&self, samples: &[(SeriesRef, Sample)], rows: &Rows) -> Result<AppendReport> {
        if let Some(disk) = &self.disk {
            self.keep_disk_bytes(disk)?;
        }
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        if let Some(disk) = &self.disk {
            self.prepare(disk, writer)?;
            writer.anew |= writer.log.as_ref().is_some_and(LogFile::wants_anew);
        }
        if writer.anew && !planted(Bug::NumbersKept) {
            writer.tables = Tables::default();
        }
        let encoded = self.encode(writer, samples, rows);
        // What the tables have learned holds only if the batch gets into the log.
        let anew = std::mem::replace(&mut writer.anew, true);
        let mut report = encoded?;
        if writer.batch.is_empty() {
            writer.anew = anew;
            return Ok(report);
        }
        if let Some(disk) = &self.disk {
            let batch = std::mem::take(&mut writer.batch);
            let (start, length) = batch.start();
            let payload = [start.get(..length).unwrap_or_default(), batch.definitions(), batch.entries()];
            let kind = if anew { FrameKind::Anew } else { FrameKind::Batch };
            let outcome = disk.write(writer, kind, &payload);
            let written = payload.iter().map(|part| part.len() as u64).sum();
            writer.unchecked = writer.unchecked.saturating_add(written);
            writer.batch = batch;
            match outcome {
                Ok(sequence) => report.sequence = sequence,
                Err(error) => {
                    if !planted(Bug::VisibleWithoutLog) {
                        return Err(error);
                    }
                }
            }
        }
        writer.anew = false;
        let (applied, ends) = {
            let mut view = self.view.write();
            let applied = apply(writer.batch.entries(), &mut writer.tables, &self.index, &mut view.heads)?;
            let ends = view.end_losses(applied.newest, self.lag(&applied));
            (applied, ends)
        };
        if ends {
            self.end_losses(applied.newest, self.lag(&applied));
        }
        self.count(&applied);
        writer.batch.clear();
        writer.unflushed = writer.unflushed.saturating_add(applied.samples);
        Ok(report)
    }

    /// Sees to it that there is a file of the log that takes a frame, and room for it.
    pub(super) fn prepare(&self, disk: &Disk, writer: &mut Writer) -> Result<()> {
        if disk.read_only {
            return Err(Error::new(ErrorKind::Closed, "the store was opened to be read"));
        }
        disk.sync.check()?;
        disk.settle_opening(writer)?;
        if writer.unchecked >= CHECK_ROOM || disk.full.load(Ordering::Relaxed) {
            disk.check_room(self.options.limits.min_free_bytes)?;
            writer.unchecked = 0;
        }
        let limit = writer.log_bytes;
        if writer.ended || writer.log.as_ref().is_none_or(|log| log.length >= limit) {
            disk.start_log(writer)?;
        }
        Ok(())
    }

    fn encode(
        &self,
        writer: &mut Writer,
        samples: &[(SeriesRef, Sample)],
        rows: &Rows,
    ) -> Result<AppendReport> {
        let Writer { tables, batch, .. } = writer;
        batch.clear();
        batch.make_room();
        let view = self.view.read();
        let mut encoder = Encoder::new(&self.index, &view, (tables, batch), self.late_rule());
        encoder.add_samples(samples)?;
        encoder.add_rows(rows)?;
        encoder.add_late()?;
        Ok(encoder.report)
    }

    /// The window is one before the newest sample of the store, as in Prometheus; nothing that retention has forgotten comes
    /// back.
    fn late_rule(&self) -> LateRule {
        let window = self.options.limits.out_of_order_window.as_millis();
        let window = i64::try_from(window).unwrap_or(i64::MAX);
        let newest = self.newest.load(Ordering::Relaxed);
        let border = self.retention_border().map(|border| border.as_millis().saturating_add(1));
        let oldest = newest.saturating_sub(window).max(border.unwrap_or(i64::MIN));
        LateRule { window, oldest }
    }

    /// How much older than the newest sample before it a batch went, this one included.
    fn lag(&self, applied: &Applied) -> i64 {
        self.lag.furthest().max(applied.lag(self.newest_before()))
    }

    fn newest_before(&self) -> Option<i64> {
        Some(self.newest.load(Ordering::Relaxed)).filter(|newest| *newest > i64::MIN)
    }

    pub(super) fn count(&self, applied: &Applied) {
        self.grow(applied.grown);
        self.lag.note(applied.lag(self.newest_before()));
        self.samples.fetch_add(applied.samples, Ordering::Relaxed);
        if let Some(newest) = applied.newest {
            self.newest.fetch_max(newest, Ordering::Relaxed);
        }
    }
}
