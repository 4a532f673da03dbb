//! Following a writer elsewhere: a store that is opened to be read learns of what was committed since.
//!
//! While files of the log grow and others come behind them, what is new is read and applied, and nothing else. After anything
//! else (segments, deletions, losses, a log that was written anew) the log is replayed from its beginning; segments that are
//! open stay open.

use super::backing::Backing;
use super::disk::Disk;
use super::manifest::Manifest;
use super::open::Opening;
use super::replay::Position;
use super::wal::Applied;
use super::{Inner, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Loss;

/// What refreshing goes on from.
#[derive(Debug)]
pub(super) struct Followed {
    /// The manifest as it was read.
    published: Manifest,
    /// Its losses, those ended that what was replayed ends.
    losses: Vec<Loss>,
    applied: Applied,
    lag: i64,
    pub(super) position: Option<Position>,
}

impl Store {
    /// Shows what a writer elsewhere has committed since this store was opened, or refreshed last. Snapshots keep what they
    /// have. Reads what is new in the log; all of the log once segments, deletions or losses have changed.
    ///
    /// # Errors
    ///
    /// As [`open_read_only`](Self::open_read_only), and what was shown stays; [`ErrorKind::InvalidArgument`] for a store that is
    /// not opened to be read.
    pub fn refresh(&self) -> Result<()> {
        let disk = self.inner.disk.as_ref().filter(|disk| disk.read_only);
        let disk = disk.ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, "only a store that was opened to be read is refreshed")
        })?;
        // One at a time.
        let mut followed = disk.followed.lock();
        if let Some(opening) = followed.take().and_then(|followed| self.inner.go_on(disk, followed)) {
            self.show(disk, opening, &mut followed);
            return Ok(());
        }
        let known = self.inner.view.read().segments.clone();
        let opening = Opening::read_beside(&*disk.backing, &self.inner.index, &self.inner.options, &known)?;
        self.show(disk, opening, &mut followed);
        let position = followed.as_ref().and_then(|followed| followed.position.as_ref());
        self.inner.leave_now(position.map(|position| &position.tables));
        Ok(())
    }

    fn show(&self, disk: &Disk, mut opening: Opening, followed: &mut Option<Followed>) {
        *followed = Some(opening.followed());
        self.inner.show(&opening);
        *disk.manifest.lock() = opening.manifest;
        *self.inner.view.write() = opening.view;
    }
}

impl Opening {
    /// What refreshing goes on from.
    pub(super) fn followed(&mut self) -> Followed {
        Followed {
            published: self.published.clone(),
            losses: self.manifest.losses.clone(),
            applied: self.applied,
            lag: self.lag,
            position: self.position.take(),
        }
    }
}

impl Inner {
    /// What is shown, and what the log has beyond that. `None`: more than that has changed.
    fn go_on(&self, disk: &Disk, followed: Followed) -> Option<Opening> {
        let backing: &dyn Backing = &*disk.backing;
        let published = Manifest::read(backing).ok()??;
        if !followed.published.is_followed_by(&published) {
            return None;
        }
        let mut opening = Opening::of(published, &self.options);
        opening.manifest.losses = followed.losses;
        (opening.applied, opening.lag) = (followed.applied, followed.lag);
        opening.view = self.view.read().clone();
        let mut logs = opening.published.logs.clone().into_iter();
        if let Some(position) = followed.position {
            let log = logs.find(|log| log.number == position.number)?;
            opening.replay_rest(backing, &self.index, &log, position).ok().filter(|same| *same)?;
        }
        for log in logs {
            opening.replay_log(backing, &self.index, (false, true), &log, false).ok()?;
        }
        opening.beside_a_writer();
        opening.view.losses = opening.manifest.losses.as_slice().into();
        Some(opening)
    }
}

impl Manifest {
    /// Whether nothing but the log differs in a later one, which has the files of the log that this one has, and perhaps more.
    fn is_followed_by(&self, later: &Self) -> bool {
        let own = self.logs.iter().map(|log| (log.number, log.first));
        let same_logs = later.logs.iter().map(|log| (log.number, log.first)).take(self.logs.len()).eq(own);
        same_logs
            && self.store == later.store
            && self.segments == later.segments
            && self.tombstones == later.tombstones
            && self.losses == later.losses
    }
}
