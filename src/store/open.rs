//! Opening a store on disk: what is published, what the log holds beyond it, and how the last writer ended.

use std::path::Path;
use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::model::{Loss, Lost, Timestamp};

use super::backing::{Access, Backing, FileKind, FileName, FolderBacking, FolderOptions, error_of};
use super::disk::Disk;
use super::exemplars::newest_of;
use super::file::corrupt;
use super::index::Index;
use super::losses::{add, keep_few};
use super::manifest::Manifest;
use super::options::StoreOptions;
use super::replay::Position;
use super::segment::Segment;
use super::settle::Settling;
use super::snapshot::View;
use super::sync::{Mutex, RwLock};
use super::wal::{Applied, LogSync, Stop};
use super::write::Writer;
use super::{Inner, Store};

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
        let mut opening = Opening::read(&*backing, &index, &options, &[])?;
        keep_few(&mut opening.manifest.losses);
        opening.view.losses = opening.manifest.losses.as_slice().into();
        opening.report.foreign = backing.foreign().map_err(error_of)?;
        let disk = Disk {
            sync: LogSync::new(backing.clone(), opening.next.saturating_sub(1)),
            backing,
            manifest: Mutex::new(opening.manifest.clone()),
            full: false.into(),
            settled_bytes: 0.into(),
            growing_bytes: 0.into(),
            read_only: false,
            followed: Mutex::default(),
            settling: Mutex::new(Some(opening.settling())),
        };
        disk.count_bytes(&disk.manifest.lock());
        let mut writer = Writer::new(opening.next, options.limits.log_bytes, opening.applied.samples);
        writer.exemplars = newest_of(&opening.view.exemplars);
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
        let mut opening = Opening::read_beside(&*backing, &index, &options, &[])?;
        opening.report.foreign = backing.foreign().map_err(error_of)?;
        let followed = opening.followed();
        let disk = Disk {
            sync: LogSync::new(backing.clone(), 0),
            backing,
            manifest: Mutex::new(opening.manifest.clone()),
            full: false.into(),
            settled_bytes: 0.into(),
            growing_bytes: 0.into(),
            read_only: true,
            followed: Mutex::new(Some(followed)),
            settling: Mutex::default(),
        };
        Ok(Self::with(options, index, opening, Writer::default(), Some(disk)))
    }

    /// What opening found; `None` for a store in memory.
    pub fn open_report(&self) -> Option<&OpenReport> {
        self.inner.open_report.as_ref()
    }
}

/// A store while it is opened.
#[derive(Debug)]
pub(super) struct Opening {
    /// The manifest as it was read.
    pub(super) published: Manifest,
    /// The same with what opening adds.
    pub(super) manifest: Manifest,
    pub(super) view: View,
    pub(super) applied: Applied,
    /// While what stands behind a hole is applied.
    pub(super) gap: Option<Gap>,
    pub(super) next: u64,
    pub(super) report: OpenReport,
    /// Whether the log can stay as it is.
    pub(super) clean: bool,
    /// Files of the log without a batch.
    pub(super) empty: Vec<u64>,
    /// Damaged files, left out.
    pub(super) quarantined: Vec<FileName>,
    /// Whether what was replayed has to be sealed, as the log has holes.
    pub(super) holes: bool,
    /// How much older than the newest sample one could be that is missing.
    late_ms: i64,
    /// So many exemplars are kept.
    pub(super) most_exemplars: usize,
    /// How many milliseconds older than the newest sample before it a batch of the log went, but for late samples.
    pub(super) lag: i64,
    /// Up to where the log was replayed; `None` without one.
    pub(super) position: Option<Position>,
}

/// The times on both sides of a hole in the log.
#[derive(Debug)]
pub(super) struct Gap {
    /// The newest before it.
    pub(super) before: Option<i64>,
    /// That of the batches behind it that go on.
    pub(super) until: Option<i64>,
}

impl Opening {
    /// How far batches go back that are in the log, or that the last sealing sealed.
    pub(super) fn furthest_lag(&self) -> i64 {
        self.lag.max(self.published.lag)
    }

