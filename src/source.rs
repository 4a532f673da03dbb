//! The seam under PromQL: where series come from.
//!
//! A local snapshot, a remote Prometheus and a test's fixture implement [`Source`] alike. What a source returns
//! is *items* in label order: single series, or, when the request asks for them, classic histograms as
//! [`Family`], whose buckets, count and sum are columns of one thing.

mod custom_buckets;
#[cfg(test)]
pub(crate) mod fixture;
mod watched;

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

pub use custom_buckets::CustomBuckets;
pub(crate) use watched::Watched;

use crate::chunk::{Chunk, Column, Wanted};
pub(crate) use crate::chunk::{FamilyBuffer, FamilyEnds, Layout};
use crate::error::Result;
use crate::model::label::METRIC_NAME;
use crate::model::{Label, Labels, Loss, Matcher, SampleBuffer, SeriesExemplars, Window};

/// Series that PromQL can read: the local store, a remote Prometheus or Thanos, a fixture in a test.
pub trait Source: Send + Sync {
    /// Series accepted by every matcher that have a chunk touching the window, ordered by labels.
    ///
    /// A series may come without any sample inside the window: reading decides. The same labels come once.
    ///
    /// # Errors
    ///
    /// Whatever keeps the source from answering: a limit, damaged bytes, a connection.
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet>;

    /// The values of label `name` among the series accepted by every matcher with a chunk touching the window,
    /// sorted, each once.
    ///
    /// # Errors
    ///
    /// As [`select`](Self::select).
    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<Vec<Arc<str>>> {
        let set = self.select(&SelectRequest::new(matchers, window))?;
        let mut values: Vec<Arc<str>> = set
            .items
            .iter()
            .filter_map(|item| item.labels().label(name).map(|label| label.value.clone()))
            .collect();
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    /// What the source knows to be missing or doubtful within the window, oldest record first; by default nothing.
    ///
    /// A gate never passes on a window that a loss touches. Losses that somebody has acknowledged are left out. Like
    /// everything else that a snapshot answers, this has to stay the same for as long as the data do.
    fn losses(&self, window: Window) -> Vec<Loss> {
        let _ = window;
        Vec::new()
    }

    /// The exemplars within the window of the series accepted by every matcher, in label order; by default none.
    ///
    /// # Errors
    ///
    /// As [`select`](Self::select).
    fn exemplars(&self, matchers: &[Matcher], window: Window) -> Result<Vec<SeriesExemplars>> {
        let _ = (matchers, window);
        Ok(Vec::new())
    }

    /// The same of the series that a request asks for; by default everything that is missing within its window. A source may
    /// know of losses that concern some of its series only.
    fn losses_of(&self, request: &SelectRequest<'_>) -> Vec<Loss> {
        self.losses(request.window)
    }
}

/// What is asked of a [`Source`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SelectRequest<'a> {
    /// A series is selected if every matcher accepts it.
    pub matchers: &'a [Matcher],
    /// Only samples inside are wanted: open on the left, closed on the right.
    pub window: Window,
    /// Whether a classic histogram may come as a [`Family`]. A source may ignore this and return its series.
    pub families: bool,
}

impl<'a> SelectRequest<'a> {
    /// A request for single series.
    pub const fn new(matchers: &'a [Matcher], window: Window) -> Self {
        Self { matchers, window, families: false }
    }

    /// The same request, taking classic histograms as families where the source has them.
    #[must_use]
    pub const fn with_families(mut self) -> Self {
        self.families = true;
        self
    }
}

/// The answer of a [`Source`], in label order.
#[derive(Clone, Debug, Default)]
pub struct SeriesSet {
    /// The items, ordered by labels; a family stands where its labels, those of the base name, sort.
    pub items: Vec<Item>,
}

/// One selected thing.
#[derive(Clone, Debug)]
pub enum Item {
    /// A single series.
    Series(Series),
    /// A classic histogram whose columns are wanted together.
    Family(Family),
}

impl Item {
    /// The item's labels; for a family those that its buckets share.
    pub fn labels(&self) -> &Labels {
        match self {
            Self::Series(series) => &series.labels,
            Self::Family(family) => family.labels(),
        }
    }
}

impl Item {
    /// The order of items, which is that of their labels.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            // Where the names are the same it does not matter how they read.
            (Self::Family(a), Self::Family(b)) if Arc::ptr_eq(&a.bucket_name, &b.bucket_name) => {
                a.shared.cmp(&b.shared)
            }
            (a, b) => a.labels().cmp(b.labels()),
        }
    }
}

/// A series: its labels and the chunks that hold its samples.
#[derive(Clone, Debug)]
pub struct Series {
    labels: Labels,
    chunks: SmallVec<[SeriesChunk; 2]>,
}

/// The part of a series that one chunk holds.
#[derive(Clone, Debug)]
pub(crate) struct SeriesChunk {
    /// The chunk; a family's chunk is shared by its series.
    pub(crate) chunk: Chunk,
    /// Which of the chunk's columns; 0 in a chunk of a single series.
    pub(crate) column: usize,
}

