//! The gate that users hold: one run, in either mode.

use super::argo::{AnalysisTemplate, Phase, Profile};
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

impl Gate {
    /// A gate that decides by evidence, not started.
    pub fn new(spec: GateSpec) -> Self {
        Self { run: Run::Native(Box::new(NativeGate::new(spec))) }
    }

    /// A gate that decides as Argo Rollouts does, not started. [`Report::verdict`] is a pass for Successful, a failure
    /// for Failed, and inconclusive for every other phase.
    ///
    /// # Errors
    ///
    /// As [`AnalysisRun::new`](super::argo::AnalysisRun::new).
    pub fn from_argo(template: &AnalysisTemplate, args: &[(&str, &str)], profile: Profile) -> Result<Self> {
        Ok(Self { run: Run::Strict(Box::new(StrictGate::new(template, args, profile)?)) })
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
        match &mut self.run {
            Run::Native(run) => run.tick(now, round),
            Run::Strict(run) => run.tick(now, round),
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
    /// due are there at once. A gate that has been started before goes on from where it is.
    ///
    /// # Errors
    ///
    /// Those of [`tick`](Self::tick).
    pub fn replay(
        &mut self,
        source: &dyn Source,
        start: Timestamp,
        until: Timestamp,
        mut each: impl FnMut(&Report),
    ) -> Result<Report> {
        self.start(start);
        while let Some(due) = self.next_due() {
            if due > until {
                self.terminate(until);
                break;
            }
            self.tick(due, source)?;
            each(&self.report());
        }
        Ok(self.report())
    }

    /// Ends the run. What is not settled stays inconclusive, but for a gate that passes so far and is
    /// [watched on](super::GateSpecBuilder::watch): that has passed.
    pub fn terminate(&mut self, now: Timestamp) -> Tick {
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
        NativeGate::resume(spec, state).map(|run| Self { run: Run::Native(Box::new(run)) })
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
    /// behind it; that it had passed and was watched on is forgotten. Its age, and with it the deadline, goes on from the start. It is
    /// due at once. A state that was taken by this very specification goes on as by [`resume`](Self::resume).
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
        NativeGate::resume_changed(spec, state, now).map(|run| Self { run: Run::Native(Box::new(run)) })
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
        StrictGate::resume(template, args, profile, state).map(|run| Self { run: Run::Strict(Box::new(run)) })
    }
}
