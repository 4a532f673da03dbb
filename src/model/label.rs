//! Labels: what tells one series from another.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use hashbrown::HashSet;
use smallvec::SmallVec;

/// The label that holds the metric name.
pub(crate) const METRIC_NAME: &str = "__name__";
/// The label that holds the metric's type where the source gives it.
pub(crate) const METRIC_TYPE: &str = "__type__";
/// The label that holds the metric's unit where the source gives it.
pub(crate) const METRIC_UNIT: &str = "__unit__";
/// The label that holds a classic histogram bucket's upper bound.
pub(crate) const BUCKET_BOUND: &str = "le";

/// Whether `name` is one of the labels that "drop the name" removes.
pub(crate) fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | METRIC_TYPE | METRIC_UNIT)
}

/// One label: a name and a value that is not empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// The label's name.
    pub name: Arc<str>,
    /// The label's value.
    pub value: Arc<str>,
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}", self.name, self.value)
    }
}

/// A set of labels, sorted by name, each name once, no empty values. Cheap to clone.
///
/// Sets compare by the first label that differs, its name before its value; a prefix is smaller.
///
/// ```
/// use promgate::Labels;
///
/// let labels = Labels::from_pairs([("job", "api"), ("__name__", "up"), ("zone", "")]);
/// assert_eq!(labels.to_string(), r#"{__name__="up", job="api"}"#);
/// assert_eq!(labels.get("job"), Some("api"));
/// assert_eq!(labels.get("zone"), None);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    pairs: Arc<[Label]>,
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        // Names and values are shared by many sets, so that most need no look at their text.
        let compare = |a: &Arc<str>, b: &Arc<str>| if Arc::ptr_eq(a, b) { Ordering::Equal } else { a.cmp(b) };
        for (a, b) in self.iter().zip(other) {
            let order = compare(&a.name, &b.name).then_with(|| compare(&a.value, &b.value));
            if order.is_ne() {
                return order;
            }
        }
        self.len().cmp(&other.len())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self { pairs: Arc::from([]) }
    }

    /// The set of these pairs; of a repeated name the last one holds, empty values are left out.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Arc<str>>,
        V: Into<Arc<str>>,
    {
        let label = |(name, value): (N, V)| Label { name: name.into(), value: value.into() };
        let mut labels: Vec<Label> = pairs.into_iter().map(label).collect();
        // Stable, so that of a name the last one comes last.
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        labels.dedup_by(|later, kept| {
            let same = later.name == kept.name;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        labels.retain(|label| !label.value.is_empty());
        Self::from_sorted(labels)
    }

    /// The set of these labels, which must be sorted by name, without repeated names or empty values.
    pub(crate) fn from_sorted(pairs: impl Into<Arc<[Label]>>) -> Self {
        let pairs = pairs.into();
        debug_assert!(pairs.windows(2).all(|pair| matches!(pair, [a, b] if a.name < b.name)));
        debug_assert!(pairs.iter().all(|label| !label.value.is_empty()));
        Self { pairs }
    }

    /// The value of label `name`, if it is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.label(name).map(|label| &*label.value)
    }

    /// The label `name`, if it is there.
    pub fn label(&self, name: &str) -> Option<&Label> {
        // A dozen labels at most, as a rule: a scan beats bisection.
        self.pairs.iter().find(|label| &*label.name == name)
    }

    /// The metric name, or "" without one.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Whether both are clones of one set; sets that differ here may still be equal.
    pub(crate) fn same_pointer(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pairs, &other.pairs)
    }

    /// Reads a little of each stretch of memory that the labels take, but not of their texts.
    #[inline]
    pub(crate) fn touch(&self) -> usize {
        // Two of them lie in 64 bytes.
        self.pairs.iter().step_by(2).fold(0, |read, label| read ^ label.value.len())
    }

    /// Where the labels lie: their own for as long as a clone of them lives.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.pairs).addr()
    }

    /// Whether there are other clones of the set.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.pairs) > 1
    }

    /// The labels in name order.
    pub fn iter(&self) -> std::slice::Iter<'_, Label> {
        self.pairs.iter()
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The labels that `keep` accepts.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&Label) -> bool) -> Self {
        if self.pairs.iter().all(&mut keep) {
            return self.clone();
        }
        // Allocated once, and of the right size.
        let mut kept = SmallVec::<[Label; 16]>::new();
        kept.extend(self.pairs.iter().filter(|label| keep(label)).cloned());
        Self { pairs: kept.as_slice().into() }
    }

    /// The labels without metric name, type and unit: what is left when an operation changes the meaning.
    #[must_use]
    pub fn without_metadata(&self) -> Self {
        self.filtered(|label| !is_metadata(&label.name))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = &'a Label;
    type IntoIter = std::slice::Iter<'a, Label>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Labels {
    /// `{__name__="up", job="api"}`: sorted, the name included, values quoted as Prometheus quotes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, label) in self.pairs.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}={}", quoted_name(&label.name), super::number::quote(label.value.as_bytes()))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A label name as Prometheus prints it: plain where it may stand without quotes, else quoted.
pub(crate) fn quoted_name(name: &str) -> Cow<'_, str> {
    if is_plain_label_name(name) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(super::number::quote(name.as_bytes()))
    }
}

