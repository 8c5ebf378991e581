//! L6: an answer that lacks what had been acknowledged, or shown, before it was asked for.

use lcs_domain::Durability;

use super::conversation::Conversation;
use super::{Kind, Verdict};
use crate::chaos::history::Record;

pub(super) fn check(conversation: &Conversation<'_>, verdict: &mut Verdict) {
    let mut turns = Known::default();
    for append in conversation.appends.iter().filter(|append| append.outcome.durable().is_some()) {
        turns.learn(append.record.return_ns, conversation.place(append).map_or(0, u64::from));
    }
    let mut revisions = Known::default();
    for append in conversation.appends.iter().filter(|append| append.state_from.is_some()) {
        if let Some(placed) = append.outcome.durable() {
            revisions.learn(append.record.return_ns, placed.revision);
        }
    }
    for put in &conversation.puts {
        if let Some(revision) = put.outcome.durable() {
            revisions.learn(put.record.return_ns, *revision);
        }
    }
    let is_durable = |durability| durability == Durability::Durable;
    let pages = conversation.pages.iter().filter(|shown| is_durable(shown.durability));
    let pages: Vec<(&Record, u64)> =
        pages.map(|shown| (shown.record, u64::from(shown.value.turn_count))).collect();
    turns.judge(&pages, "turns", conversation.number, verdict);
    let states = conversation.states.iter().filter(|shown| is_durable(shown.durability));
    let states: Vec<(&Record, u64)> = states.map(|shown| (shown.record, shown.value.revision)).collect();
    revisions.judge(&states, "revisions", conversation.number, verdict);
    empty(conversation, verdict);
    vanished(conversation, verdict);
}

/// What was known when.
#[derive(Default)]
struct Known(Vec<(u64, u64)>);

impl Known {
    fn learn(&mut self, at_ns: u64, count: u64) {
        self.0.push((at_ns, count));
    }

    /// Each answer shows at least what was known before it was asked for; and is known from then on.
    fn judge(mut self, answers: &[(&Record, u64)], what: &str, number: u64, verdict: &mut Verdict) {
        self.0.extend(answers.iter().map(|(record, count)| (record.return_ns, *count)));
        self.0.sort_unstable();
        let mut most = 0;
        for (_, count) in &mut self.0 {
            most = most.max(*count);
            *count = most;
        }
        for (record, count) in answers {
            let before = self.0.partition_point(|(at_ns, _)| *at_ns < record.invoke_ns);
            let known = before.checked_sub(1).and_then(|index| self.0.get(index)).map_or(0, |known| known.1);
            if *count < known {
                let client = record.client;
                let what = format!("client {client} was shown {count} {what} where {known} were known");
                verdict.add(Kind::Stale, number, what);
            }
        }
    }
}

/// Nobody is shown an empty history of a conversation that has one, with whatever mark.
fn empty(conversation: &Conversation<'_>, verdict: &mut Verdict) {
    let degraded = conversation.pages.iter().filter(|shown| shown.durability != Durability::Durable);
    for shown in degraded.filter(|shown| shown.value.turn_count == 0) {
        let had = conversation.appends.iter().any(|append| {
            // What another replica took in the outage, this one cannot know of.
            let is_known = append.outcome.durable().is_some()
                || append.outcome.ok().is_some() && append.record.replica == shown.record.replica;
            is_known && append.record.return_ns < shown.record.invoke_ns
        });
        if had {
            let what = format!("client {} was shown an empty history", shown.record.client);
            verdict.add(Kind::Stale, conversation.number, what);
        }
    }
}

/// Nobody is told that a conversation is not there before anybody could have deleted it.
fn vanished(conversation: &Conversation<'_>, verdict: &mut Verdict) {
    let Some(created) = conversation.durable() else { return };
    for record in &conversation.absent {
        let is_known = created.return_ns < record.invoke_ns;
        let may_be_gone = conversation.gone_from.is_some_and(|from_ns| from_ns < record.return_ns);
        if is_known && !may_be_gone {
            let what = format!("client {} was told that it is not there", record.client);
            verdict.add(Kind::Stale, conversation.number, what);
        }
    }
}
