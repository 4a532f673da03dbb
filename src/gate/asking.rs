//! A look without a source at hand: questions are handed out, and their answers fed.
//!
//! A look asks as it goes: what it asks next depends on what it was answered. So it is made on a copy of the gate, over the answers
//! that are there; whatever else it asks for is an open question, and the copy is dropped. Once nothing is open the copy is the gate.
//! That is why it comes to what [`tick`](super::Gate::tick) comes to: it is the same look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Loss, Matcher, SeriesExemplars, Timestamp, Window};
use crate::source::{SelectRequest, SeriesSet, Source};

/// Names a question of a look; given out once, whichever gate asks. An answer that comes late fits no question of another gate, nor of
/// the same gate after it was resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(u64);

impl QuestionId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a look asks of a [`Source`]: one of the calls of that trait, with its arguments.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SourceQuestion {
    /// [`Source::select`].
    #[non_exhaustive]
    Select {
        /// A series is selected if every matcher accepts it.
        matchers: Vec<Matcher>,
        /// Only samples inside are wanted.
        window: Window,
        /// Whether a classic histogram may come as a family.
        families: bool,
    },
    /// [`Source::label_values`].
    #[non_exhaustive]
    LabelValues {
        /// The label.
        name: String,
        /// Which series.
        matchers: Vec<Matcher>,
        /// When they have samples.
        window: Window,
    },
    /// [`Source::losses`].
    #[non_exhaustive]
    Losses {
        /// Where samples may be missing.
        window: Window,
    },
    /// [`Source::losses_of`].
    #[non_exhaustive]
    LossesOf {
        /// Which series.
        matchers: Vec<Matcher>,
        /// Where samples of them may be missing.
        window: Window,
    },
    /// [`Source::exemplars`].
    #[non_exhaustive]
    Exemplars {
        /// Which series.
        matchers: Vec<Matcher>,
        /// When.
        window: Window,
    },
}

/// The answer to a [`SourceQuestion`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SourceAnswer {
    /// To [`SourceQuestion::Select`].
    Series(SeriesSet),
    /// To [`SourceQuestion::LabelValues`].
    LabelValues(Vec<Arc<str>>),
    /// To [`SourceQuestion::Losses`] and [`SourceQuestion::LossesOf`].
    Losses(Vec<Loss>),
    /// To [`SourceQuestion::Exemplars`].
    Exemplars(Vec<SeriesExemplars>),
}

impl SourceQuestion {
    /// Asks a source that is at hand, here or wherever the question was sent.
    ///
    /// # Errors
    ///
    /// Those of the source.
    pub fn ask(&self, source: &dyn Source) -> Result<SourceAnswer> {
        match self {
            Self::Select { matchers, window, families } => {
                let request = SelectRequest { families: *families, ..SelectRequest::new(matchers, *window) };
                source.select(&request).map(SourceAnswer::Series)
            }
            Self::LabelValues { name, matchers, window } => {
                source.label_values(name, matchers, *window).map(SourceAnswer::LabelValues)
            }
            Self::Losses { window } => Ok(SourceAnswer::Losses(source.losses(*window))),
            Self::LossesOf { matchers, window } => {
                Ok(SourceAnswer::Losses(source.losses_of(&SelectRequest::new(matchers, *window))))
            }
            Self::Exemplars { matchers, window } => {
                source.exemplars(matchers, *window).map(SourceAnswer::Exemplars)
            }
        }
    }

    /// Whether it asks what may be missing.
    fn is_about_losses(&self) -> bool {
        matches!(self, Self::Losses { .. } | Self::LossesOf { .. })
    }

    /// Whether this is the form of answer that the question takes.
    fn takes(&self, answer: &SourceAnswer) -> bool {
        matches!(
            (self, answer),
            (Self::Select { .. }, SourceAnswer::Series(_))
                | (Self::LabelValues { .. }, SourceAnswer::LabelValues(_))
                | (Self::Losses { .. } | Self::LossesOf { .. }, SourceAnswer::Losses(_))
                | (Self::Exemplars { .. }, SourceAnswer::Exemplars(_))
        )
    }
}

/// A look that is under way.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    /// The instant of the look.
    pub(super) now: Timestamp,
    answered: Vec<(SourceQuestion, Answered)>,
    open: Vec<(QuestionId, SourceQuestion)>,
}

/// An answer, or the failure that is given again as often as it is asked for.
type Answered = std::result::Result<SourceAnswer, (ErrorKind, String)>;

impl Asking {
    pub(super) fn at(now: Timestamp) -> Self {
        Self { now, answered: Vec::new(), open: Vec::new() }
    }

