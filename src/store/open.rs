//! Opening a store on disk: what is published, what the log holds beyond it, and how the last writer ended.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Loss, Lost, Timestamp};

use super::backing::{Access, Backing, FileKind, FileName, FolderBacking, FolderOptions, error_of};
use super::disk::Disk;
use super::file::{FileHeader, HEADER, LOG, corrupt};
use super::index::Index;
use super::manifest::{LogEntry, Manifest, read_whole};
use super::options::StoreOptions;
use super::planted::{Bug, planted};
use super::segment::Segment;
use super::settle::Settling;
use super::snapshot::View;
use super::sync::{Mutex, RwLock};
use super::wal::{Applied, Frame, FrameKind, LogSync, Scan, Tables, apply, scan, take_definitions};
use super::write::Writer;
use super::{Inner, Store};

/// The largest file of the log that is read.
pub(super) const MAX_LOG: u64 = 1 << 32;

/// What opening found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenReport {
    /// Whether the store was not there and was made.
    pub created: bool,
    /// Whether the last writer ended without closing the store.
    pub unclean: bool,
    /// Batches that were replayed from the log.
    pub replayed_batches: u64,
    /// Samples that were replayed from the log.
    pub replayed_samples: u64,
    /// Bytes at the end of the log that were not whole and held nothing that was acknowledged as durable.
    pub torn_bytes: u64,
    /// What is missing, found by this opening; recorded in the store too.
    pub losses: Vec<Loss>,
    /// Files of the store's own names that the manifest does not name; they are removed.
    pub unnamed: Vec<String>,
    /// Other files in the folder; they are never touched.
    pub foreign: Vec<String>,
}

impl Store {
    /// Opens the store in a folder, or makes one there.
    ///
    /// Everything that was acknowledged is there again after any end of the process before, and after a power cut as far as
    /// [`Durability`](crate::Durability) promised. A log whose writer did not close it is written anew before anything is
    /// taken: bytes that were read back may never have reached the disk.
    ///
    /// ```
    /// use promgate::{Labels, Sample, Store, StoreOptions, Timestamp};
    ///
    /// let folder = std::env::temp_dir().join(format!("promgate-doc-{}", std::process::id()));
    /// let up = Labels::from_pairs([("__name__", "up"), ("job", "api")]);
    /// {
    ///     let store = Store::open(&folder, StoreOptions::new())?;
    ///     let mut appender = store.appender();
    ///     appender.append(&up, Sample::float(Timestamp::from_secs(10), 1.0))?;
    ///     assert!(appender.commit()?.durable);
    ///     store.close()?;
    /// }
    /// assert_eq!(Store::open(&folder, StoreOptions::new())?.stats().samples, 1);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), promgate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`]: it is open for writing elsewhere; also for the moment in which a process that had it open starts
    /// a child. [`ErrorKind::Corrupt`]: a file is damaged, missing, or of a
    /// newer version; nothing was changed, and [`salvage`](StoreOptions::salvage) opens what is left. [`ErrorKind::Io`].
    pub fn open(folder: impl AsRef<Path>, options: StoreOptions) -> Result<Self> {
        let backing = FolderBacking::open_with(
            folder,
            FolderOptions {
                access: Access::ReadWrite,
                read_mode: options.read_mode,
                no_lock: options.no_lock,
                open_files: Some(options.limits.open_files),
                ..FolderOptions::default()
            },
        )?;
        Self::open_on(Arc::new(backing), options)
    }

    /// Opens the store in a folder to be read, beside its writer or without one. Takes no lock and changes nothing;
    /// [`refresh`](Self::refresh) shows what was committed since.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] and [`ErrorKind::Io`] as for [`open`](Self::open).
    pub fn open_read_only(folder: impl AsRef<Path>, options: StoreOptions) -> Result<Self> {
        let backing = FolderBacking::open_with(
            folder,
            FolderOptions {
                access: Access::ReadOnly,
                read_mode: options.read_mode,
                no_lock: true,
                ..FolderOptions::default()
            },
        )?;
        Self::open_read_only_on(Arc::new(backing), options)
    }