/// Whether `name` has the form `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn is_plain_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Builds a [`Labels`]: pairs in any order, the last value of a name holds, an empty value removes the label.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: SmallVec<[Label; 16]>,
}

impl LabelsBuilder {
    /// Without labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the labels of `base`.
    pub fn from_labels(base: &Labels) -> Self {
        Self { pairs: base.iter().cloned().collect() }
    }

    /// Sets label `name`; an empty value removes it.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> &mut Self {
        let label = Label { name: name.into(), value: value.into() };
        match self.pairs.binary_search_by(|other| other.name.cmp(&label.name)) {
            Ok(index) if label.value.is_empty() => {
                self.pairs.remove(index);
            }
            Ok(index) => {
                if let Some(slot) = self.pairs.get_mut(index) {
                    *slot = label;
                }
            }
            Err(_) if label.value.is_empty() => {}
            Err(index) => self.pairs.insert(index, label),
        }
        self
    }

    /// Removes label `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|label| &*label.name != name);
        self
    }

    /// Keeps the labels that `keep` accepts.
    pub fn retain(&mut self, mut keep: impl FnMut(&Label) -> bool) -> &mut Self {
        self.pairs.retain(|label| keep(label));
        self
    }

    /// The finished set.
    pub fn build(&self) -> Labels {
        Labels::from_sorted(self.pairs.iter().cloned().collect::<Arc<[Label]>>())
    }
}

/// So many names are soon compared with each other.
const FEW_NAMES: usize = 24;

/// The first name that has come before.
pub(crate) fn repeated_name<N: AsRef<str>, V>(pairs: &[(N, V)]) -> Option<&str> {
    let mut names = pairs.iter().map(|(name, _)| name.as_ref());
    if pairs.len() <= FEW_NAMES {
        let came_before = |(index, name): &(usize, &str)| {
            pairs.iter().take(*index).any(|(other, _)| other.as_ref() == *name)
        };
        return names.enumerate().find(came_before).map(|(_, name)| name);
    }
    let mut known = HashSet::with_capacity(pairs.len());
    names.find(|name| !known.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_the_last_of_a_name_holds() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "2"), ("b", "3"), ("c", "4"), ("c", "")]);
        assert_eq!(labels, Labels::from_pairs([("a", "2"), ("b", "3")]));
    }

    #[test]
    fn sets_compare_by_the_first_label_that_differs() {
        let set = |pairs: &[(&'static str, &'static str)]| Labels::from_pairs(pairs.iter().copied());
        assert!(set(&[("a", "1")]) < set(&[("a", "1"), ("b", "1")]));
        assert!(set(&[("a", "2")]) > set(&[("a", "1"), ("b", "1")]));
        assert!(set(&[("b", "1")]) > set(&[("a", "9")]));
    }

    #[test]
    fn names_that_are_not_plain_are_quoted() {
        let labels = Labels::from_pairs([("a.b", "x\"y"), ("c", "\n")]);
        assert_eq!(labels.to_string(), r#"{"a.b"="x\"y", c="\n"}"#);
    }

    #[test]
    fn dropping_the_name_drops_type_and_unit_as_well() {
        let labels =
            Labels::from_pairs([("__name__", "m"), ("__type__", "gauge"), ("__unit__", "s"), ("a", "1")]);
        assert_eq!(labels.without_metadata(), Labels::from_pairs([("a", "1")]));
    }
}
