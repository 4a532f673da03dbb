//! What a store has to hold: samples by series, in the order of time.

use std::collections::{HashMap, VecDeque};

use promgate::{Item, Labels, SampleBuffer, SelectRequest, Snapshot, Source, Window};

/// Times and bits of values.
type Samples = VecDeque<(i64, u64)>;

#[derive(Default)]
pub(crate) struct Model {
    series: HashMap<Labels, Samples>,
}

impl Model {
    pub(crate) fn add(&mut self, labels: &Labels, time: i64, value: f64) {
        if !self.series.contains_key(labels) {
            // A copy of its own: what the store keeps of the caller's labels is the store's.
            self.series.insert(
                Labels::from_pairs(labels.iter().map(|label| (&*label.name, &*label.value))),
                Samples::new(),
            );
        }
        let samples = self.series.get_mut(labels).unwrap();
        let place = samples.partition_point(|(before, _)| *before < time);
        samples.insert(place, (time, value.to_bits()));
    }

    /// Forgets everything up to a time.
    pub(crate) fn forget(&mut self, border: i64) {
        for samples in self.series.values_mut() {
            while samples.front().is_some_and(|(time, _)| *time <= border) {
                samples.pop_front();
            }
        }
        self.series.retain(|_, samples| !samples.is_empty());
    }

    /// Deletes the samples from `start` to `end` of the series that have both labels.
    pub(crate) fn delete(&mut self, with: [(&str, &str); 2], start: i64, end: i64) -> usize {
        let mut deleted = 0;
        for (labels, samples) in &mut self.series {
            if with.iter().all(|(name, value)| labels.get(name) == Some(*value)) {
                let before = samples.len();
                samples.retain(|(time, _)| *time < start || end < *time);
                deleted += before - samples.len();
            }
        }
        deleted
    }

    /// How many samples `snapshot` holds, which are these.
    pub(crate) fn assert_same(&self, snapshot: &Snapshot, what: &str) -> u64 {
        let set = snapshot.select(&SelectRequest::new(&[], Window::ALL)).unwrap();
        let (mut buffer, mut seen, mut count) = (SampleBuffer::default(), 0, 0);
        for item in &set.items {
            let Item::Series(series) = item else { panic!("no histogram was asked for as a whole") };
            buffer.clear();
            series.read(Window::ALL, &mut buffer).unwrap();
            if buffer.times.is_empty() {
                continue;
            }
            seen += 1;
            count += buffer.times.len() as u64;
            let found = buffer.times.iter().zip(&buffer.values).map(|(time, value)| (*time, value.to_bits()));
            let Some(wanted) = self.series.get(series.labels()) else {
                panic!("{what}: {} is too much: {:?}", series.labels(), buffer.times);
            };
            if !found.clone().eq(wanted.iter().copied()) {
                let place =
                    found.clone().zip(wanted.iter().copied()).position(|(found, wanted)| found != wanted);
                let (found, length): (Vec<_>, usize) = (found.collect(), wanted.len());
                let place = place.unwrap_or(found.len().min(length));
                panic!(
                    "{what}: {} has {} samples, {length} are wanted; at {place}: {:?}, wanted {:?}",
                    series.labels(),
                    found.len(),
                    found.get(place),
                    wanted.get(place),
                );
            }
        }
        let wanted = self.series.values().filter(|samples| !samples.is_empty()).count();
        assert_eq!(seen, wanted, "{what}: so many series");
        count
    }
}
