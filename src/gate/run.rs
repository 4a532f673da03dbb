//! The gate that users hold: one run, in either mode.

use super::argo::{AnalysisTemplate, Phase, Profile};
use super::asking::{Asking, QuestionId, SourceAnswer, SourceQuestion};
use super::report::Report;
use super::round::Round;
use super::spec::{GateSpec, Selector};
use super::state::GateState;
use super::step::NativeGate;
use super::strict::StrictGate;
use super::verdict::Verdict;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;
use crate::source::Source;

/// One run of a gate: a step function without clock, thread or connection.
///
/// A controller's loop is four lines: while [`next_due`](Self::next_due) says when, wait until then, call
/// [`tick`](Self::tick), keep [`state`](Self::state).
///
/// ```
/// use promgate::{Check, Gate, GateSpec, SelectRequest, SeriesSet, Source, Timestamp, Verdict};
///
/// struct Empty;
///
/// impl Source for Empty {
///     fn select(&self, _: &SelectRequest<'_>) -> promgate::Result<SeriesSet> {
///         Ok(SeriesSet::default())
///     }
/// }
///
/// let errors = r#"requests_total{version="canary",code="500"}"#;
/// let requests = r#"requests_total{version="canary"}"#;
/// let spec = GateSpec::builder("checkout").check(Check::ratio("errors", errors, requests).below(0.05)).build()?;
/// let mut gate = Gate::new(spec);
/// gate.start(Timestamp::from_secs(1_700_000_000));
/// gate.tick(Timestamp::from_secs(1_700_000_000), &Empty)?;
/// gate.tick(Timestamp::from_secs(1_700_000_010), &Empty)?;
/// // Silence is never a pass.
/// assert_eq!(gate.report().verdict, Verdict::Inconclusive);
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Gate {
    run: Run,
    /// A look whose questions are not all answered.
    asking: Option<Box<Asking>>,
}

#[derive(Clone, Debug)]
enum Run {
    Native(Box<NativeGate>),
    Strict(Box<StrictGate>),
}

/// What one call of [`Gate::tick`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// Whether anything was measured; false before the due time and after the gate is settled.
    pub measured: bool,
    /// Whether the verdict, or its being final, changed.
    pub changed: bool,
    /// The verdict so far.
    pub verdict: Verdict,
    /// Whether it is final.
    pub settled: bool,
    /// When to come back; none once settled.
    pub next_due: Option<Timestamp>,
}

/// What [`Gate::poll`] and [`Gate::feed`] leave to be done, and did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Work {
    /// The questions that are open, each to be answered by [`Gate::feed`]; empty if no look is under way.
    pub questions: Vec<(QuestionId, SourceQuestion)>,
    /// What the look did; nothing was measured as long as questions are open.
    pub tick: Tick,
}

/// The start of a run that is ticked in order.
pub(super) fn in_order(
    started: Option<Timestamp>,
    last_tick: Option<Timestamp>,
    now: Timestamp,
) -> Result<Timestamp> {
    let invalid = |message: String| Error::new(ErrorKind::InvalidArgument, message);
    let started =
        started.ok_or_else(|| invalid("the gate has not been started; call start first".to_owned()))?;
    let latest = last_tick.unwrap_or(started);
    if now < latest {
        return Err(invalid(format!("time went back from {latest} to {now}; a gate's ticks come in order")));
    }
    Ok(started)
}

impl Run {
    fn tick(&mut self, round: &Round<'_>, now: Timestamp) -> Result<Tick> {
        match self {
            Self::Native(run) => run.tick(now, round),
            Self::Strict(run) => run.tick(now, round),
        }
    }
}

impl Gate {
    fn of(run: Run) -> Self {
        Self { run, asking: None }
    }

    /// A gate that decides by evidence, not started.
    pub fn new(spec: GateSpec) -> Self {
        Self::of(Run::Native(Box::new(NativeGate::new(spec))))
    }

    /// A gate that decides as Argo Rollouts does, not started. [`Report::verdict`] is a pass for Successful, a failure
    /// for Failed, and inconclusive for every other phase.
    ///
    /// # Errors
    ///
    /// As [`AnalysisRun::new`](super::argo::AnalysisRun::new).
    pub fn from_argo(template: &AnalysisTemplate, args: &[(&str, &str)], profile: Profile) -> Result<Self> {
        Ok(Self::of(Run::Strict(Box::new(StrictGate::new(template, args, profile)?))))
    }

