//! Bugs that tests plant, to see that they are caught. Without tests there are none.

/// A bug that the tests of crash safety must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A commit returns before its sync.
    AcknowledgeBeforeSync,
    /// A failed sync is tried again.
    RetrySync,
    ManifestNotSynced,
    NamesNotSynced,
    SegmentNotSynced,
    /// The name of a new file of the log is not synced before the manifest names it.
    LogNameNotSynced,
    /// The name of a new segment is not synced before the manifest names it.
    SegmentNameNotSynced,
    /// Logs are removed before the manifest that omits them is in place.
    LogsRemovedEarly,
    /// The checksum of a frame leaves its head out.
    HeadOutsideChecksum,
    /// Damage in the log is cut as if it were a torn end.
    SilentCut,
    /// What was replayed is copied, but the copy is not synced.
    CopyNotSynced,
    /// What was replayed is not copied.
    NotCopied,
    /// A flush leaves the logs in the manifest whose samples it has sealed.
    FlushKeepsLogs,
    /// A batch is visible although writing it failed.
    VisibleWithoutLog,
    /// Frames claim that what was only written is durable.
    WatermarkTooHigh,
    /// Files of the log that the manifest does not name are replayed as well.
    OrphansReplayed,
    /// A flush leaves out the newest row of every item.
    FlushMissesNewest,
    /// A flush drops the log that grows as well.
    FlushDropsNewLog,
    /// A new file of the log goes on with the old one's numbers.
    NumbersKept,
    /// The old file is not synced when a new one begins.
    OldLogNotSynced,
    /// A batch is written as two frames.
    HalfBatches,
    /// A segment's chunks are not verified.
    ChunksUnchecked,
    /// The last frame is taken for torn when a store is opened.
    LastFrameCut,
    /// A sync is taken to cover what was written while it ran.
    SyncCoversLater,
    /// The end of a sync wakes one of those that wait for it.
    OneWoken,
    /// Those that wait for a sync are not told that it failed.
    FailureNotTold,
    /// A new segment goes into a copy of the view, which replaces what was committed since.
    StaleSwap,
    /// A flush leaves out what came late.
    FlushMissesLate,
    /// What is deleted goes from the heads, and stays in segments.
    SegmentsKeepDeleted,
    /// Tombstones of the log are not replayed.
    TombstonesNotReplayed,
    /// A flush does not publish the tombstones of the logs that it drops.
    TombstonesLeftOut,
}

impl Bug {
    /// All that scripted lives show. The others take two threads, see `schedules`, or a deletion of too little to be written
    /// anew at once, see the tests of `maintain`.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) const ALL: &[Self] = &[
        Self::AcknowledgeBeforeSync,
        Self::RetrySync,
        Self::ManifestNotSynced,
        Self::NamesNotSynced,
        Self::SegmentNotSynced,
        Self::LogNameNotSynced,
        Self::SegmentNameNotSynced,
        Self::LogsRemovedEarly,
        Self::HeadOutsideChecksum,
        Self::SilentCut,
        Self::CopyNotSynced,
        Self::NotCopied,
        Self::FlushKeepsLogs,
        Self::VisibleWithoutLog,
        Self::WatermarkTooHigh,
        Self::OrphansReplayed,
        Self::FlushMissesNewest,
        Self::FlushDropsNewLog,
        Self::NumbersKept,
        Self::OldLogNotSynced,
        Self::HalfBatches,
        Self::ChunksUnchecked,
        Self::LastFrameCut,
        Self::FlushMissesLate,
        Self::SegmentsKeepDeleted,
        Self::TombstonesNotReplayed,
    ];
}

#[cfg(any(test, feature = "fuzzing"))]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in this thread, or takes it out.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn plant(bug: Option<Bug>) {
    PLANTED.with(|planted| planted.set(bug));
}

/// Whether this bug is planted in this thread.
#[inline]
pub(crate) fn planted(bug: Bug) -> bool {
    #[cfg(any(test, feature = "fuzzing"))]
    return PLANTED.with(|planted| planted.get() == Some(bug));
    #[cfg(not(any(test, feature = "fuzzing")))]
    {
        let _never = bug;
        false
    }
}
