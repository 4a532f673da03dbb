//! Several threads for a wide selection. What comes of a block of its series does not depend on the other blocks, so that
//! workers make it side by side; the caller's thread takes it in the order of series, in which sums are added.
//!
//! A worker evaluates under the limits that are left when it begins. What it cannot do, or might not be allowed to do in its
//! turn, the caller's thread does itself: errors are those of one thread.

use std::collections::BTreeMap;

use crossbeam::channel::{Receiver, bounded};

use crate::error::Result;
use crate::promql::analysis::Recorder;
use crate::promql::annotation::Notebook;
use crate::promql::plan::steps::Steps;
use crate::source::{Series, Source};

use super::budget::{Budget, Remaining, Used};
use super::hint::Predecessors;
use super::vector::Vector;
use super::{Evaluator, Settings};

/// Points of a block: of so many samples of its series together.
const BLOCK_POINTS: usize = 16_384;
/// Series of a block, at least and at most.
const BLOCK_SERIES: (usize, usize) = (16, 512);
/// Blocks for each thread, or the selection is not wide.
const FEWEST_BLOCKS: usize = 2;
/// Blocks for each thread that are made and not taken yet.
const AHEAD: usize = 4;
/// After so many blocks that a worker could not do the caller's thread does the others.
const MOST_REFUSED: usize = 2;

/// What a worker evaluates with.
struct Fork<'a> {
    source: &'a dyn Source,
    settings: Settings,
    remaining: Remaining,
}

/// What a worker made of a block.
struct Made<T> {
    value: T,
    used: Used,
    notes: Notebook,
}

impl<'a> Fork<'a> {
    fn evaluator(&self) -> Evaluator<'a> {
        Evaluator {
            source: self.source,
            settings: self.settings,
            budget: Budget::of(self.remaining.clone()),
            notes: Notebook::default(),
            recorder: Recorder::default(),
        }
    }
}