    /// Reads what is there, but for segments that are known. A manifest may be replaced, and files it names removed, while they are read: then it is read anew.
    fn read(
        backing: &dyn Backing,
        index: &RwLock<Index>,
        options: &StoreOptions,
        known: &[Arc<Segment>],
    ) -> Result<Self> {
        let (mut tries, mut in_groups) = (0, true);
        loop {
            let manifest = Manifest::read(backing)?;
            let generation = manifest.as_ref().map(|manifest| manifest.generation);
            let outcome = Self::try_read(backing, index, (options, in_groups), known, manifest);
            let replaced = || {
                let now = Manifest::read(backing);
                now.is_ok_and(|now| now.map(|manifest| manifest.generation) != generation)
            };
            match outcome {
                Ok(opening) => return Ok(opening),
                Err(Stop::OneByOne) => in_groups = false,
                Err(Stop::Error(error)) => {
                    tries += 1;
                    if tries == 5 || !replaced() {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Reads what is there to be read only.
    pub(super) fn read_beside(
        backing: &dyn Backing,
        index: &RwLock<Index>,
        options: &StoreOptions,
        known: &[Arc<Segment>],
    ) -> Result<Self> {
        let mut opening = Self::read(backing, index, &options.clone().salvage(false), known)?;
        opening.beside_a_writer();
        opening.view.losses = opening.manifest.losses.as_slice().into();
        Ok(opening)
    }

    /// Nothing yet of a store that is published like that.
    pub(super) fn of(published: Manifest, options: &StoreOptions) -> Self {
        let late_ms = i64::try_from(options.limits.out_of_order_window.as_millis()).unwrap_or(i64::MAX);
        Self {
            late_ms,
            most_exemplars: options.limits.exemplars,
            lag: 0,
            manifest: published.clone(),
            published,
            view: View::default(),
            applied: Applied::default(),
            gap: None,
            next: 1,
            report: OpenReport::default(),
            clean: true,
            empty: Vec::new(),
            quarantined: Vec::new(),
            holes: false,
            position: None,
        }
    }

    pub(super) fn try_read(
        backing: &dyn Backing,
        index: &RwLock<Index>,
        (options, in_groups): (&StoreOptions, bool),
        known: &[Arc<Segment>],
        manifest: Option<Manifest>,
    ) -> Result<Self, Stop> {
        let salvage = options.salvage;
        let is_there = manifest.is_some();
        let mut opening = Self::of(manifest.unwrap_or_default(), options);
        let files = backing.list().map_err(error_of)?;
        if !is_there {
            let is_data = |name: &&FileName| matches!(name.kind, FileKind::Log | FileKind::Segment);
            if let Some(name) = files.iter().find(is_data) {
                return Err(corrupt(format!("there is {name}, but no MANIFEST")).into());
            }
            opening.report.created = true;
            opening.manifest.store = backing.random();
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
        opening.replay(backing, index, (salvage, in_groups), &files)?;
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

    /// Records that something is missing behind the newest sample so far, and that late ones may have been among it, and samples
    /// of series that lag behind the others, as far back as `lagging`.
    pub(super) fn lose_behind(&mut self, loss: Loss, lagging: i64) {
        let from = loss.from.minus_millis(self.late_ms).min(Timestamp::from_millis(lagging));
        if from < loss.from {
            // Apart from what ends with the first batch that is taken, for as long as that is not known.
            self.lose(Loss { from, until: loss.from, bytes: 0, frames: 0, ..loss.clone() });
        }
        self.lose(loss);
    }

    fn lose(&mut self, loss: Loss) {
        add(&mut self.report.losses, loss.clone());
        add(&mut self.manifest.losses, loss);
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

impl Inner {
    /// Counts what an opening found.
    pub(super) fn show(&self, opening: &Opening) {
        use std::sync::atomic::Ordering;
        let sealed: u64 = opening.view.segments.iter().map(|segment| segment.samples()).sum();
        let samples = sealed.saturating_add(opening.applied.samples);
        self.samples.store(samples, Ordering::Relaxed);
        self.sample_bytes.store(opening.view.heads.byte_size(), Ordering::Relaxed);
        self.lag.open(opening.lag, opening.published.lag);
        if let Some(newest) = opening.applied.newest {
            self.newest.fetch_max(newest, Ordering::Relaxed);
        }
    }
}
