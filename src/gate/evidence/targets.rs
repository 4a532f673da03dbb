//! The scrape targets that a source knows, by their series `up`.

use std::sync::Arc;

use hashbrown::HashMap;

use super::series::select;
use crate::error::Result;
use crate::gate::spec::Selector;
use crate::model::{Labels, Matcher, Timestamp};
use crate::source::{Series, Source};

/// All targets, read once for all gates that look at one instant.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// Every series `up`, in their order.
    ups: Vec<Series>,
    /// By the label `instance`, which of them.
    instances: HashMap<Arc<str>, Vec<usize>>,
    /// What the labels of a target carry, and the target: sorted, each pair once.
    carried: Vec<(Arc<str>, Arc<str>)>,
    /// By name and value of a label, how many of them have it.
    shared: HashMap<Arc<str>, HashMap<Arc<str>, usize>>,
}

impl Targets {
    pub(crate) fn read(source: &dyn Source, until: Timestamp) -> Result<Self> {
        let ups = select(source, &Selector::of(vec![Matcher::equal("__name__", "up")]), until)?;
        let mut targets = Self { ups, ..Self::default() };
        for (index, up) in targets.ups.iter().map(Series::labels).enumerate() {
            for label in up.iter() {
                let values = targets.shared.entry(label.name.clone()).or_default();
                let count = values.entry(label.value.clone()).or_default();
                *count = count.saturating_add(1);
            }
            let Some(instance) = up.label("instance").map(|label| &label.value) else { continue };
            targets.instances.entry(instance.clone()).or_default().push(index);
            let own = up.iter().filter(|label| &*label.name != "__name__");
            targets.carried.extend(own.map(|label| (label.value.clone(), instance.clone())));
        }
        targets.carried.sort_unstable();
        targets.carried.dedup();
        Ok(targets)
    }

    /// The labels of every series `up`.
    pub(super) fn all(&self) -> impl Iterator<Item = &Labels> {
        self.ups.iter().map(Series::labels)
    }

    /// Those of one target.
    pub(super) fn of(&self, instance: &str) -> impl Iterator<Item = &Labels> {
        self.ups_of(instance).map(Series::labels)
    }

    /// Its series `up`; several where several jobs scrape one address.
    pub(super) fn ups_of(&self, instance: &str) -> impl Iterator<Item = &Series> {
        let own = self.instances.get(instance).into_iter().flatten();
        own.filter_map(|index| self.ups.get(*index))
    }

    /// Whether every series `up` has this value of a label.
    pub(super) fn all_have(&self, name: &str, value: &str) -> bool {
        let count = self.shared.get(name).and_then(|values| values.get(value));
        count.copied().unwrap_or(0) == self.ups.len()
    }

    /// The targets that carry a value in some label, in order.
    pub(super) fn carrying(&self, value: &str) -> &[(Arc<str>, Arc<str>)] {
        let first = self.carried.partition_point(|(other, _)| **other < *value);
        let rest = self.carried.get(first..).unwrap_or_default();
        let count = rest.partition_point(|(other, _)| **other == *value);
        rest.get(..count).unwrap_or_default()
    }
}
