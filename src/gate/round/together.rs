//! Questions of a round that differ in one value alone, such as the hash of each canary's pods: asked together, by one pass over
//! the series of all, and handed out one by one.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};

use crate::model::{MatchOp, Matcher, Window};
use crate::source::{Item, SelectRequest, SeriesSet};

/// So many values are asked for at once, so that no answer is larger than it has to be.
const AT_ONCE: usize = 250;
/// As few questions are asked one by one.
const FEW: usize = 3;
/// What series have these labels is not told by their items.
const OF_COLUMNS: [&str; 2] = ["__name__", "le"];

/// Questions that are alike but for the value of one matcher.
#[derive(Debug)]
struct Group {
    /// One of the questions, and which matcher differs.
    like: Arc<[Matcher]>,
    differs: usize,
    values: Vec<Box<str>>,
}

impl Group {
    /// Whether a question is one of the group, by all but the value that differs.
    fn fits(&self, matchers: &[Matcher]) -> bool {
        let pairs = || self.like.iter().zip(matchers).enumerate();
        self.like.len() == matchers.len()
            && pairs().all(
                |(index, (one, other))| {
                    if index == self.differs { one.name() == other.name() } else { one == other }
                },
            )
    }
}

/// Where the answer to a question is: the group and the number of its value.
type Place = (usize, usize);

/// The questions that a round expects, and answers to them.
#[derive(Debug, Default)]
pub(super) struct Together {
    hasher: DefaultHashBuilder,
    groups: Vec<Group>,
    /// By the hash of a question.
    places: HashMap<u64, Place>,
    answers: HashMap<(Place, Window, bool), SeriesSet>,
    asked: HashSet<(usize, usize, Window, bool)>,
}

/// Hashes of a question's matchers that tell it, and all that differ from it in one value, from others.
struct Hashes {
    whole: u64,
    /// For each matcher whose value may differ: its number, the hash of the question without the value, that of the value.
    without: Vec<(usize, u64, u64)>,
}

impl Together {
    /// Those of these questions of which many differ in one value alone.
    pub(super) fn of<'a>(questions: impl Iterator<Item = &'a [Matcher]>) -> Self {
        let mut together = Self::default();
        let questions: Vec<(&[Matcher], Hashes)> =
            questions.map(|matchers| (matchers, together.hashes(matchers))).collect();
        // How many differ from the first one that is like them.
        let mut others: HashMap<u64, (u64, usize)> = HashMap::new();
        for (_, without, value) in questions.iter().flat_map(|(_, hashes)| &hashes.without) {
            let (first, count) = others.entry(*without).or_insert((*value, 0));
            *count = count.saturating_add(usize::from(first != value));
        }
        let mut groups: HashMap<u64, usize> = HashMap::new();
        for (matchers, hashes) in questions {
            let count = |without: &u64| others.get(without).map_or(0, |(_, count)| *count);
            let most = hashes.without.iter().max_by_key(|(_, without, _)| count(without));
            let Some((differs, without, _)) = most.filter(|(_, without, _)| count(without) >= FEW) else {
                continue;
            };
            let Some(value) = matchers.get(*differs).and_then(value_of) else { continue };
            let group = *groups.entry(*without).or_insert_with(|| {
                let group = Group { like: matchers.into(), differs: *differs, values: Vec::new() };
                together.groups.push(group);
                together.groups.len().saturating_sub(1)
            });
            let Some(members) = together.groups.get_mut(group).filter(|members| members.fits(matchers))
            else {
                continue;
            };
            together.places.entry(hashes.whole).or_insert_with(|| {
                members.values.push(value.into());
                (group, members.values.len().saturating_sub(1))
            });
        }
        together
    }

    fn hashes(&self, matchers: &[Matcher]) -> Hashes {
        let hash = |index: usize, matcher: &Matcher| self.hasher.hash_one((index, matcher));
        let whole = matchers.iter().enumerate().map(|(index, matcher)| hash(index, matcher));
        let whole = whole.fold(0, u64::wrapping_add);
        let may_differ = matchers
            .iter()
            .enumerate()
            .filter(|(_, matcher)| value_of(matcher).is_some() && !OF_COLUMNS.contains(&matcher.name()));
        let without = may_differ.map(|(index, matcher)| {
            let without = whole.wrapping_sub(hash(index, matcher));
            let name = self.hasher.hash_one((index, matcher.name()));
            (index, without.wrapping_add(name), self.hasher.hash_one(matcher.value()))
        });
        Hashes { whole, without: without.collect() }
    }

    /// Whether nothing is asked together.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Where the answer to a question is, if it is one of those.
    pub(super) fn place(&self, matchers: &[Matcher]) -> Option<Place> {
        let hash = |(index, matcher): (usize, &Matcher)| self.hasher.hash_one((index, matcher));
        let whole = matchers.iter().enumerate().map(hash).fold(0, u64::wrapping_add);
        let (group, number) = *self.places.get(&whole)?;
        let members = self.groups.get(group).filter(|members| members.fits(matchers))?;
        let value = matchers.get(members.differs).and_then(value_of)?;
        (members.values.get(number).map(AsRef::as_ref) == Some(value)).then_some((group, number))
    }

    /// The answer, if it is there.
    pub(super) fn answer(&self, place: Place, request: &SelectRequest<'_>) -> Option<&SeriesSet> {
        self.answers.get(&(place, request.window, request.families))
    }

    /// What to ask in place of a question, for all that are like it; none if that was done.
    pub(super) fn question(&mut self, place: Place, request: &SelectRequest<'_>) -> Option<Vec<Matcher>> {
        let (group, number) = place;
        let part = number / AT_ONCE;
        if !self.asked.insert((group, part, request.window, request.families)) {
            return None;
        }
        let group = self.groups.get(group)?;
        let values = group.values.chunks(AT_ONCE).nth(part).filter(|values| values.len() > FEW)?;
        let mut matchers = group.like.to_vec();
        let differs = matchers.get_mut(group.differs)?;
        let pattern = values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join("|");
        *differs = Matcher::new(differs.name(), MatchOp::Matches, pattern).ok()?;
        Some(matchers)
    }

    /// Takes the answer to [`question`](Self::question) apart.
    pub(super) fn learn(&mut self, (group, number): Place, request: &SelectRequest<'_>, all: SeriesSet) {
        let first = (number / AT_ONCE).saturating_mul(AT_ONCE);
        let Some(members) = self.groups.get(group) else { return };
        let Some(name) = members.like.get(members.differs).map(Matcher::name) else { return };
        let values = members.values.iter().enumerate().skip(first).take(AT_ONCE);
        let mut sets: HashMap<&str, (usize, SeriesSet)> =
            values.map(|(number, value)| (&**value, (number, SeriesSet::default()))).collect();
        for item in all.items {
            // A family would make the labels of its buckets, of which those that may differ are no other.
            let labels = match &item {
                Item::Family(family) => family.shared_labels(),
                Item::Series(series) => series.labels(),
            };
            let value = labels.label(name).map(|label| label.value.clone());
            if let Some((_, set)) = value.and_then(|value| sets.get_mut(&*value)) {
                set.items.push(item);
            }
        }
        for (number, set) in sets.into_values() {
            self.answers.insert(((group, number), request.window, request.families), set);
        }
    }
}

