//! What a segment is made of: items in the order of their labels, and the samples of each in the order of time.

use std::sync::Arc;

use super::super::head::common_layout;
use super::super::index::{Index, ItemRef, SeriesRef};
use super::super::segment::{PartKind, Run};
use super::super::sync::RwLock;
use crate::chunk::{Chunk, Column, FamilyBuffer, Merged, Wanted, is_rising, overlapping};
use crate::error::Result;
use crate::model::{Labels, SampleBuffer, Timestamp, Window};

/// One item of a segment to be.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) labels: Labels,
    pub(super) series: SeriesRef,
    pub(super) kind: PartKind,
}

impl Planned {
    /// `None`: there is no such series.
    pub(super) fn of(index: &Index, series: SeriesRef, is_family: bool) -> Option<Self> {
        let item = index.item(series.item)?;
        let (labels, kind) = match item {
            ItemRef::Family { columns, .. } if !is_family => {
                (item.to_item().series_labels(columns.get(series.column as usize)?), PartKind::Column)
            }
            ItemRef::Family { labels, .. } => (labels.clone(), PartKind::Family),
            ItemRef::Single(labels) => (labels.clone(), PartKind::Single),
        };
        Some(Self { labels, series, kind })
    }

    pub(super) fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.labels.cmp(&other.labels).then(self.kind.cmp(&other.kind))
    }
}

/// Chunks of one item as runs in the order of time, whatever the order in which they come and whether they overlap.
pub(super) fn ordered_runs(chunks: Vec<Chunk>, window: Window, index: &RwLock<Index>) -> Result<Vec<Run>> {
    if is_rising(&chunks) {
        return runs_of(&chunks, window);
    }
    let mut ordered = Vec::new();
    for group in overlapping(chunks, |chunk| chunk.time_range()) {
        if group.len() < 2 {
            ordered.extend(group);
        } else if let Some(layout) = common_layout(&group) {
            ordered.push(Merged::rows(group, layout));
        } else if group.iter().any(|chunk| chunk.layout().is_some()) {
            let layouts = group.iter().filter_map(|chunk| chunk.layout());
            let columns: Vec<Column> = layouts.flat_map(|layout| layout.columns()).cloned().collect();
            let layout = index.write().layout(&columns);
            ordered.push(Merged::rows(group, layout));
        } else {
            ordered.push(Merged::series(group.into_iter().map(|chunk| (chunk, 0)).collect()));
        }
    }
    runs_of(&ordered, window)
}

/// The same run in parts of at most so many rows.
pub(super) fn split(run: Run, most_rows: usize) -> Result<Vec<Run>> {
    let times = run.times();
    if times.len() <= most_rows {
        return Ok(vec![run]);
    }
    let mut parts = Vec::new();
    for part in times.chunks(most_rows.max(1)) {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
        let after = Timestamp::from_millis(first.saturating_sub(1));
        let window = Window::new(after, Timestamp::from_millis(*last));
        parts.push(match &run {
            Run::Samples(samples) => {
                let mut inside = SampleBuffer::default();
                Chunk::Columns(Arc::new(samples.clone())).read(0, window, &mut inside)?;
                Run::Samples(inside)
            }
            Run::Rows(layout, rows) => {
                let mut inside = FamilyBuffer::default();
                inside.extend_inside(rows, window);
                Run::Rows(layout.clone(), inside)
            }
        });
    }
    Ok(parts)
}

/// The chunks of one item as runs of at most so many rows. Chunks are put together only where that takes fewer bytes: at a
/// change of what a series does it takes more. Nor are they where one of the times in `between` may lie between them: there
/// the item has samples as rows and as columns by turns, and the chunks of a column must follow each other.
pub(super) fn merged_runs(chunks: &[Chunk], between: &[(i64, i64)], most_rows: usize) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut group: Option<(Run, usize)> = None;
    let mut since = None;
    for chunk in chunks {
        let Some((first, last)) = chunk.time_range() else { continue };
        let start = *since.get_or_insert(first);
        if between.iter().any(|(from, until)| *until > start && *from < last) {
            runs.extend(group.take().map(|(run, _)| run));
            since = Some(first);
        }
        let Some(own) = runs_of(std::slice::from_ref(chunk), Window::ALL)?.pop() else { continue };
        let Chunk::Sealed(sealed) = chunk else { continue };
        let own_bytes = sealed.place.length as usize;
        group = Some(match group.take() {
            None => (own, own_bytes),
            Some((before, bytes)) => match before.joined(&own, most_rows) {
                Some((joined, joined_bytes)) if joined_bytes <= bytes.saturating_add(own_bytes) => {
                    (joined, joined_bytes)
                }
                _ => {
                    runs.push(before);
                    since = Some(first);
                    (own, own_bytes)
                }
            },
        });
    }
    runs.extend(group.map(|(run, _)| run));
    Ok(runs)
}

/// Chunks of one item that come one behind the other as runs: of a histogram one for each stretch of one layout.
fn runs_of(chunks: &[Chunk], window: Window) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let same = |a: &Chunk, b: &Chunk| match (a.layout(), b.layout()) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    };
    for part in chunks.chunk_by(same) {
        match part.first().and_then(|chunk| chunk.layout()) {
            Some(layout) => {
                let mut rows = FamilyBuffer::default();
                part.iter().try_for_each(|chunk| chunk.read_rows(window, Wanted::All, &mut rows))?;
                runs.push(Run::Rows(layout.clone(), rows));
            }
            None => {
                let mut samples = SampleBuffer::default();
                part.iter().try_for_each(|chunk| chunk.read(0, window, &mut samples))?;
                runs.push(Run::Samples(samples));
            }
        }
    }
    Ok(runs)
}