    /// Starts the run: requests after `now` and the warm-up are evidence. A gate starts once.
    pub fn start(&mut self, now: Timestamp) {
        match &mut self.run {
            Run::Native(run) => run.start(now),
            Run::Strict(run) => run.start(now),
        }
    }

    /// When to call [`tick`](Self::tick) next; none before the start and once settled.
    pub fn next_due(&self) -> Option<Timestamp> {
        match &self.run {
            Run::Native(run) => run.next_due(),
            Run::Strict(run) => run.next_due(),
        }
    }

    /// Looks at the data if that is due. Before the due time and after the end nothing changes; a late call looks
    /// once. Failures of the source are counted and reported, not returned.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) before the start, or if `now` is earlier
    /// than the last look; the gate is as it was.
    pub fn tick(&mut self, now: Timestamp, source: &dyn Source) -> Result<Tick> {
        self.tick_in(&Round::new(source, now), now)
    }

    /// The same as part of a round of looks at `now`.
    pub(super) fn tick_in(&mut self, round: &Round<'_>, now: Timestamp) -> Result<Tick> {
        let tick = self.run.tick(round, now)?;
        self.asking = None;
        Ok(tick)
    }

    /// [`tick`](Self::tick) for whoever has no [`Source`] at hand: begins a look if one is due, and hands out what it asks. Each question
    /// is answered by [`feed`](Self::feed), in any order; what a look asks depends on what it was answered, so that more questions may
    /// come of that. A look that is under way goes on at the instant at which it began, whatever `now` is, and its open questions are
    /// handed out again.
    ///
    /// The look comes to what [`tick`](Self::tick) at its instant comes to. It is part of the gate once it is whole: a
    /// [`state`](Self::state) that is taken before, [`tick`](Self::tick) and [`terminate`](Self::terminate) know nothing of it.
    ///
    /// ```
    /// # use promgate::{Check, Gate, GateSpec, Labels, Sample, Store, StoreOptions, Timestamp};
    /// # let store = Store::in_memory(StoreOptions::new());
    /// # let labels = Labels::from_pairs([("__name__", "requests_total")]);
    /// # for second in (0..200).step_by(10) {
    /// #     let mut appender = store.appender();
    /// #     appender.append(&labels, Sample::float(Timestamp::from_secs(second), second as f64))?;
    /// #     appender.commit()?;
    /// # }
    /// # let source = store.snapshot();
    /// let check = Check::volume("traffic", "requests_total").at_least(0.5);
    /// let mut gate = Gate::new(GateSpec::builder("checkout").check(check).build()?);
    /// gate.start(Timestamp::from_secs(10));
    /// let mut work = gate.poll(Timestamp::from_secs(100))?;
    /// while let Some((id, question)) = work.questions.pop() {
    ///     // Here it is sent to wherever the data are, and the answer waited for.
    ///     work = gate.feed(id, question.ask(&source))?;
    /// }
    /// assert!(work.tick.measured && gate.report().checks[0].verdict == promgate::Verdict::Pass);
    /// # Ok::<(), promgate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`tick`](Self::tick).
    pub fn poll(&mut self, now: Timestamp) -> Result<Work> {
        match &self.asking {
            Some(asking) => Ok(self.under_way(asking.open().to_vec())),
            None => self.look(Asking::at(now)),
        }
    }

    /// Takes the answer to a question of the look that is under way, or its failure, which counts as one of the source. After the answer
    /// to the last open question the look is done, or has further questions.
    ///
    /// A failure to tell losses fails all that the look asks: what may be missing is not known then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for no open question, and for the answer to another kind of
    /// question; the look is as it was.
    pub fn feed(&mut self, id: QuestionId, answer: Result<SourceAnswer>) -> Result<Work> {
        let Some(asking) = &mut self.asking else {
            return Err(Error::new(ErrorKind::InvalidArgument, "no look is under way; call poll first"));
        };
        let whole = asking.feed(id, answer)?;
        let open = asking.open().to_vec();
        match self.asking.take_if(|_| whole) {
            Some(asking) => self.look(*asking),
            None => Ok(self.under_way(open)),
        }
    }

    /// Makes a look over the answers that are there. Where they are all, it is that of the gate.
    fn look(&mut self, mut asking: Asking) -> Result<Work> {
        let mut run = self.run.clone();
        let look = |source: &dyn Source, now| run.tick(&Round::new(source, now), now);
        match asking.look(look) {
            Some(tick) => {
                let tick = tick?;
                self.run = run;
                Ok(Work { questions: Vec::new(), tick })
            }
            None => {
                let open = asking.open().to_vec();
                self.asking = Some(Box::new(asking));
                Ok(self.under_way(open))
            }
        }
    }

