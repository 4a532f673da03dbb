//! A round of looks: what they ask alike of the source is asked once.
//!
//! The checks of a gate select the same series several times; gates of one fleet look at the same targets, and ask the same of
//! the same baseline. All looks of a round get one answer to one question, as looks at one instant should.

mod together;

use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use parking_lot::Mutex;

use self::together::Together;
use super::evidence::Targets;
use crate::error::Result;
use crate::model::{Loss, Matcher, SeriesExemplars, Timestamp, Window};
use crate::promql::{Engine, Evaluation, Query, Value};
use crate::source::{SelectRequest, SeriesSet, Source, Watched};

/// What a round remembers, in series, label values and samples; beyond it questions are asked anew.
const MAX_REMEMBERED: usize = 200_000;

/// A source that remembers its answers for as long as the looks at one instant take. Failures are not remembered.
pub(crate) struct Round<'a> {
    source: &'a dyn Source,
    now: Timestamp,
    engine: Engine,
    remembered: Mutex<Remembered>,
    together: Mutex<Together>,
    targets: OnceLock<Targets>,
}

/// The values of a label.
type LabelValues = Arc<[Arc<str>]>;

#[derive(Default)]
struct Remembered {
    sets: HashMap<(Vec<Matcher>, Window, bool), SeriesSet>,
    values: HashMap<(String, Vec<Matcher>, Window), LabelValues>,
    evaluations: HashMap<(String, At), (Arc<Evaluation>, Vec<Loss>)>,
    size: usize,
}

impl Remembered {
    /// Whether an answer of this size is remembered as well.
    fn takes(&mut self, size: usize) -> bool {
        let all = self.size.saturating_add(size).saturating_add(1);
        let takes = all <= MAX_REMEMBERED;
        if takes {
            self.size = all;
        }
        takes
    }
}

/// When a query is evaluated: at an instant, or at steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum At {
    Instant(Timestamp),
    Steps { start: Timestamp, end: Timestamp, step_ms: i64 },
}

/// What a query answers, and what may be missing where it looked.
pub(crate) struct Evaluated {
    pub(crate) evaluation: Result<Arc<Evaluation>>,
    pub(crate) losses: Vec<Loss>,
}

impl<'a> Round<'a> {
    pub(crate) fn new(source: &'a dyn Source, now: Timestamp) -> Self {
        Self {
            source,
            now,
            engine: Engine::new(),
            remembered: Mutex::default(),
            together: Mutex::default(),
            targets: OnceLock::new(),
        }
    }

    /// The same round, which asks together those of these questions that differ in one value alone.
    pub(crate) fn expecting<'q>(self, questions: impl Iterator<Item = &'q [Matcher]>) -> Self {
        Self { together: Mutex::new(Together::of(questions)), ..self }
    }

    /// The answer to a question that is asked together with others like it. None for any other, and where that fails: then it is
    /// asked alone.
    fn answer(&self, request: &SelectRequest<'_>) -> Option<SeriesSet> {
        let mut together = self.together.lock();
        if together.is_empty() {
            return None;
        }
        let place = together.place(request.matchers)?;
        if let Some(question) = together.question(place, request) {
            let all = self.source.select(&SelectRequest { matchers: &question, ..*request }).ok()?;
            if self.remembered.lock().takes(all.items.len()) {
                together.learn(place, request, all);
            }
        }
        together.answer(place, request).cloned()
    }

    /// The scrape targets that there are up to the instant of the round.
    pub(crate) fn targets(&self) -> Result<&Targets> {
        if let Some(targets) = self.targets.get() {
            return Ok(targets);
        }
        let targets = Targets::read(self.source, self.now)?;
        Ok(self.targets.get_or_init(|| targets))
    }

    /// As [`Source::label_values`].
    pub(crate) fn values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<LabelValues> {
        let key = (name.to_owned(), matchers.to_vec(), window);
        if let Some(values) = self.remembered.lock().values.get(&key) {
            return Ok(values.clone());
        }
        let values: LabelValues = self.source.label_values(name, matchers, window)?.into();
        let mut remembered = self.remembered.lock();
        if remembered.takes(values.len()) {
            remembered.values.insert(key, values.clone());
        }
        Ok(values)
    }

    /// What evaluates the round's queries: one for all, as an answer is known by its query's text.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Evaluates a query, and notes what may be missing where that looks.
    pub(crate) fn evaluate(&self, query: &Query, at: At) -> Evaluated {
        let key = (query.text().to_owned(), at);
        if let Some((evaluation, losses)) = self.remembered.lock().evaluations.get(&key) {
            return Evaluated { evaluation: Ok(evaluation.clone()), losses: losses.clone() };
        }
        let watched = Watched::new(self);
        let evaluation = match at {
            At::Instant(at) => self.engine.instant(&watched, query, at),
            At::Steps { start, end, step_ms } => self.engine.range(&watched, query, start, end, step_ms),
        };
        let (evaluation, losses) = (evaluation.map(Arc::new), watched.into_losses());
        if let Ok(evaluation) = &evaluation {
            let mut remembered = self.remembered.lock();
            if remembered.takes(size(&evaluation.value)) {
                remembered.evaluations.insert(key, (evaluation.clone(), losses.clone()));
            }
        }
        Evaluated { evaluation, losses }
    }
}

/// How many samples a value holds.
fn size(value: &Value) -> usize {
    match value {
        Value::Scalar(_) | Value::String(_) => 1,
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.iter().map(|one| one.samples.len().saturating_add(1)).sum(),
    }
}

