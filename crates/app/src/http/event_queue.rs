//! The events between an answer and its reader: told without waiting, taken when the reader can.
//!
//! A model does not wait for a slow reader. What the reader has not taken yet is kept, but from some events on
//! further words are added to the last one: what is kept then grows with the text, and not with its pieces.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::event::Event;

/// From how many events on words are put together.
const MERGE_FROM: usize = 64;

/// A queue without events: the two ends of it.
pub(super) fn event_queue() -> (EventSender, EventReceiver) {
    let queue = Arc::new(Queue { state: Mutex::default(), changed: Notify::new() });
    (EventSender(Arc::clone(&queue)), EventReceiver(queue))
}

struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Event>,
    /// The id of the next piece of text: how many there have been.
    next_id: u64,
    has_ended: bool,
    is_given_up: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader who has gone hears nothing; the answer is stored all the same.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        if !state.is_given_up {
            change(&mut state);
        }
        drop(state);
        self.changed.notify_one();
    }
}

/// The end that tells. When it is dropped, the reader has heard all.
pub(super) struct EventSender(Arc<Queue>);

impl EventSender {
    /// Tells an event.
    pub(super) fn tell(&self, event: Event) {
        self.0.change(|state| state.waiting.push_back(event));
    }

    /// Tells some more of the text, as an event of its own where the reader keeps up.
    pub(super) fn tell_text(&self, text: String) {
        self.0.change(|state| {
            let is_slow = state.waiting.len() >= MERGE_FROM;
            match state.waiting.back_mut() {
                Some(Event::Token { token, .. }) if is_slow => token.push_str(&text),
                _ => {
                    let id = state.take_id();
                    state.waiting.push_back(Event::Token { id, token: text });
                }
            }
        });
    }

    /// Tells that the text is complete, and what it is in one piece.
    pub(super) fn tell_complete(&self, text: String) {
        self.0.change(|state| {
            let id = state.take_id();
            state.waiting.push_back(Event::TurnComplete { id, token: text });
        });
    }

    /// Whether any text was told.
    pub(super) fn has_told_text(&self) -> bool {
        self.0.state().next_id > 0
    }
}

impl State {
    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.0.state().has_ended = true;
        self.0.changed.notify_one();
    }
}

/// The end that is read. When it is dropped, what is told goes nowhere.
pub(super) struct EventReceiver(Arc<Queue>);

impl EventReceiver {
    /// The next event; `None` where there will be no more.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            {
                let mut state = self.0.state();
                if let Some(event) = state.waiting.pop_front() {
                    return Some(event);
                }
                if state.has_ended {
                    return None;
                }
            }
            self.0.changed.notified().await;
        }
    }
}

impl Drop for EventReceiver {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_given_up = true;
        state.waiting = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_hears_every_word_in_few_events() {
        let (sender, mut receiver) = event_queue();
        for n in 0..10_000 {
            sender.tell_text(format!("{n} "));
        }
        sender.tell_complete("all".to_owned());
        drop(sender);
        let (mut heard, mut ids) = (String::new(), Vec::new());
        while let Some(event) = receiver.next().await {
            match event {
                Event::Token { id, token } => {
                    heard.push_str(&token);
                    ids.push(id);
                }
                Event::TurnComplete { id, .. } => ids.push(id),
                other => panic!("{other:?}"),
            }
        }
        let all: Vec<String> = (0..10_000).map(|n| format!("{n} ")).collect();
        assert_eq!(heard, all.concat());
        assert_eq!(ids, (0..=MERGE_FROM as u64).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_reader_that_waits_hears_what_is_told_then_and_the_end() {
        let (sender, mut receiver) = event_queue();
        let reader = tokio::spawn(async move {
            let first = receiver.next().await;
            (first.is_some(), receiver.next().await.is_none())
        });
        tokio::task::yield_now().await;
        sender.tell_text("word".to_owned());
        tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(reader.await.unwrap(), (true, true));
    }

    #[test]
    fn what_is_told_to_a_reader_who_has_gone_is_not_kept() {
        let (sender, receiver) = event_queue();
        sender.tell_text("word".to_owned());
        drop(receiver);
        sender.tell_text("word".to_owned());
        assert!(sender.0.state().waiting.is_empty() && sender.has_told_text());
    }
}
