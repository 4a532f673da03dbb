//! Numbers for what is left of label sets when some labels are left out: groups, signatures, histograms.

use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::model::Labels;

/// Numbers label sets by the labels that `keep` accepts by name, in the order in which they come.
///
/// Label sets share their texts, so that most are known by the addresses of these, without a look at the texts. The sets
/// have to live for as long as the numbers are given.
pub(super) struct Subsets<F> {
    keep: F,
    /// By the address of a name: whether it is kept.
    names: SmallVec<[(usize, bool); 16]>,
    by_addresses: HashMap<SmallVec<[usize; 8]>, usize>,
    by_labels: HashMap<Labels, usize>,
}

/// More names than this, and each is looked at.
const KNOWN_NAMES: usize = 64;

impl<F: Fn(&str) -> bool> Subsets<F> {
    pub(super) fn new(keep: F) -> Self {
        Self { keep, names: SmallVec::new(), by_addresses: HashMap::new(), by_labels: HashMap::new() }
    }

    /// The number of a set, and, if it is a new one, what is left of the labels.
    pub(super) fn number(&mut self, labels: &Labels) -> (usize, Option<Labels>) {
        let Self { keep, names, by_addresses, by_labels } = self;
        let mut addresses: SmallVec<[usize; 8]> = SmallVec::new();
        for label in labels {
            let name = address(&label.name);
            let kept = match names.iter().find(|(known, _)| *known == name) {
                Some((_, kept)) => *kept,
                None => {
                    let kept = keep(&label.name);
                    if names.len() < KNOWN_NAMES {
                        names.push((name, kept));
                    }
                    kept
                }
            };
            if kept {
                addresses.extend([name, address(&label.value)]);
            }
        }
        if let Some(number) = by_addresses.get(&addresses) {
            return (*number, None);
        }
        let left = labels.filtered(|label| keep(&label.name));
        let next = by_labels.len();
        let number = *by_labels.entry(left.clone()).or_insert(next);
        by_addresses.insert(addresses, number);
        (number, (number == next).then_some(left))
    }

    /// The number of exactly these labels, if they have one.
    pub(super) fn known(&self, labels: &Labels) -> Option<usize> {
        self.by_labels.get(labels).copied()
    }
}

fn address(text: &Arc<str>) -> usize {
    Arc::as_ptr(text).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_equal_by_their_texts_wherever_these_lie() {
        let set = |a: &str, b: &str| Labels::from_pairs([("a", a), ("b", b), ("le", "1")]);
        let sets = [set("1", "x"), set("2", "x"), set("1", "y"), set("1", "x"), set("1", "")];
        let mut subsets = Subsets::new(|name| name == "a");
        let numbers: Vec<_> = sets.iter().map(|set| subsets.number(set)).collect();
        let left = |a: &str| Some(Labels::from_pairs([("a", a)]));
        assert_eq!(numbers, [(0, left("1")), (1, left("2")), (0, None), (0, None), (0, None)]);
        assert_eq!(subsets.known(&Labels::from_pairs([("a", "2")])), Some(1));
        assert_eq!(subsets.known(&sets[0]), None);
    }
}