    pub(super) fn open(&self) -> &[(QuestionId, SourceQuestion)] {
        &self.open
    }

    /// Makes the look over what is answered. Its outcome is one only if that leaves nothing open.
    ///
    /// What may be missing is asked last: whoever loses samples between two answers has told of it by then.
    pub(super) fn look<T>(&mut self, look: impl FnOnce(&dyn Source, Timestamp) -> T) -> Option<T> {
        let source = Answers { asking: self, missing: Mutex::default() };
        let outcome = look(&source, self.now);
        let mut missing = source.missing.into_inner();
        if missing.is_empty() {
            return Some(outcome);
        }
        if !missing.iter().all(SourceQuestion::is_about_losses) {
            missing.retain(|question| !question.is_about_losses());
        }
        self.open = missing.into_iter().map(|question| (QuestionId::next(), question)).collect();
        None
    }

    /// Takes the answer to an open question. Says whether it was the last one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for no open question, and for the answer to another kind of question.
    pub(super) fn feed(&mut self, id: QuestionId, answer: Result<SourceAnswer>) -> Result<bool> {
        let refused = |message: &str| Err(Error::new(ErrorKind::InvalidArgument, message));
        let Some(place) = self.open.iter().position(|(open, _)| *open == id) else {
            return refused("no question of this look that is open has this id");
        };
        let fits = |(_, question): &(QuestionId, SourceQuestion)| {
            answer.as_ref().map_or(true, |answer| question.takes(answer))
        };
        if !self.open.get(place).is_some_and(fits) {
            return refused("the answer is one to another kind of question");
        }
        let (_, question) = self.open.remove(place);
        self.answered.push((question, answer.map_err(|error| (error.kind(), error.to_string()))));
        Ok(self.open.is_empty())
    }
}

/// The answers that are there, as a source.
struct Answers<'a> {
    asking: &'a Asking,
    missing: Mutex<Vec<SourceQuestion>>,
}

impl Answers<'_> {
    /// The answer to a question. Whatever a look makes of one that is open is not looked at; as a failure of what is asked, not of the
    /// source, it keeps the look from nothing else.
    fn answer(&self, question: SourceQuestion) -> Result<SourceAnswer> {
        let failed = self.asking.answered.iter().find_map(|(known, answer)| match answer {
            Err((kind, message)) if known.is_about_losses() => Some((*kind, message)),
            _ => None,
        });
        if let Some((kind, message)) = failed.filter(|_| !question.is_about_losses()) {
            // What nobody knows the losses of is as good as lost.
            return Err(Error::new(kind, message));
        }
        if let Some((_, answer)) = self.asking.answered.iter().find(|(known, _)| *known == question) {
            return answer.clone().map_err(|(kind, message)| Error::new(kind, message));
        }
        let mut missing = self.missing.lock();
        if !missing.contains(&question) {
            missing.push(question);
        }
        Err(Error::new(ErrorKind::Unsupported, "not answered yet"))
    }
}

impl Source for Answers<'_> {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        let SelectRequest { matchers, window, families } = *request;
        match self.answer(SourceQuestion::Select { matchers: matchers.to_vec(), window, families })? {
            SourceAnswer::Series(series) => Ok(series),
            _ => Ok(SeriesSet::default()),
        }
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<Vec<Arc<str>>> {
        let question =
            SourceQuestion::LabelValues { name: name.to_owned(), matchers: matchers.to_vec(), window };
        match self.answer(question)? {
            SourceAnswer::LabelValues(values) => Ok(values),
            _ => Ok(Vec::new()),
        }
    }

    fn losses(&self, window: Window) -> Vec<Loss> {
        match self.answer(SourceQuestion::Losses { window }) {
            Ok(SourceAnswer::Losses(losses)) => losses,
            _ => Vec::new(),
        }
    }

    fn losses_of(&self, request: &SelectRequest<'_>) -> Vec<Loss> {
        let question =
            SourceQuestion::LossesOf { matchers: request.matchers.to_vec(), window: request.window };
        match self.answer(question) {
            Ok(SourceAnswer::Losses(losses)) => losses,
            _ => Vec::new(),
        }
    }

    fn exemplars(&self, matchers: &[Matcher], window: Window) -> Result<Vec<SeriesExemplars>> {
        match self.answer(SourceQuestion::Exemplars { matchers: matchers.to_vec(), window })? {
            SourceAnswer::Exemplars(exemplars) => Ok(exemplars),
            _ => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "argo")]
mod tests;
