//! Replaying the log when a store is opened: its files one after the other, their batches in groups.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Loss, Lost, Timestamp};

use super::backing::{Backing, FileKind, FileName, error_of, read_exact_at};
use super::file::{FileHeader, HEADER, LOG, corrupt};
use super::index::Index;
use super::manifest::{LogEntry, read_from, read_whole};
use super::open::{Gap, Opening};
use super::planted::{Bug, planted};
use super::sync::RwLock;
use super::wal::{Applied, Frame, FrameKind, Group, Scan, Stop, Tables, apply, scan, take_definitions};

/// The largest file of the log that is read.
pub(super) const MAX_LOG: u64 = 1 << 32;

/// Up to where the newest file of the log was replayed.
#[derive(Debug)]
pub(super) struct Position {
    pub(super) number: u64,
    pub(super) salt: u64,
    pub(super) offset: u64,
    /// The sequence of the next frame.
    pub(super) next: u64,
    pub(super) tables: Tables,
}

/// A file of the log while it is replayed.
struct Replay<'a> {
    index: &'a RwLock<Index>,
    name: FileName,
    in_groups: bool,
    tables: Tables,
    group: Group<'a>,
}

impl Opening {
    /// Replays the log that the manifest names; in groups of batches, or one batch after the other.
    pub(super) fn replay(
        &mut self,
        backing: &dyn Backing,
        index: &RwLock<Index>,
        (salvage, in_groups): (bool, bool),
        files: &[FileName],
    ) -> Result<(), Stop> {
        let mut logs = self.manifest.logs.clone();
        if planted(Bug::OrphansReplayed) {
            let known: Vec<u64> = logs.iter().map(|log| log.number).collect();
            for name in
                files.iter().filter(|name| name.kind == FileKind::Log && !known.contains(&name.number))
            {
                logs.push(LogEntry { number: name.number, first: 1, end: None });
            }
        }
        let last = logs.last().map(|log| log.number);
        for log in &logs {
            let is_last = Some(log.number) == last;
            self.replay_log(backing, index, (salvage, in_groups), log, is_last)?;
        }
        self.report.unclean = !self.clean;
        Ok(())
    }