    pub(crate) fn open_on(backing: Arc<dyn Backing>, options: StoreOptions) -> Result<Self> {
        let index = RwLock::default();
        let mut opening = Opening::read(&*backing, &index, options.salvage, &[])?;
        opening.report.foreign = backing.foreign().map_err(error_of)?;
        let disk = Disk {
            sync: LogSync::new(backing.clone(), opening.next.saturating_sub(1)),
            backing,
            manifest: Mutex::new(opening.manifest.clone()),
            full: false.into(),
            settled_bytes: 0.into(),
            growing_bytes: 0.into(),
            read_only: false,
            settling: Mutex::new(Some(opening.settling())),
        };
        disk.count_bytes(&disk.manifest.lock());
        let mut writer = Writer::new(opening.next, options.limits.log_bytes, opening.applied.samples);
        match disk.settle_opening(&mut writer) {
            // Reading needs no room; the next commit tries again.
            Err(error) if error.kind() == ErrorKind::Full => {}
            outcome => outcome?,
        }
        let holes = opening.holes;
        let store = Self::with(options, index, opening, writer, Some(disk));
        if holes {
            // A log with holes cannot be read again without being salvaged again.
            store.flush()?;
        }
        store.start()
    }

    pub(crate) fn open_read_only_on(backing: Arc<dyn Backing>, options: StoreOptions) -> Result<Self> {
        let index = RwLock::default();
        let mut opening = Opening::read_beside(&*backing, &index, &[])?;
        opening.report.foreign = backing.foreign().map_err(error_of)?;
        let disk = Disk {
            sync: LogSync::new(backing.clone(), 0),
            backing,
            manifest: Mutex::new(opening.manifest.clone()),
            full: false.into(),
            settled_bytes: 0.into(),
            growing_bytes: 0.into(),
            read_only: true,
            settling: Mutex::default(),
        };
        Ok(Self::with(options, index, opening, Writer::default(), Some(disk)))
    }

    /// Shows what a writer elsewhere has committed since this store was opened, or refreshed last. Snapshots keep what they
    /// have.
    ///
    /// # Errors
    ///
    /// As [`open_read_only`](Self::open_read_only); [`ErrorKind::InvalidArgument`] for a store that is not opened to be read.
    pub fn refresh(&self) -> Result<()> {
        let disk = self.inner.disk.as_ref().filter(|disk| disk.read_only);
        let disk = disk.ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, "only a store that was opened to be read is refreshed")
        })?;
        let known = self.inner.view.read().segments.clone();
        let opening = Opening::read_beside(&*disk.backing, &self.inner.index, &known)?;
        self.inner.show(&opening);
        *disk.manifest.lock() = opening.manifest;
        *self.inner.view.write() = opening.view;
        Ok(())
    }

    /// What opening found; `None` for a store in memory.
    pub fn open_report(&self) -> Option<&OpenReport> {
        self.inner.open_report.as_ref()
    }
}

/// A store while it is opened.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) manifest: Manifest,
    pub(super) view: View,
    pub(super) applied: Applied,
    pub(super) next: u64,
    pub(super) report: OpenReport,
    /// Whether the log can stay as it is.
    clean: bool,
    /// Files of the log without a batch.
    empty: Vec<u64>,
    /// Damaged files, left out.
    quarantined: Vec<FileName>,
    /// Whether what was replayed has to be sealed, as the log has holes.
    pub(super) holes: bool,
}

impl Opening {
    /// Reads what is there, but for segments that are known. A manifest may be replaced, and files it names removed, while they are read: then it is read anew.
    fn read(
        backing: &dyn Backing,
        index: &RwLock<Index>,
        salvage: bool,
        known: &[Arc<Segment>],
    ) -> Result<Self> {
        let mut tries = 0;
        loop {
            let manifest = Manifest::read(backing)?;
            let generation = manifest.as_ref().map(|manifest| manifest.generation);
            let outcome = Self::try_read(backing, index, salvage, known, manifest);
            tries += 1;
            let replaced = || {
                let now = Manifest::read(backing);
                now.is_ok_and(|now| now.map(|manifest| manifest.generation) != generation)
            };
            match outcome {
                Err(_) if tries < 5 && replaced() => {}
                outcome => return outcome,
            }
        }
    }

    /// Reads what is there to be read only.
    fn read_beside(backing: &dyn Backing, index: &RwLock<Index>, known: &[Arc<Segment>]) -> Result<Self> {
        let mut opening = Self::read(backing, index, false, known)?;
        opening.beside_a_writer();
        opening.view.losses = opening.manifest.losses.as_slice().into();
        Ok(opening)
    }