    fn under_way(&self, questions: Vec<(QuestionId, SourceQuestion)>) -> Work {
        Work { questions, tick: self.standing() }
    }

    /// Where it stands, as a tick that measured nothing.
    fn standing(&self) -> Tick {
        match &self.run {
            Run::Native(run) => run.answer(false, false),
            Run::Strict(run) => run.standing(),
        }
    }

    /// Which series a look at `now` asks for, as far as that is known before.
    pub(super) fn selectors(&self, now: Timestamp) -> Vec<&Selector> {
        match &self.run {
            Run::Native(run) => run.selectors(now),
            Run::Strict(run) => run.selectors(),
        }
    }

    /// Runs over recorded data as a controller would have run then: started at `start`, looked at whenever that is due, ended
    /// at `until` if it is not settled before. `each` sees the report after every look. Data that arrived later than they were
    /// due are there at once ([`replay_as_of`](Self::replay_as_of) has them come when they came). A gate that has been started before goes
    /// on from where it is.
    ///
    /// # Errors
    ///
    /// Those of [`tick`](Self::tick).
    pub fn replay(
        &mut self,
        source: &dyn Source,
        start: Timestamp,
        until: Timestamp,
        each: impl FnMut(&Report),
    ) -> Result<Report> {
        self.replay_by(|gate, due| gate.tick(due, source), (start, until), each)
    }

    /// The same with data as they were known at each look: `known` gives the source as it was at that instant. Data that arrived later
    /// than they were due, as those of a late scrape or a delayed remote write, are there in [`replay`](Self::replay) from the beginning,
    /// and decided nothing when the gate ran; here they come when they came. Looks at the due times of a gate that ran, each with what
    /// its store had taken then, say what it said.
    ///
    /// No store keeps when a sample arrived: whoever does appends what had arrived by each instant, in that order, and hands out a
    /// snapshot.
    ///
    /// ```
    /// # use promgate::{Check, Gate, GateSpec, Labels, Sample, Store, StoreOptions, Timestamp};
    /// # let check = Check::volume("traffic", "requests_total").at_least(0.05);
    /// # let mut gate = Gate::new(GateSpec::builder("checkout").check(check).deadline_ms(120_000).build()?);
    /// # let labels = Labels::from_pairs([("__name__", "requests_total")]);
    /// // When each sample arrived, and what it is.
    /// let mut arrivals = (0..20).map(|number| {
    ///     let at = Timestamp::from_secs(number * 10);
    ///     (at.plus_millis(5_000), Sample::float(at, number as f64))
    /// }).peekable();
    /// let store = Store::in_memory(StoreOptions::new());
    /// let known = |now| {
    ///     let mut appender = store.appender();
    ///     while let Some((_, sample)) = arrivals.next_if(|(arrived, _)| *arrived <= now) {
    ///         appender.append(&labels, sample)?;
    ///     }
    ///     appender.commit()?;
    ///     Ok(store.snapshot())
    /// };
    /// let report = gate.replay_as_of(known, Timestamp::from_secs(20), Timestamp::from_secs(150), |_| ())?;
    /// assert_eq!(report.verdict, promgate::Verdict::Pass);
    /// # Ok::<(), promgate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`tick`](Self::tick) and of `known`.
    pub fn replay_as_of<S: Source>(
        &mut self,
        mut known: impl FnMut(Timestamp) -> Result<S>,
        start: Timestamp,
        until: Timestamp,
        each: impl FnMut(&Report),
    ) -> Result<Report> {
        self.replay_by(|gate, due| gate.tick(due, &known(due)?), (start, until), each)
    }

    fn replay_by(
        &mut self,
        mut look: impl FnMut(&mut Self, Timestamp) -> Result<Tick>,
        (start, until): (Timestamp, Timestamp),
        mut each: impl FnMut(&Report),
    ) -> Result<Report> {
        self.start(start);
        while let Some(due) = self.next_due() {
            if due > until {
                self.terminate(until);
                break;
            }
            look(self, due)?;
            each(&self.report());
        }
        Ok(self.report())
    }

    /// Ends the run. What is not settled stays inconclusive, but for a gate that passes so far and is
    /// [watched on](super::GateSpecBuilder::watch): that has passed.
    pub fn terminate(&mut self, now: Timestamp) -> Tick {
        self.asking = None;
        match &mut self.run {
            Run::Native(run) => run.terminate(now),
            Run::Strict(run) => run.terminate(now),
        }
    }