/// The value that a matcher asks for, if it is one that a series has.
fn value_of(matcher: &Matcher) -> Option<&str> {
    let asks = matcher.op() == MatchOp::Equal && !matcher.value().is_empty();
    std::str::from_utf8(matcher.value()).ok().filter(|_| asks)
}

/// A pattern that matches this text alone.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question(metric: &str, hash: &str, code: &str) -> Vec<Matcher> {
        [("__name__", metric), ("hash", hash), ("code", code)]
            .map(|(name, value)| Matcher::equal(name, value))
            .to_vec()
    }

    fn expecting(questions: &[Vec<Matcher>]) -> Together {
        Together::of(questions.iter().map(Vec::as_slice))
    }

    #[test]
    fn many_that_differ_in_one_value_are_one_question() {
        let mut all: Vec<_> = (0..600).map(|hash| question("a", &format!("h.{hash}"), "500")).collect();
        // Twice, as by two checks, and some that are like none or few of them.
        all.extend(all.clone());
        all.extend([question("b", "h.1", "500"), question("a", "h.1", "200"), question("b", "h.2", "500")]);
        let mut together = expecting(&all);
        assert_eq!((together.groups.len(), together.places.len()), (1, 600));
        let window = Window::new(crate::model::Timestamp::MIN, crate::model::Timestamp::from_secs(5));
        let mut asked = Vec::new();
        for question in &all {
            let Some(place) = together.place(question) else { continue };
            asked.extend(together.question(place, &SelectRequest::new(question, window)));
        }
        assert_eq!(asked.len(), 3);
        let pattern = String::from_utf8_lossy(asked[0][1].value()).into_owned();
        assert!(pattern.starts_with(r"h\.0|h\.1|h\.2|"), "{pattern}");
        assert!(asked[0][1].matches("h.7") && !asked[0][1].matches("hx7"));
        for other in [question("b", "h.1", "500"), question("a", "h.1", "200"), question("a", "", "500")] {
            assert_eq!(together.place(&other), None);
        }
    }

    #[test]
    fn few_questions_and_names_of_metrics_are_asked_one_by_one() {
        let few: Vec<_> = ["a", "b", "c"].map(|hash| question("m", hash, "500")).to_vec();
        assert!(expecting(&few).is_empty());
        let metrics: Vec<_> = (0..50).map(|metric| question(&format!("m{metric}"), "a", "500")).collect();
        assert!(expecting(&metrics).is_empty());
    }

    proptest! {
        #[test]
        fn a_quoted_text_matches_itself_alone(text in "\\PC{1,12}", other in "\\PC{0,12}") {
            let matcher = Matcher::new("a", MatchOp::Matches, quoted(&text)).unwrap();
            prop_assert!(matcher.matches(&text));
            prop_assert_eq!(matcher.matches(&other), text == other);
        }
    }
}