    pub(super) fn replay_log(
        &mut self,
        backing: &dyn Backing,
        index: &RwLock<Index>,
        (salvage, in_groups): (bool, bool),
        log: &LogEntry,
        is_last: bool,
    ) -> Result<(), Stop> {
        let name = FileName::new(FileKind::Log, log.number);
        let read = read_log(backing, self.manifest.store, log, name);
        let (bytes, salt) = match read {
            Ok(read) => read,
            Err(error) if salvage && error.kind() == ErrorKind::Corrupt => {
                let newest = self.applied.newest.unwrap_or(i64::MIN);
                self.lose_log(name, (0, 0), (newest, i64::MAX), self.lagging());
                self.next = self.next.max(log.end.map_or(log.first, |end| end.next));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let scan = scan(&bytes, HEADER, salt, log.first);
        let whole = match log.end {
            Some(end) => {
                let length = usize::try_from(end.length).unwrap_or(usize::MAX);
                if scan.end == length && scan.missing(log.first) == end.next {
                    Ok(())
                } else {
                    Err(corrupt(format!(
                        "{name} is damaged at offset {}: frames up to {} bytes were durable",
                        scan.end, end.length
                    )))
                }
            }
            None => scan.check(log.first, &name.to_string()),
        };
        let mut replay =
            Replay { index, name, in_groups, tables: Tables::default(), group: Group::default() };
        let frames = if planted(Bug::LastFrameCut) && is_last {
            scan.frames.get(..scan.frames.len().saturating_sub(1)).unwrap_or_default()
        } else {
            &scan.frames
        };
        for frame in frames {
            self.apply(frame, &mut replay)?;
        }
        self.apply_group(&mut replay)?;
        if frames.iter().all(|frame| frame.kind == FrameKind::Mark) && log.end.is_some() {
            self.empty.push(log.number);
        }
        self.next = self.next.max(scan.missing(log.first));
        match whole {
            Ok(()) => {}
            Err(_) if salvage => self.salvage(&scan, &mut replay, log)?,
            Err(error) => return Err(error.into()),
        }
        if log.end.is_none() {
            // The writer did not close the store.
            self.clean = false;
            self.report.torn_bytes = scan.rest as u64;
            let why = if scan.rest > 0 { Lost::TornEnd } else { Lost::UncleanEnd };
            let loss = Loss {
                from: self.applied.newest.map_or(Timestamp::MIN, Timestamp::from_millis),
                // The first batch that is taken says how far it goes.
                until: Timestamp::MAX,
                bytes: scan.rest as u64,
                frames: scan.behind.len() as u64,
                file: name.to_string(),
                why,
                acknowledged: false,
            };
            // As far behind as batches have been, and at the very instant of the newest sample.
            let lagging = loss.from.minus_millis(self.furthest_lag()).minus_millis(1).as_millis();
            self.lose_behind(loss, lagging);
        }
        let (offset, next) = (scan.end as u64, scan.missing(log.first));
        self.position = Some(Position { number: log.number, salt, offset, next, tables: replay.tables });
        Ok(())
    }

    /// Applies what a file of the log has beyond a position. `false`: it is not as it was, or not as it should be, and the
    /// heads are anything.
    pub(super) fn replay_rest(
        &mut self,
        backing: &dyn Backing,
        index: &RwLock<Index>,
        log: &LogEntry,
        position: Position,
    ) -> Result<bool, Stop> {
        let name = FileName::new(FileKind::Log, log.number);
        let Position { number, salt, offset, next, tables } = position;
        let bytes = read_rest(backing, self.manifest.store, log, (salt, offset))?;
        let scan = scan(&bytes, 0, salt, next);
        let end = offset.saturating_add(scan.end as u64);
        let is_whole = match log.end {
            Some(stated) => (stated.length, stated.next) == (end, scan.missing(next)),
            None => scan.check(next, &name.to_string()).is_ok(),
        };
        if !is_whole {
            return Ok(false);
        }
        let mut replay = Replay { index, name, in_groups: true, tables, group: Group::default() };
        for frame in &scan.frames {
            self.apply(frame, &mut replay)?;
        }
        self.apply_group(&mut replay)?;
        let next = scan.missing(next);
        self.next = self.next.max(next);
        self.position = Some(Position { number, salt, offset: end, next, tables: replay.tables });
        Ok(true)
    }

    /// Applies a frame, a batch perhaps not before others come.
    fn apply<'a>(&mut self, frame: &Frame<'a>, replay: &mut Replay<'a>) -> Result<(), Stop> {
        let mut rest = frame.payload;
        // Definitions hold for what comes behind them.
        let is_apart = frame.kind != FrameKind::Batch || rest.first() != Some(&0);
        match frame.kind {
            FrameKind::Mark => return Ok(()),
            _ if is_apart || replay.group.is_full() => self.apply_group(replay)?,
            _ => {}
        }
        match frame.kind {
            FrameKind::Mark => return Ok(()),
            FrameKind::Tombstone => return Ok(self.delete(frame, replay.index, replay.name)?),
            FrameKind::Exemplars => return Ok(self.exemplars(frame, replay.name)?),
            FrameKind::Anew => replay.tables = Tables::default(),
            FrameKind::Batch => {}
        }
        let outcome = take_definitions(&mut rest, &mut replay.tables, replay.index);
        if replay.in_groups {
            outcome.map_err(|_| Stop::OneByOne)?;
            return replay.group.add(rest, &mut replay.tables);
        }
        let named = |error: Error| corrupt(format!("{}, batch {}: {error}", replay.name, frame.sequence));
        outcome.map_err(named)?;
        let applied = apply(rest, &mut replay.tables, replay.index, &mut self.view.heads).map_err(named)?;
        self.replayed(applied);
        Ok(())
    }

    fn apply_group(&mut self, replay: &mut Replay<'_>) -> Result<(), Stop> {
        if !replay.group.is_empty() {
            let heads = &mut self.view.heads;
            let applied = replay.group.apply(&mut replay.tables, replay.index, heads)?;
            applied.into_iter().for_each(|applied| self.replayed(applied));
        }
        Ok(())
    }

    /// A batch was replayed.
    fn replayed(&mut self, applied: Applied) {
        self.lag = self.lag.max(applied.lag(self.applied.newest));
        self.applied.add(applied);
        if let Some(Gap { before, until }) = &mut self.gap {
            // What is missing came before the batches that go on from where it begins, but some series may have been ahead of
            // others in it. A late batch says nothing.
            let goes_on = |newest: &i64| before.is_none_or(|before| before < *newest);
            *until = self.applied.newest.filter(goes_on).or(*until);
        }
        self.end_losses(applied.newest);
        self.report.replayed_batches += 1;
        self.report.replayed_samples += applied.samples;
    }

    /// Applies what stands behind a hole, from the first batch on that needs nothing from before it.
    fn salvage<'a>(&mut self, scan: &Scan<'a>, replay: &mut Replay<'a>, log: &LogEntry) -> Result<(), Stop> {
        let name = replay.name;
        let (before, lagging) = (self.applied.newest, self.lagging());
        let missing = scan.missing(log.first);
        let start = scan.behind.iter().position(|frame| frame.kind == FrameKind::Anew);
        let behind = start.and_then(|start| scan.behind.get(start..)).unwrap_or_default();
        let first = behind.first().map_or(missing.saturating_add(1), |frame| frame.sequence);
        // A deletion needs nothing from before it, and exemplars do not.
        let skipped = scan.behind.get(..scan.behind.len().saturating_sub(behind.len())).unwrap_or_default();
        for frame in skipped {
            match frame.kind {
                FrameKind::Tombstone => self.delete(frame, replay.index, name)?,
                FrameKind::Exemplars => self.exemplars(frame, name)?,
                FrameKind::Batch | FrameKind::Anew | FrameKind::Mark => {}
            }
        }
        self.gap = Some(Gap { before, until: None });
        for frame in behind {
            self.apply(frame, replay)?;
            self.next = self.next.max(frame.sequence.saturating_add(1));
        }
        self.apply_group(replay)?;
        let until =
            self.gap.take().and_then(|gap| gap.until).map(|until| until.saturating_add(self.furthest_lag()));
        let range = (before.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX));
        self.lose_log(name, (scan.rest as u64, first.saturating_sub(missing)), range, lagging);
        self.next = self.next.max(log.end.map_or(0, |end| end.next));
        Ok(())
    }

    /// The newest time of the series that lags furthest behind: in a hole of the log it may have gone on from there.
    fn lagging(&self) -> i64 {
        let newest = self.view.heads.iter().filter_map(|(_, head)| head.last_time());
        newest.min().unwrap_or(i64::MAX)
    }

    fn lose_log(
        &mut self,
        name: FileName,
        (bytes, frames): (u64, u64),
        (from, until): (i64, i64),
        lagging: i64,
    ) {
        self.holes = true;
        self.clean = false;
        self.quarantined.push(name);
        // As far behind as batches have been as well, and at the very instant of the newest sample.
        let lagging = lagging.min(from.saturating_sub(self.furthest_lag()).saturating_sub(1));
        let loss = Loss {
            from: Timestamp::from_millis(from),
            until: Timestamp::from_millis(until),
            bytes,
            frames,
            file: name.to_string(),
            why: Lost::Salvaged,
            acknowledged: false,
        };
        self.lose_behind(loss, lagging);
    }
}

