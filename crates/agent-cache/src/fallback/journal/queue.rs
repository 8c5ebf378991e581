//! One at a time for each line: the journal and memory take a conversation's writes in the same order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::Line;

/// The lines that somebody writes now.
#[derive(Default)]
pub(super) struct Queue(Mutex<HashMap<Line, Arc<Turn<()>>>>);

/// The right to write in a line.
pub(in super::super) struct Place<'a> {
    queue: &'a Queue,
    line: Line,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Queue {
    /// Waits until it is the caller's turn. Other lines are not waited for.
    pub(super) async fn enter(&self, line: Line) -> Place<'_> {
        // Made before the wait: whoever gives up waiting tidies up too.
        let mut place = Place { queue: self, line, turn: None };
        let turn = Arc::clone(self.lines().entry(line).or_default());
        place.turn = Some(turn.lock_owned().await);
        place
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Line, Arc<Turn<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turn = None;
        let mut lines = self.queue.lines();
        // Nobody takes hold of it but under this lock: one holder is the map itself.
        if lines.get(&self.line).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            lines.remove(&self.line);
        }
    }
}
