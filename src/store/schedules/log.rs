//! Group commit: the log's file, its sync, and who waits for whom.

use std::io;
use std::sync::Arc;

use super::super::backing::{Backing, CutStyle, Fault, FileKind, FileName, SimulatedDisk};
use super::super::planted::Bug;
use super::super::sync::Mutex;
use super::super::wal::{FrameKind, LogFile, LogSync};
use super::{catches, holds, spawn};
use crate::error::{ErrorKind, Result};

/// A log on a disk, written to as a store does it.
struct Log {
    disk: Arc<SimulatedDisk>,
    writer: Mutex<Option<LogFile>>,
    sync: LogSync,
}

impl Log {
    fn new() -> Arc<Self> {
        let disk = Arc::new(SimulatedDisk::new(1));
        let log =
            Self { writer: Mutex::new(Some(create(&disk, 1, 1))), sync: LogSync::new(disk.clone(), 0), disk };
        Arc::new(log)
    }

    /// Writes a frame: its sequence, the file that has it, and where it ends there.
    fn write(&self) -> Result<(u64, FileName, u64)> {
        let mut writer = self.writer.lock();
        self.sync.check()?;
        let log = writer.as_mut().unwrap();
        let sequence = log.write(FrameKind::Batch, self.sync.synced(), &[b"batch"])?;
        self.sync.wrote(log.file(), sequence);
        Ok((sequence, FileName::new(FileKind::Log, log.number), log.length))
    }

    /// A commit that is acknowledged survives a cut at that moment.
    fn commit(&self) -> Result<()> {
        let (sequence, name, end) = self.write()?;
        self.sync.wait(sequence)?;
        let left = self.disk.power_cut_in(CutStyle::Nothing, 1).files();
        let length = left.iter().find(|(found, _)| *found == name).map_or(0, |(_, bytes)| bytes.len());
        assert!(length as u64 >= end, "frame {sequence} is acknowledged: {length} of {end} bytes are there");
        Ok(())
    }

    /// As a store does it that begins another file.
    fn rotate(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        self.sync.finish_file()?;
        let (number, next) = writer.as_ref().map_or((1, 1), |log| (log.number, log.next));
        *writer = Some(create(&self.disk, number + 1, next));
        Ok(())
    }

    /// As a store does it that is closed.
    fn close(&self) {
        let mut writer = self.writer.lock();
        self.sync.finish_file().unwrap();
        *writer = None;
        self.sync.close();
    }
}

fn create(disk: &Arc<SimulatedDisk>, number: u64, first: u64) -> LogFile {
    let backing: Arc<dyn Backing> = disk.clone();
    let log = LogFile::create(&backing, 7, number, first).unwrap();
    disk.sync_names().unwrap();
    log
}

/// So many threads commit once each.
fn commits(log: &Arc<Log>, threads: usize) -> Vec<Result<()>> {
    let others: Vec<_> = (1..threads)
        .map(|_| {
            let log = log.clone();
            spawn(move || log.commit())
        })
        .collect();
    let own = log.commit();
    others.into_iter().map(|other| other.join().unwrap()).chain([own]).collect()
}

fn two_commit() {
    let log = Log::new();
    commits(&log, 2).into_iter().collect::<Result<Vec<()>>>().unwrap();
    assert_eq!((log.sync.synced(), log.sync.written()), (2, 2));
}

fn three_commit() {
    let log = Log::new();
    commits(&log, 3).into_iter().collect::<Result<Vec<()>>>().unwrap();
    assert_eq!((log.sync.synced(), log.sync.written()), (3, 3));
}

/// The first sync fails: nobody whom it was to cover is told otherwise, and nothing is taken from there on.
fn a_sync_fails() {
    let log = Log::new();
    let error = io::ErrorKind::Other;
    log.disk.set_fault(Fault::ErrorAt { op: 1, error, sticky: false, only_sync: true });
    let outcomes = commits(&log, 2);
    let has_failed = |outcome: &Result<()>| outcome.as_ref().is_err_and(|e| e.kind() == ErrorKind::Failed);
    assert!(outcomes.iter().all(has_failed), "a sync that failed is acknowledged: {outcomes:?}");
    assert!(log.commit().is_err_and(|error| error.kind() == ErrorKind::Failed));
}

/// Someone else finds that the store has failed.
fn a_failure_is_told() {
    let log = Log::new();
    let other = log.clone();
    let failing = spawn(move || other.sync.fail("told"));
    if let Err(error) = log.commit() {
        assert_eq!(error.kind(), ErrorKind::Failed);
    }
    failing.join().unwrap();
    assert!(log.commit().is_err());
}

fn a_file_ends_meanwhile() {
    let log = Log::new();
    let other = log.clone();
    let rotating = spawn(move || other.rotate().and_then(|()| other.commit()));
    log.commit().unwrap();
    rotating.join().unwrap().unwrap();
    assert_eq!((log.sync.synced(), log.sync.written()), (2, 2));
}

fn it_is_closed_meanwhile() {
    let log = Log::new();
    let other = log.clone();
    let closing = spawn(move || other.close());
    if let Err(error) = log.commit() {
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
    closing.join().unwrap();
    assert!(log.commit().is_err_and(|error| error.kind() == ErrorKind::Closed));
}

#[test]
fn commits_share_syncs_and_each_is_durable_when_it_returns() {
    holds("two commit", None, two_commit);
    holds("three commit", Some(3), three_commit);
}

#[test]
fn a_failed_sync_reaches_all_that_it_was_for() {
    holds("a sync fails", None, a_sync_fails);
    holds("a failure is told", None, a_failure_is_told);
}

#[test]
fn a_file_of_the_log_ends_while_others_commit() {
    holds("a file ends", None, a_file_ends_meanwhile);
}

#[test]
fn a_log_is_closed_while_others_commit() {
    holds("the log is closed", None, it_is_closed_meanwhile);
}

#[test]
fn planted_bugs_of_group_commit_are_caught() {
    let commits = "log::commits_share_syncs_and_each_is_durable_when_it_returns";
    let failure = "log::a_failed_sync_reaches_all_that_it_was_for";
    catches(Bug::AcknowledgeBeforeSync, commits, "is acknowledged");
    catches(Bug::SyncCoversLater, commits, "is acknowledged");
    catches(Bug::OneWoken, commits, "deadlock");
    catches(Bug::FailureNotTold, failure, "deadlock");
    catches(Bug::RetrySync, failure, "is acknowledged");
}