impl Source for Round<'_> {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        if let Some(set) = self.answer(request) {
            return Ok(set);
        }
        let key = (request.matchers.to_vec(), request.window, request.families);
        if let Some(set) = self.remembered.lock().sets.get(&key) {
            return Ok(set.clone());
        }
        let set = self.source.select(request)?;
        let mut remembered = self.remembered.lock();
        if remembered.takes(set.items.len()) {
            remembered.sets.insert(key, set.clone());
        }
        Ok(set)
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<Vec<Arc<str>>> {
        self.values(name, matchers, window).map(|values| values.to_vec())
    }

    fn losses(&self, window: Window) -> Vec<Loss> {
        self.source.losses(window)
    }

    fn losses_of(&self, request: &SelectRequest<'_>) -> Vec<Loss> {
        self.source.losses_of(request)
    }

    fn exemplars(&self, matchers: &[Matcher], window: Window) -> Result<Vec<SeriesExemplars>> {
        self.source.exemplars(matchers, window)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::gate::fixture::Fixture;

    /// Counts what it is asked.
    struct Counting(Fixture, AtomicUsize);

    impl Source for Counting {
        fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.select(request)
        }
    }

    fn source() -> Fixture {
        ["a", "b"].iter().fold(Fixture::default(), |all, pod| {
            all.series(&[("__name__", "up"), ("instance", pod)], (0..100).step_by(10).map(|time| (time, 1.0)))
        })
    }

    #[test]
    fn equal_questions_are_asked_once_and_others_are_not_answered_by_them() {
        let counting = Counting(source(), AtomicUsize::new(0));
        let now = Timestamp::from_secs(100);
        let round = Round::new(&counting, now);
        let asked = || counting.1.load(Ordering::Relaxed);
        let select = |matchers: &[Matcher], until: i64| {
            let window = Window::new(Timestamp::MIN, Timestamp::from_secs(until));
            round.select(&SelectRequest::new(matchers, window)).unwrap().items.len()
        };
        let up = Matcher::equal("__name__", "up");
        let of_a = [up.clone(), Matcher::equal("instance", "a")];
        for _ in 0..3 {
            assert_eq!(
                (select(std::slice::from_ref(&up), 100), select(&of_a, 100), select(&of_a, 50)),
                (2, 1, 1)
            );
            assert_eq!(asked(), 3);
        }
        let query = round.engine().prepare("sum(up)").unwrap();
        let before = asked();
        for _ in 0..3 {
            let sum = round.evaluate(&query, At::Instant(now)).evaluation.unwrap();
            assert!(matches!(sum.value.clone(), Value::Vector(samples) if samples.len() == 1));
        }
        assert_eq!(asked(), before + 1);
        round.targets().unwrap();
        round.targets().unwrap();
        assert_eq!(asked(), before + 2);
    }

    #[test]
    fn questions_that_differ_in_one_value_are_asked_together_and_answered_one_by_one() {
        let pods = ["a", "b", "c+", "d", "e"];
        let fixture = pods.iter().take(4).fold(Fixture::default(), |all, pod| {
            let series = |code| [("__name__", "requests"), ("pod", *pod), ("code", code)];
            all.series(&series("200"), [(10, 1.0)]).series(&series("500"), [(10, 1.0)])
        });
        let question = |pod: &str| vec![Matcher::equal("__name__", "requests"), Matcher::equal("pod", pod)];
        let questions = pods.map(question);
        let now = Timestamp::from_secs(100);
        let window = Window::new(Timestamp::MIN, now);
        let found = |round: &Round<'_>, of: &[Matcher]| -> Vec<String> {
            let set = round.select(&SelectRequest::new(of, window)).unwrap();
            set.items.iter().map(|item| item.labels().to_string()).collect()
        };
        for families in [false, true] {
            let counting = Counting(fixture.clone(), AtomicUsize::new(0));
            let together = Round::new(&counting, now).expecting(questions.iter().map(Vec::as_slice));
            let alone = Round::new(&fixture, now);
            for _ in 0..2 {
                for of in &questions {
                    let request = SelectRequest { families, ..SelectRequest::new(of, window) };
                    assert_eq!(together.select(&request).unwrap().items.len(), found(&alone, of).len());
                    if !families {
                        assert_eq!(found(&together, of), found(&alone, of));
                    }
                }
            }
            assert_eq!(counting.1.load(Ordering::Relaxed), 1);
        }
        // Where the source fails every question fails for itself.
        let broken = Counting(fixture.broken(), AtomicUsize::new(0));
        let round = Round::new(&broken, now).expecting(questions.iter().map(Vec::as_slice));
        for of in &questions {
            assert!(round.select(&SelectRequest::new(of, window)).is_err());
        }
        assert_eq!(broken.1.load(Ordering::Relaxed), 1 + questions.len());
    }

    #[test]
    fn failures_are_asked_anew() {
        let counting = Counting(source().broken(), AtomicUsize::new(0));
        let round = Round::new(&counting, Timestamp::from_secs(100));
        for asked in 1..4 {
            assert!(round.targets().is_err());
            assert_eq!(counting.1.load(Ordering::Relaxed), asked);
        }
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let mut remembered = Remembered::default();
        assert!(remembered.takes(MAX_REMEMBERED - 1) && !remembered.takes(0));
        assert!(!Remembered::default().takes(usize::MAX));
    }
}
