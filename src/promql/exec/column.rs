//! The values of one series at every step.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::model::{NativeHistogram, SampleBuffer, is_stale, stale_marker};

/// What stands for "no float here": the staleness marker, which no selector hands on and no arithmetic makes.
const ABSENT: f64 = stale_marker();

/// The samples of one series, one slot per step.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// In place for an instant query.
    floats: SmallVec<[f64; 2]>,
    /// Empty, or one slot per step.
    histograms: Vec<Option<Arc<NativeHistogram>>>,
}

/// One sample of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ColumnSample<'a> {
    Float(f64),
    Histogram(&'a Arc<NativeHistogram>),
}

impl Column {
    /// A column without any sample.
    pub(crate) fn absent(steps: usize) -> Self {
        Self { floats: smallvec![ABSENT; steps], histograms: Vec::new() }
    }

    /// A column with the same float at every step.
    pub(crate) fn constant(value: f64, steps: usize) -> Self {
        Self { floats: smallvec![value; steps], histograms: Vec::new() }
    }

    /// A column of these floats.
    pub(crate) fn from_floats(floats: Vec<f64>) -> Self {
        Self { floats: floats.into(), histograms: Vec::new() }
    }

    /// How many steps there are.
    pub(crate) fn steps(&self) -> usize {
        self.floats.len()
    }

    /// The float at `step`.
    #[inline]
    pub(crate) fn float(&self, step: usize) -> Option<f64> {
        self.floats.get(step).copied().filter(|value| !is_stale(*value))
    }

    /// The histogram at `step`.
    #[inline]
    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<NativeHistogram>> {
        self.histograms.get(step).and_then(Option::as_ref)
    }

    /// The sample at `step`, of either kind.
    #[inline]
    pub(crate) fn sample(&self, step: usize) -> Option<ColumnSample<'_>> {
        match self.float(step) {
            Some(value) => Some(ColumnSample::Float(value)),
            None => self.histogram(step).map(ColumnSample::Histogram),
        }
    }

    /// Whether there is a sample of either kind at `step`.
    #[inline]
    pub(crate) fn is_present(&self, step: usize) -> bool {
        self.float(step).is_some() || self.histogram(step).is_some()
    }

    /// The first step that has a sample; past all if none has.
    pub(crate) fn first_step(&self) -> usize {
        (0..self.steps()).find(|step| self.is_present(*step)).unwrap_or(usize::MAX)
    }

    #[inline]
    pub(crate) fn set_float(&mut self, step: usize, value: f64) {
        if let Some(slot) = self.floats.get_mut(step) {
            *slot = value;
        }
    }

    pub(crate) fn set_histogram(&mut self, step: usize, value: Arc<NativeHistogram>) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.floats.len(), None);
        }
        if let Some(slot) = self.histograms.get_mut(step) {
            *slot = Some(value);
        }
    }

    /// Copies the sample that `from` has at `from_step` to `step`.
    pub(crate) fn copy_sample(&mut self, step: usize, from: &Self, from_step: usize) {
        match from.sample(from_step) {
            Some(ColumnSample::Float(value)) => self.set_float(step, value),
            Some(ColumnSample::Histogram(histogram)) => self.set_histogram(step, histogram.clone()),
            None => {}
        }
    }

    /// Removes the sample at `step`.
    pub(crate) fn remove(&mut self, step: usize) {
        self.set_float(step, ABSENT);
        if let Some(slot) = self.histograms.get_mut(step) {
            *slot = None;
        }
    }

    /// Whether there may be histograms.
    pub(crate) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// Removes all histograms.
    pub(crate) fn drop_histograms(&mut self) {
        self.histograms = Vec::new();
    }

    /// Replaces every float; `f` gets the step and the float.
    #[inline]
    pub(crate) fn map_floats(&mut self, mut f: impl FnMut(usize, f64) -> f64) {
        for (step, slot) in self.floats.iter_mut().enumerate() {
            if !is_stale(*slot) {
                *slot = f(step, *slot);
            }
        }
    }

    /// Changes a copy of every histogram.
    pub(crate) fn map_histograms(&mut self, mut f: impl FnMut(&mut NativeHistogram)) {
        for slot in self.histograms.iter_mut().flatten() {
            let mut copy = slot.copied();
            f(&mut copy);
            *slot = Arc::new(copy);
        }
    }

    /// All floats with their steps.
    #[inline]
    pub(crate) fn floats(&self) -> impl Iterator<Item = (usize, f64)> {
        self.floats.iter().copied().enumerate().filter(|(_, value)| !is_stale(*value))
    }

    /// All histograms with their steps.
    pub(crate) fn histograms(&self) -> impl Iterator<Item = (usize, &Arc<NativeHistogram>)> {
        self.histograms.iter().enumerate().filter_map(|(step, slot)| Some((step, slot.as_ref()?)))
    }

    /// Whether there is no sample.
    pub(crate) fn is_empty(&self) -> bool {
        self.floats.iter().all(|value| is_stale(*value)) && self.histograms.iter().all(Option::is_none)
    }

    /// How many samples there are, a histogram counting as many as its size is worth (16 bytes each).
    pub(crate) fn weight(&self) -> u64 {
        let floats = self.floats().count() as u64;
        self.histograms().fold(floats, |sum, (_, histogram)| sum.saturating_add(histogram_weight(histogram)))
    }

    /// Bytes of memory held.
    pub(crate) fn bytes(&self) -> u64 {
        (self.floats.len() as u64).saturating_add(self.histograms.len() as u64).saturating_mul(8)
    }

    /// Takes over the samples of `other` where there are none; false if a sample of the same kind is there already,
    /// or, with `any_kind`, one of either kind.
    pub(crate) fn merge(&mut self, other: &Self, any_kind: bool) -> bool {
        for step in 0..other.steps() {
            let float = other.float(step);
            let histogram = other.histogram(step);
            let collides = (any_kind && (float.is_some() || histogram.is_some()) && self.is_present(step))
                || (float.is_some() && self.float(step).is_some())
                || (histogram.is_some() && self.histogram(step).is_some());
            if collides {
                return false;
            }
            if let Some(value) = float {
                self.set_float(step, value);
            }
            if let Some(histogram) = histogram {
                self.set_histogram(step, histogram.clone());
            }
        }
        true
    }

    /// The column with the one sample of `self` at each of `steps` steps.
    pub(crate) fn repeated(&self, steps: usize) -> Self {
        let mut column = Self::absent(0);
        column.floats = smallvec![self.floats.first().copied().unwrap_or(ABSENT); steps];
        if let Some(Some(histogram)) = self.histograms.first() {
            column.histograms = vec![Some(histogram.clone()); steps];
        }
        column
    }
}