    fn try_read(
        backing: &dyn Backing,
        index: &RwLock<Index>,
        salvage: bool,
        known: &[Arc<Segment>],
        manifest: Option<Manifest>,
    ) -> Result<Self> {
        let mut opening = Self {
            manifest: Manifest::default(),
            view: View::default(),
            applied: Applied::default(),
            next: 1,
            report: OpenReport::default(),
            clean: true,
            empty: Vec::new(),
            quarantined: Vec::new(),
            holes: false,
        };
        let files = backing.list().map_err(error_of)?;
        match manifest {
            Some(manifest) => opening.manifest = manifest,
            None => {
                let is_data = |name: &&FileName| matches!(name.kind, FileKind::Log | FileKind::Segment);
                if let Some(name) = files.iter().find(is_data) {
                    return Err(corrupt(format!("there is {name}, but no MANIFEST")));
                }
                opening.report.created = true;
                opening.manifest.store = backing.random();
            }
        }
        let unnamed = files.iter().filter(|name| !opening.manifest.names(**name));
        opening.report.unnamed = unnamed.map(FileName::to_string).collect();
        // Numbers of files that no manifest names are taken as well.
        let highest = files.iter().map(|name| name.number).max().unwrap_or(0);
        opening.manifest.next_file = opening.manifest.next_file.max(highest);
        let aside =
            files.iter().filter(|name| name.kind == FileKind::NewManifest).map(|name| name.number).max();
        opening.manifest.generation = opening.manifest.generation.max(aside.unwrap_or(0));
        opening.open_segments(backing, salvage, known)?;
        opening.read_tombstones()?;
        opening.replay(backing, index, salvage, &files)?;
        opening.view.losses = opening.manifest.losses.as_slice().into();
        Ok(opening)
    }

    fn open_segments(&mut self, backing: &dyn Backing, salvage: bool, known: &[Arc<Segment>]) -> Result<()> {
        let mut segments = Vec::with_capacity(self.manifest.segments.len());
        for entry in std::mem::take(&mut self.manifest.segments) {
            let opened = match known.iter().find(|segment| segment.entry == entry) {
                Some(segment) => Ok(segment.clone()),
                None => Segment::open(backing, self.manifest.store, entry).map(Arc::new),
            };
            match opened {
                Ok(segment) => {
                    self.applied.newest = self.applied.newest.max(Some(entry.last_time));
                    segments.push(segment);
                    self.manifest.segments.push(entry);
                }
                Err(error) if salvage && error.kind() == ErrorKind::Corrupt => {
                    let name = FileName::new(FileKind::Segment, entry.number);
                    self.lose(Loss {
                        from: Timestamp::from_millis(entry.first_time.saturating_sub(1)),
                        until: Timestamp::from_millis(entry.last_time),
                        bytes: entry.length,
                        frames: 0,
                        file: name.to_string(),
                        why: Lost::Segment,
                        acknowledged: false,
                    });
                    self.quarantined.push(name);
                }
                Err(error) => return Err(error),
            }
        }
        self.view.segments = segments.into();
        Ok(())
    }

    fn lose(&mut self, loss: Loss) {
        self.report.losses.push(loss.clone());
        self.manifest.losses.push(loss);
    }

