//! The end of the log that grows, and when it is durable.

use std::sync::Arc;
use std::time::Duration;

use super::super::backing::{Backing, FileId, FileKind, FileName, error_of, write_all_at};
use super::super::file::{FileHeader, HEADER, LOG};
use super::super::planted::{Bug, planted};
use super::super::sync::{Condvar, Mutex};
use super::frame::{Frame, FrameKind, MAX_PAYLOAD, payload_length, put_frame};
use crate::error::{Error, ErrorKind, Result};

/// The file that is appended to. This process made it, and no write or sync of it has failed.
#[derive(Debug)]
pub(crate) struct LogFile {
    backing: Arc<dyn Backing>,
    file: FileId,
    pub(crate) number: u64,
    salt: u64,
    /// Bytes that were written.
    pub(crate) length: u64,
    /// The sequence of the first frame.
    pub(crate) first: u64,
    /// The sequence of the next frame.
    pub(crate) next: u64,
    frame: Vec<u8>,
    /// Sequence and offset of the newest batch that began anew.
    anew_at: Option<(u64, u64)>,
}

/// A batch begins anew after so many frames, if they are so many bytes as well.
const ANEW_FRAMES: u64 = 128;
const ANEW_BYTES: u64 = 8 << 20;
/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

impl LogFile {
    /// A new file, whose header is durable; its name may not be.
    pub(crate) fn create(backing: &Arc<dyn Backing>, store: u64, number: u64, first: u64) -> Result<Self> {
        let name = FileName::new(FileKind::Log, number);
        let file = backing.create(name).map_err(error_of)?;
        let salt = backing.random();
        let header = FileHeader { magic: LOG, store, number, salt }.to_bytes();
        let (backing, length) = (backing.clone(), HEADER as u64);
        let log = Self {
            backing,
            file,
            number,
            salt,
            length,
            first,
            next: first,
            frame: Vec::new(),
            anew_at: None,
        };
        write_all_at(&*log.backing, file, 0, &header).map_err(error_of)?;
        log.backing
            .sync(file)
            .map_err(|error| failed(&format!("syncing a new file of the log failed: {error}")))?;
        Ok(log)
    }

    /// Whether the next batch is to begin anew: a damaged frame costs at most what comes up to there.
    pub(crate) fn wants_anew(&self) -> bool {
        self.anew_at.is_none_or(|(sequence, length)| {
            self.next.saturating_sub(sequence) >= ANEW_FRAMES
                && self.length.saturating_sub(length) >= ANEW_BYTES
        })
    }