impl Evaluator<'_> {
    /// The vector that `add` makes of some series, perhaps by several threads.
    ///
    /// # Errors
    ///
    /// Those of `add`.
    pub(super) fn vector_of(
        &self,
        found: &[Series],
        steps: Steps,
        mut predecessors: Predecessors<'_>,
        add: impl Fn(&Evaluator<'_>, &[Series], &mut Predecessors<'_>, &mut Vector) -> Result<()> + Sync,
    ) -> Result<Vector> {
        let mut vector = Vector::new(&self.budget);
        let (matchers, window) = predecessors.asked();
        let work = |evaluator: &Evaluator<'_>, found: &[Series]| {
            let mut own = Vector::new(&evaluator.budget);
            add(evaluator, found, &mut Predecessors::refused(matchers, window), &mut own)?;
            Ok(own.series)
        };
        self.in_blocks(found, steps.count(), work, |_, found, made| {
            match made {
                Some(made) => made.into_iter().try_for_each(|series| vector.push(series))?,
                None => add(self, found, &mut predecessors, &mut vector)?,
            }
            Ok(true)
        })?;
        Ok(vector)
    }

    /// Has `work` done for every block of some items, perhaps by several threads, and hands each block to `take`, in order,
    /// with the number of its first item and what came of it; with nothing if `take` is to do it itself. It ends early when
    /// `take` says `false`.
    ///
    /// # Errors
    ///
    /// Those of `take`.
    pub(super) fn in_blocks<I: Sync, T: Send>(
        &self,
        items: &[I],
        steps: usize,
        work: impl Fn(&Evaluator<'_>, &[I]) -> Result<T> + Sync,
        mut take: impl FnMut(usize, &[I], Option<T>) -> Result<bool>,
    ) -> Result<()> {
        let threads = self.settings.threads;
        let size =
            BLOCK_POINTS.checked_div(steps).unwrap_or(BLOCK_POINTS).clamp(BLOCK_SERIES.0, BLOCK_SERIES.1);
        let count = items.len().div_ceil(size);
        if threads < 2 || count < threads.saturating_mul(FEWEST_BLOCKS) {
            return take(0, items, None).map(|_| ());
        }
        self.budget.count_threads(threads);
        let block = |number: usize| {
            let start = number.saturating_mul(size);
            let end = start.saturating_add(size).min(items.len());
            (start, items.get(start..end).unwrap_or_default())
        };
        let items_from = |start: usize| items.get(start..).unwrap_or_default();
        let fork = self.fork();
        let make = &|number: usize| {
            let evaluator = fork.evaluator();
            let value = work(&evaluator, block(number).1).ok()?;
            Some(Made { value, used: evaluator.budget.used(&fork.remaining), notes: evaluator.notes })
        };
        let ahead = threads.saturating_mul(AHEAD);
        let outcome = crossbeam::thread::scope(|scope| {
            let (numbers, told) = bounded::<usize>(ahead);
            let (done, made) = bounded(ahead);
            for _ in 1..threads {
                let (told, done, make) = (told.clone(), done.clone(), &make);
                scope.spawn(move |_| told.iter().all(|number| done.send((number, make(number))).is_ok()));
            }
            drop(done);
            let mut blocks = Blocks { told, made, early: BTreeMap::new() };
            let (mut next, mut refused) = (0_usize, 0_usize);
            for number in 0..count {
                while next < count && next < number.saturating_add(ahead) && numbers.send(next).is_ok() {
                    next = next.saturating_add(1);
                }
                let (start, items) = block(number);
                let made = match blocks.turn(number, make) {
                    Turn::Own => None,
                    Turn::Made(made) => {
                        let made = made.filter(|made: &Made<T>| self.budget.admits(&made.used));
                        refused = refused.saturating_add(usize::from(made.is_none()));
                        made
                    }
                };
                if refused > MOST_REFUSED {
                    return take(start, items_from(start), None).map(|_| ());
                }
                let value = made.map(|Made { value, used, notes }| {
                    self.budget.add(&used);
                    self.notes.absorb(notes);
                    value
                });
                self.budget.tick(0)?;
                if !take(start, items, value)? {
                    break;
                }
            }
            Ok(())
        });
        match outcome {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Has `work` done for each of a few parts, by a thread each. `None`: something went wrong, or might have gone wrong in one
    /// thread, which is to do it instead.
    pub(super) fn side_by_side<I: Sync, T: Send>(
        &self,
        parts: &[I],
        work: impl Fn(&Evaluator<'_>, &I) -> Result<T> + Sync,
    ) -> Option<Vec<T>> {
        let fork = self.fork();
        let make = |part: &I| {
            let evaluator = fork.evaluator();
            let value = work(&evaluator, part).ok()?;
            Some(Made { value, used: evaluator.budget.used(&fork.remaining), notes: evaluator.notes })
        };
        let (own, others) = parts.split_first()?;
        let outcome = crossbeam::thread::scope(|scope| {
            let make = &make;
            let others: Vec<_> = others.iter().map(|part| scope.spawn(move |_| make(part))).collect();
            let mut made = vec![make(own)];
            for other in others {
                made.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            made
        });
        let made = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let made = made.into_iter().collect::<Option<Vec<_>>>()?;
        let used = made.iter().map(|made| made.used).reduce(Used::beside)?;
        if !self.budget.admits(&used) {
            return None;
        }
        self.budget.count_threads(parts.len());
        self.budget.add(&used);
        let values = made.into_iter().map(|Made { value, notes, .. }| {
            self.notes.absorb(notes);
            value
        });
        Some(values.collect())
    }

    fn fork(&self) -> Fork<'_> {
        // Workers do their parts in one thread.
        let settings = Settings { threads: 1, ..self.settings };
        Fork { source: self.source, settings, remaining: self.budget.remaining() }
    }
}

/// Blocks on their way from the workers.
struct Blocks<T> {
    /// Numbers that no thread has taken yet.
    told: Receiver<usize>,
    made: Receiver<(usize, Option<T>)>,
    /// What came before its turn.
    early: BTreeMap<usize, Option<T>>,
}

/// Whose a block is.
enum Turn<T> {
    /// No worker has it, so that the caller's thread does it.
    Own,
    /// A worker has done it, or could not.
    Made(Option<T>),
}

impl<T> Blocks<T> {
    /// What came of a block. While a worker is at it others are made here.
    fn turn(&mut self, number: usize, make: impl Fn(usize) -> Option<T>) -> Turn<T> {
        loop {
            self.early.extend(self.made.try_iter());
            if let Some(made) = self.early.remove(&number) {
                return Turn::Made(made);
            }
            match self.told.try_recv() {
                Ok(next) if next == number => return Turn::Own,
                Ok(next) => drop(self.early.insert(next, make(next))),
                Err(_) => match self.made.recv() {
                    Ok((next, made)) => drop(self.early.insert(next, made)),
                    Err(_) => return Turn::Own,
                },
            }
        }
    }
}