/// What stands in a file of the log behind an offset, if it is the file of this salt.
fn read_rest(
    backing: &dyn Backing,
    store: u64,
    log: &LogEntry,
    (salt, offset): (u64, u64),
) -> Result<Vec<u8>> {
    let name = FileName::new(FileKind::Log, log.number);
    let file = backing.open(name).map_err(error_of)?;
    let read = || {
        let mut header = [0; HEADER];
        read_exact_at(backing, file, 0, &mut header).map_err(error_of)?;
        let header = FileHeader::read_own(&header, LOG, &name.to_string(), store, log.number)?;
        if header.salt != salt {
            return Err(corrupt(format!("{name} is another file than before")));
        }
        read_from(backing, file, offset, MAX_LOG)
    };
    let bytes = read();
    backing.close(file);
    let mut bytes = bytes?;
    if let Some(end) = log.end {
        // What a failed write left behind the end is nothing.
        let length = usize::try_from(end.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        bytes.truncate(length);
    }
    Ok(bytes)
}

pub(super) fn read_log(
    backing: &dyn Backing,
    store: u64,
    log: &LogEntry,
    name: FileName,
) -> Result<(Vec<u8>, u64)> {
    let file = backing.open(name).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => corrupt(format!("{name} is missing")),
        _ => error_of(error),
    })?;
    let bytes = read_whole(backing, file, MAX_LOG);
    backing.close(file);
    let mut bytes = bytes?;
    let header = FileHeader::read_own(&bytes, LOG, &name.to_string(), store, log.number)?;
    if let Some(end) = log.end {
        // What a failed write left behind the end is nothing.
        bytes.truncate(usize::try_from(end.length).unwrap_or(usize::MAX));
    }
    Ok((bytes, header.salt))
}

#[cfg(test)]
mod tests;