/// How many samples a buffer counts as in the limit on samples.
pub(crate) fn buffer_weight(buffer: &SampleBuffer) -> u64 {
    let histograms = buffer.histograms.iter().map(|(_, histogram, _)| histogram_weight(histogram));
    histograms.fold(buffer.times.len() as u64, u64::saturating_add)
}

/// How many float samples a histogram counts as in the limit on samples: Prometheus's rule.
pub(crate) fn histogram_weight(histogram: &NativeHistogram) -> u64 {
    let parts = [
        histogram.positive_spans.len(),
        histogram.negative_spans.len(),
        histogram.positive_buckets.len(),
        histogram.negative_buckets.len(),
        histogram.custom_values.len(),
    ];
    let size = parts.iter().fold(168_u64, |size, part| size.saturating_add((*part as u64).saturating_mul(8)));
    size.saturating_add(8) / 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_a_sample_and_the_marker_is_none() {
        let mut column = Column::absent(3);
        column.set_float(1, f64::NAN);
        assert!(column.float(0).is_none() && column.float(1).unwrap().is_nan());
        assert_eq!(column.weight(), 1);
        column.remove(1);
        assert!(column.is_empty());
    }

    #[test]
    fn columns_merge_unless_samples_meet() {
        let mut a = Column::absent(2);
        a.set_float(0, 1.0);
        let mut b = Column::absent(2);
        b.set_float(1, 2.0);
        assert!(a.merge(&b, true));
        assert_eq!((a.float(0), a.float(1)), (Some(1.0), Some(2.0)));
        assert!(!a.merge(&b, true));
    }

    #[test]
    fn kinds_only_collide_if_asked() {
        let mut a = Column::constant(1.0, 1);
        let mut b = Column::absent(1);
        b.set_histogram(0, Arc::new(NativeHistogram::default()));
        assert!(!a.clone().merge(&b, true));
        assert!(a.merge(&b, false));
    }
}