impl Series {
    /// A series with all its samples in memory: what a fixture or a remote source builds.
    pub fn from_samples(labels: Labels, samples: SampleBuffer) -> Self {
        let chunk = SeriesChunk { chunk: Chunk::Columns(Arc::new(samples)), column: 0 };
        Self { labels, chunks: SmallVec::from_iter([chunk]) }
    }

    /// A series over these chunks, which must be in time order.
    pub(crate) fn from_chunks(labels: Labels, chunks: SmallVec<[SeriesChunk; 2]>) -> Self {
        Self { labels, chunks }
    }

    /// Takes the chunks of another part of the same series. `false`: it is another series, and nothing was done.
    pub(crate) fn join(&mut self, other: &mut Self) -> bool {
        let is_same = self.labels == other.labels;
        if is_same {
            self.chunks.append(&mut other.chunks);
            self.chunks.sort_by_key(|part| part.chunk.time_range());
        }
        is_same
    }

    /// The series' labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Appends the samples inside the window to `into`, in time order, staleness markers included.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when a chunk's bytes are not what was written.
    pub fn read(&self, window: Window, into: &mut SampleBuffer) -> Result<()> {
        self.read_by_chunk(window, into, |_| Ok(()))
    }

    /// The same; `check` sees what has been read after every chunk, and may end the reading.
    pub(crate) fn read_by_chunk(
        &self,
        window: Window,
        into: &mut SampleBuffer,
        mut check: impl FnMut(&SampleBuffer) -> Result<()>,
    ) -> Result<()> {
        for part in &self.chunks {
            part.chunk.read(part.column, window, into)?;
            check(into)?;
        }
        Ok(())
    }
}

/// A classic histogram: one set of labels, its bucket, count and sum columns over shared times.
#[derive(Clone, Debug)]
pub struct Family {
    /// Under the base name.
    shared: Labels,
    /// The name of the buckets.
    bucket_name: Arc<str>,
    /// Made when they are asked for, which most queries do not.
    labels: OnceLock<Labels>,
    chunks: SmallVec<[Chunk; 2]>,
    layout: Arc<Layout>,
}

impl Family {
    /// A family over these chunks of rows, all of this layout and in time order. `shared`: the labels under the base name.
    pub(crate) fn from_chunks(
        shared: Labels,
        bucket_name: Arc<str>,
        layout: Arc<Layout>,
        chunks: SmallVec<[Chunk; 2]>,
    ) -> Self {
        Self { shared, bucket_name, labels: OnceLock::new(), chunks, layout }
    }

    /// The labels that all buckets share: those of `x_bucket` without `le`.
    pub fn labels(&self) -> &Labels {
        self.labels.get_or_init(|| {
            let renamed = self.shared.iter().map(|label| match &*label.name {
                METRIC_NAME => Label { name: label.name.clone(), value: self.bucket_name.clone() },
                _ => label.clone(),
            });
            Labels::from_sorted(renamed.collect::<Arc<[Label]>>())
        })
    }

    /// The same labels under the base name.
    pub(crate) fn shared_labels(&self) -> &Labels {
        &self.shared
    }

    /// The columns of a row.
    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The upper bounds of the buckets, not falling; they are the first columns of a row.
    pub fn bounds(&self) -> &[f64] {
        self.layout.bounds()
    }

    /// The `le` value of bucket `index` as it is written.
    pub fn bound_text(&self, index: usize) -> Option<&Arc<str>> {
        match self.layout.columns().get(index) {
            Some(Column::Bucket(text)) => Some(text),
            _ => None,
        }
    }

    /// Appends the rows inside the window to `into`, which has to be empty, in time order. Staleness markers are
    /// included.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when a chunk's bytes are not what was written.
    pub fn read(&self, window: Window, into: &mut FamilyBuffer) -> Result<()> {
        self.chunks.iter().try_for_each(|chunk| chunk.read_rows(window, Wanted::All, into))
    }

    /// The same without the sums, whose column then holds nothing of use: sealed chunks keep them apart.
    pub(crate) fn read_counts(&self, window: Window, into: &mut FamilyBuffer) -> Result<()> {
        self.chunks.iter().try_for_each(|chunk| chunk.read_rows(window, Wanted::Counts, into))
    }

    /// How many chunks there are.
    pub(crate) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Reads a little of what is in memory.
    pub(crate) fn touch(&self) -> u64 {
        self.chunks.last().map_or(0, |chunk| chunk.touch()) ^ self.shared.touch() as u64
    }

    /// The first and the last row inside the window, if all rows are in memory and known to be whole and only to grow. `false`:
    /// they are not, or there are fewer than two, and nothing can be said about `into`.
    pub(crate) fn read_ends(&self, window: Window, into: &mut FamilyEnds) -> Result<bool> {
        match self.chunks.as_slice() {
            [chunk] => chunk.read_ends(window, into),
            _ => Ok(false),
        }
    }
}