    /// A copy of frames that were read, all of them known to be durable once the copy is: synced.
    pub(crate) fn copy(&mut self, frames: &[Frame<'_>]) -> Result<()> {
        let Some(last) = frames.last() else { return Ok(()) };
        let mut bytes = Vec::new();
        for frame in frames {
            Frame { durable: last.sequence, ..*frame }.put(self.salt, &mut bytes);
            if bytes.len() >= COPY_BYTES {
                self.put_copied(&mut bytes)?;
            }
        }
        self.put_copied(&mut bytes)?;
        self.next = last.sequence.saturating_add(1);
        if planted(Bug::CopyNotSynced) {
            return Ok(());
        }
        self.backing
            .sync(self.file)
            .map_err(|error| failed(&format!("syncing a copy of the log failed: {error}")))
    }

    fn put_copied(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        write_all_at(&*self.backing, self.file, self.length, bytes).map_err(error_of)?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        bytes.clear();
        Ok(())
    }

    /// Writes a frame behind the others, its payload part by part; it is not durable yet. After an error the file takes no more.
    pub(crate) fn write(&mut self, kind: FrameKind, durable: u64, payload: &[&[u8]]) -> Result<u64> {
        let asked = payload_length(payload);
        if asked > MAX_PAYLOAD {
            let text = format!("batch bytes limit: {asked} bytes asked, {MAX_PAYLOAD} allowed");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        let sequence = self.next;
        self.frame.clear();
        put_frame((sequence, durable, kind), payload, self.salt, &mut self.frame);
        write_all_at(&*self.backing, self.file, self.length, &self.frame).map_err(error_of)?;
        if kind == FrameKind::Anew {
            self.anew_at = Some((sequence, self.length));
        }
        self.length = self.length.saturating_add(self.frame.len() as u64);
        self.next = sequence.saturating_add(1);
        if self.frame.capacity() > 1 << 20 {
            self.frame = Vec::new();
        }
        Ok(sequence)
    }

    pub(crate) fn file(&self) -> FileId {
        self.file
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        self.backing.close(self.file);
    }
}

/// Which frames are durable, and who is making more of them so.
#[derive(Debug)]
pub(crate) struct LogSync {
    backing: Arc<dyn Backing>,
    state: Mutex<SyncState>,
    changed: Condvar,
}

#[derive(Debug)]
struct SyncState {
    /// The file that grows, and the newest frame written to it.
    file: Option<FileId>,
    written: u64,
    synced: u64,
    last_sync: Duration,
    running: bool,
    stopped: Option<Stopped>,
}

/// Why nothing becomes durable any more.
#[derive(Debug)]
enum Stopped {
    Failed(Arc<str>),
    Closed,
}

impl Stopped {
    fn error(&self) -> Error {
        match self {
            Self::Failed(what) => failed(what),
            Self::Closed => Error::new(ErrorKind::Closed, "the store was closed"),
        }
    }
}

impl LogSync {
    /// Everything up to sequence `synced` is durable.
    pub(crate) fn new(backing: Arc<dyn Backing>, synced: u64) -> Self {
        let last_sync = backing.elapsed();
        let state =
            SyncState { file: None, written: synced, synced, last_sync, running: false, stopped: None };
        Self { backing, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The newest sequence known to be durable.
    pub(crate) fn synced(&self) -> u64 {
        self.state.lock().synced
    }

    /// The newest sequence that was written.
    pub(crate) fn written(&self) -> u64 {
        self.state.lock().written
    }

    /// A frame was written.
    pub(crate) fn wrote(&self, file: FileId, sequence: u64) {
        let mut state = self.state.lock();
        state.file = Some(file);
        state.written = state.written.max(sequence);
        if planted(Bug::AcknowledgeBeforeSync) {
            state.synced = state.written;
        }
    }

    /// An error once the store was closed, or a sync has failed: what was written since the last success may never arrive.
    pub(crate) fn check(&self) -> Result<()> {
        self.state.lock().stopped.as_ref().map_or(Ok(()), |stopped| Err(stopped.error()))
    }

    /// Nothing becomes durable any more.
    pub(crate) fn fail(&self, what: &str) {
        self.state.lock().stopped.get_or_insert_with(|| Stopped::Failed(what.into()));
        self.changed.notify_all();
    }

    /// Everything is durable, and nothing more comes.
    pub(crate) fn close(&self) {
        self.state.lock().stopped.get_or_insert(Stopped::Closed);
        self.changed.notify_all();
    }

    /// Time since the last sync ended.
    pub(crate) fn since_sync(&self) -> Duration {
        let last = self.state.lock().last_sync;
        self.backing.elapsed().saturating_sub(last)
    }

    /// Returns when the frame is durable. Who comes first syncs for all that wait.
    ///
    /// # Errors
    ///
    /// `Failed`: a sync failed, this one or one before it. It is not tried again: the system may have dropped what it could
    /// not write, and would report success.
    pub(crate) fn wait(&self, sequence: u64) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if state.synced >= sequence {
                return Ok(());
            }
            if let Some(stopped) = &state.stopped {
                return Err(stopped.error());
            }
            if state.running {
                self.changed.wait(&mut state);
                continue;
            }
            let Some(file) = state.file else { return Ok(()) };
            let written = state.written;
            state.running = true;
            drop(state);
            let mut outcome = self.backing.sync(file);
            if outcome.is_err() && planted(Bug::RetrySync) {
                outcome = self.backing.sync(file);
            }
            state = self.state.lock();
            state.running = false;
            let failed = outcome.is_err();
            match outcome {
                Ok(()) => {
                    let covered = if planted(Bug::SyncCoversLater) { state.written } else { written };
                    state.synced = state.synced.max(covered);
                    state.last_sync = self.backing.elapsed();
                }
                Err(error) => {
                    let what = format!("syncing the log failed: {error}");
                    state.stopped.get_or_insert_with(|| Stopped::Failed(what.into()));
                }
            }
            self.wake(failed);
        }
    }

    /// Tells all that wait how a sync went.
    fn wake(&self, failed: bool) {
        if planted(Bug::OneWoken) {
            self.changed.notify_one();
        } else if !failed || !planted(Bug::FailureNotTold) {
            self.changed.notify_all();
        }
    }

    /// Syncs what was written, and lets go of the file: the next frame goes to another one.
    pub(crate) fn finish_file(&self) -> Result<()> {
        let written = self.written();
        self.wait(written)?;
        let mut state = self.state.lock();
        while state.running {
            self.changed.wait(&mut state);
        }
        state.file = None;
        Ok(())
    }
}

pub(crate) fn failed(what: &str) -> Error {
    Error::new(ErrorKind::Failed, format!("the store takes nothing before it is opened again: {what}"))
}
