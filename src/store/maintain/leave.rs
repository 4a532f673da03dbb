//! Leaving: the index and the tables of the log forget series of which nothing is left.
//!
//! An item may leave that has no head, nothing late, and no part in a published segment. Readers and writers who began before
//! that was noted keep what they hold until they are done: see `index::leave`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::Inner;
use super::super::pin::Pin;
use super::super::wal::Tables;
use super::{Job, STEP_ITEMS};

/// Items, and texts of labels, that go while nobody can commit.
const AT_ONCE: usize = 128;

/// Items that leave one after the other, and the texts of their labels.
#[derive(Debug)]
pub(super) struct Leave {
    items: Vec<u32>,
    texts: Option<Vec<Arc<str>>>,
}

/// A text may have been let go of by several items.
fn each_once(mut texts: Vec<Arc<str>>) -> Vec<Arc<str>> {
    texts.sort_unstable_by_key(|text| Arc::as_ptr(text).addr());
    texts.dedup_by(|a, b| Arc::ptr_eq(a, b));
    texts
}

impl Inner {
    /// Something was forgotten that may have been the last of an item.
    pub(in super::super) fn may_leave(&self) {
        self.may_leave.store(true, Ordering::Relaxed);
    }

    /// Lets items go of a store that is opened to be read, at once. `tables`: those of the log that it follows, which name items
    /// by their numbers.
    pub(in super::super) fn leave_now(&self, tables: Option<&Tables>) {
        let maintenance = &mut *self.maintenance.lock();
        self.may_leave();
        while let Some(mut job) = self.start_leaving(&mut maintenance.over, tables) {
            while let Job::Leave(own) = job {
                let Some(next) = self.leave_step(own) else { break };
                job = next;
            }
        }
    }

    /// Begins to let items go that were noted, or notes some. `over`: the period in which items were noted last. `tables`: see
    /// [`leave_now`](Self::leave_now).
    pub(super) fn start_leaving(&self, over: &mut Option<Pin>, tables: Option<&Tables>) -> Option<Job> {
        if let Some(pin) = over {
            if !pin.is_alone() {
                return None;
            }
            *over = None;
            let items = self.index.write().free_numbers();
            return Some(Job::Leave(Leave { items, texts: None }));
        }
        if !self.may_leave.swap(false, Ordering::Relaxed) {
            return None;
        }
        *over = self.note_leaving(tables);
        over.as_ref().map(|_| Job::Look)
    }

    /// Notes items of which nothing is left. Hands out the period that is over then, if there are any.
    fn note_leaving(&self, tables: Option<&Tables>) -> Option<Pin> {
        // Nothing is appended meanwhile.
        let _writer = self.writer.lock();
        let mut known = self.index.write().note_all();
        self.view.read().tell_items(&mut known);
        tables.iter().for_each(|tables| tables.tell_items(&mut known));
        if !self.index.write().note_but(&known) {
            return None;
        }
        let over = self.pins.turn();
        // What is known by the place of labels was found before.
        self.cohorts.lock().clear();
        Some(over)
    }

    /// Lets go of some.
    pub(super) fn leave_step(&self, mut job: Leave) -> Option<Job> {
        for _ in 0..STEP_ITEMS / AT_ONCE {
            if !self.leave_some(&mut job) {
                return None;
            }
        }
        Some(Job::Leave(job))
    }

    /// `false`: that was all.
    fn leave_some(&self, job: &mut Leave) -> bool {
        let mut writer = self.writer.lock();
        let view = self.view.read();
        let mut index = self.index.write();
        if !job.items.is_empty() {
            let rest = job.items.len().saturating_sub(AT_ONCE);
            for item in job.items.drain(rest..) {
                if index.is_leaving(item) && !view.knows(item) {
                    writer.tables.remove(item, index.remove(item));
                }
            }
            return true;
        }
        let Some(texts) = &mut job.texts else {
            let texts = index.take_texts();
            drop((writer, view, index));
            job.texts = Some(each_once(texts));
            return true;
        };
        let rest = texts.len().saturating_sub(AT_ONCE);
        // The log knows texts by their place.
        let tables = &writer.tables;
        index.free_texts(texts.drain(rest..), |text| !tables.has_symbol(text));
        if texts.is_empty() {
            index.shrink();
        }
        !texts.is_empty()
    }
}

#[cfg(test)]
mod tests;