    fn replay(
        &mut self,
        backing: &dyn Backing,
        index: &RwLock<Index>,
        salvage: bool,
        files: &[FileName],
    ) -> Result<()> {
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
            self.replay_log(backing, index, salvage, log, is_last)?;
        }
        self.report.unclean = !self.clean;
        Ok(())
    }

    fn replay_log(
        &mut self,
        backing: &dyn Backing,
        index: &RwLock<Index>,
        salvage: bool,
        log: &LogEntry,
        is_last: bool,
    ) -> Result<()> {
        let name = FileName::new(FileKind::Log, log.number);
        let read = read_log(backing, self.manifest.store, log, name);
        let (bytes, salt) = match read {
            Ok(read) => read,
            Err(error) if salvage && error.kind() == ErrorKind::Corrupt => {
                let newest = self.applied.newest.unwrap_or(i64::MIN);
                self.lose_log(name, (0, 0), (newest, i64::MAX));
                self.next = self.next.max(log.end.map_or(log.first, |end| end.next));
                return Ok(());
            }
            Err(error) => return Err(error),
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
        let mut tables = Tables::default();
        let frames = if planted(Bug::LastFrameCut) && is_last {
            scan.frames.get(..scan.frames.len().saturating_sub(1)).unwrap_or_default()
        } else {
            &scan.frames
        };
        for frame in frames {
            self.apply(frame, &mut tables, index, name)?;
        }
        if frames.iter().all(|frame| frame.kind == FrameKind::Mark) && log.end.is_some() {
            self.empty.push(log.number);
        }
        self.next = self.next.max(scan.missing(log.first));
        match whole {
            Ok(()) => {}
            Err(_) if salvage => self.salvage(&scan, &mut tables, index, log, name)?,
            Err(error) => return Err(error),
        }
        if log.end.is_none() {
            // The writer did not close the store.
            self.clean = false;
            self.report.torn_bytes = scan.rest as u64;
            let why = if scan.rest > 0 { Lost::TornEnd } else { Lost::UncleanEnd };
            self.lose(Loss {
                from: self.applied.newest.map_or(Timestamp::MIN, Timestamp::from_millis),
                // The first batch that is taken says how far it goes.
                until: Timestamp::MAX,
                bytes: scan.rest as u64,
                frames: scan.behind.len() as u64,
                file: name.to_string(),
                why,
                acknowledged: false,
            });
        }
        Ok(())
    }

    fn apply(
        &mut self,
        frame: &Frame<'_>,
        tables: &mut Tables,
        index: &RwLock<Index>,
        name: FileName,
    ) -> Result<()> {
        match frame.kind {
            FrameKind::Mark => return Ok(()),
            FrameKind::Tombstone => return self.delete(frame, index, name),
            FrameKind::Anew => *tables = Tables::default(),
            FrameKind::Batch => {}
        }
        let mut rest = frame.payload;
        let named = |error: Error| corrupt(format!("{name}, batch {}: {error}", frame.sequence));
        take_definitions(&mut rest, tables, index).map_err(named)?;
        let applied = apply(rest, tables, index, &mut self.view.heads).map_err(named)?;
        self.applied.add(applied);
        self.end_losses(applied.newest);
        self.report.replayed_batches += 1;
        self.report.replayed_samples += applied.samples;
        Ok(())
    }

    /// Applies what stands behind a hole, from the first batch on that needs nothing from before it.
    fn salvage(
        &mut self,
        scan: &Scan<'_>,
        tables: &mut Tables,
        index: &RwLock<Index>,
        log: &LogEntry,
        name: FileName,
    ) -> Result<()> {
        let before = self.applied.newest;
        let missing = scan.missing(log.first);
        let start = scan.behind.iter().position(|frame| frame.kind == FrameKind::Anew);
        let behind = start.and_then(|start| scan.behind.get(start..)).unwrap_or_default();
        let first = behind.first().map_or(missing.saturating_add(1), |frame| frame.sequence);
        self.applied.oldest = None;
        // A deletion needs nothing from before it.
        let skipped = scan.behind.get(..scan.behind.len().saturating_sub(behind.len())).unwrap_or_default();
        for frame in skipped.iter().filter(|frame| frame.kind == FrameKind::Tombstone) {
            self.delete(frame, index, name)?;
        }
        for frame in behind {
            self.apply(frame, tables, index, name)?;
            self.next = self.next.max(frame.sequence.saturating_add(1));
        }
        let until = self.applied.oldest;
        let range = (before.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX));
        self.lose_log(name, (scan.rest as u64, first.saturating_sub(missing)), range);
        self.next = self.next.max(log.end.map_or(0, |end| end.next));
        Ok(())
    }

    fn lose_log(&mut self, name: FileName, (bytes, frames): (u64, u64), (from, until): (i64, i64)) {
        self.holes = true;
        self.clean = false;
        self.quarantined.push(name);
        self.lose(Loss {
            from: Timestamp::from_millis(from),
            until: Timestamp::from_millis(until),
            bytes,
            frames,
            file: name.to_string(),
            why: Lost::Salvaged,
            acknowledged: false,
        });
    }

    fn settling(&self) -> Settling {
        Settling {
            clean: self.clean,
            holes: self.holes,
            quarantined: self.quarantined.clone(),
            empty: self.empty.clone(),
        }
    }
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

impl Inner {
    /// Counts what an opening found.
    pub(super) fn show(&self, opening: &Opening) {
        use std::sync::atomic::Ordering;
        let sealed: u64 = opening.view.segments.iter().map(|segment| segment.samples()).sum();
        let samples = sealed.saturating_add(opening.applied.samples);
        self.samples.store(samples, Ordering::Relaxed);
        self.sample_bytes.store(opening.view.heads.byte_size(), Ordering::Relaxed);
        if let Some(newest) = opening.applied.newest {
            self.newest.fetch_max(newest, Ordering::Relaxed);
        }
    }
}