    /// Whether the gate passes so far, and looks on.
    pub(super) fn passes_so_far(&self) -> bool {
        match &self.run {
            Run::Native(run) => run.passes_so_far(),
            Run::Strict(_) => false,
        }
    }

    /// What the gate has come to, in the words of an analysis run, and why.
    pub(super) fn outcome(&self) -> (Phase, String) {
        match &self.run {
            Run::Native(run) => {
                let report = run.report();
                let phase = match report.verdict {
                    _ if !report.settled => return (Phase::Running, String::new()),
                    Verdict::Pass => Phase::Successful,
                    Verdict::Fail => Phase::Failed,
                    Verdict::Inconclusive => Phase::Inconclusive,
                };
                (phase, report.because())
            }
            Run::Strict(run) => run.outcome(),
        }
    }

    /// What the gate says so far, with its reasons.
    pub fn report(&self) -> Report {
        match &self.run {
            Run::Native(run) => run.report(),
            Run::Strict(run) => run.report(),
        }
    }

    /// Everything that the gate has learned, as a value.
    pub fn state(&self) -> GateState {
        match &self.run {
            Run::Native(run) => run.state(),
            Run::Strict(run) => run.state(),
        }
    }

    /// A gate that goes on where `state` was taken.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for the state of another version or of
    /// another specification (see [`resume_changed`](Self::resume_changed)).
    pub fn resume(spec: GateSpec, state: GateState) -> Result<Self> {
        NativeGate::resume(spec, state).map(|run| Self::of(Run::Native(Box::new(run))))
    }

    /// A gate that goes on where `state` was taken, from `now` on by a specification that was changed: for whoever knows that it was,
    /// and what that means. [`resume`](Self::resume) refuses such a state.
    ///
    /// A check keeps its counts and what it has decided if nothing was changed that gives them their meaning: its name, what it counts
    /// or asks, its threshold, labels and dry run, and of the gate confidence, warm-up, settle time, `dispersion`, `looks` and the
    /// least requests. Any other check begins at `now`, and forgets what it had decided: requests from before are no evidence for a
    /// threshold that was chosen after them. What is promised of errors is promised of each specification for itself.
    ///
    /// The gate does not pass before a look at the data, and not before every deciding check that begins anew has the least duration
    /// behind it; that it had passed and was watched on is forgotten, but for restarts of its targets, of which those of the last hour
    /// count from then on. Too little traffic is no failure of a volume that begins anew. Its age, and with it the deadline, goes on
    /// from the start. It is due at once. A state that was taken by this very specification goes on as by [`resume`](Self::resume).
    ///
    /// ```
    /// # use promgate::{Check, Gate, GateSpec, Timestamp};
    /// let spec = |limit: f64| {
    ///     let errors = Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(limit);
    ///     let traffic = Check::volume("traffic", "all_total").at_least(1.0);
    ///     GateSpec::builder("checkout").check(traffic).check(errors).build()
    /// };
    /// let mut gate = Gate::new(spec(0.05)?);
    /// gate.start(Timestamp::from_secs(0));
    /// let (state, now) = (gate.state(), Timestamp::from_secs(60));
    /// assert!(Gate::resume(spec(0.01)?, state.clone()).is_err());
    /// // The traffic counts from 0 s on, the errors from 60 s on.
    /// let gate = Gate::resume_changed(spec(0.01)?, state, now)?;
    /// assert_eq!(gate.next_due(), Some(now));
    /// # Ok::<(), promgate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for the state of another version, of a gate of another name or
    /// of strict mode, for a gate that is settled (its verdict is that of the specification it had), and if `now` is earlier than its
    /// last look.
    pub fn resume_changed(spec: GateSpec, state: GateState, now: Timestamp) -> Result<Self> {
        NativeGate::resume_changed(spec, state, now).map(|run| Self::of(Run::Native(Box::new(run))))
    }

    /// A strict gate that goes on where `state` was taken.
    ///
    /// # Errors
    ///
    /// As [`resume`](Self::resume) and [`from_argo`](Self::from_argo).
    pub fn resume_argo(
        template: &AnalysisTemplate,
        args: &[(&str, &str)],
        profile: Profile,
        state: GateState,
    ) -> Result<Self> {
        StrictGate::resume(template, args, profile, state).map(|run| Self::of(Run::Strict(Box::new(run))))
    }
}

#[cfg(test)]
mod tests;
